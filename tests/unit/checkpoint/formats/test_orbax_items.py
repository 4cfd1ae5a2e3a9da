"""Steps of a CheckpointManager: each item as Orbax itself restores it, and what cannot be read."""

import pytest

pytest.importorskip("orbax.checkpoint")

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from google.protobuf import struct_pb2
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.inspecting import health
from ramie.training import checkpoints
from ramie.training.train_state import TrainState


class OwnHandler(ocp.CheckpointHandler):
    """A handler of a program."""

    def save(self, directory, item=None, args=None):
        (directory / "own.bin").write_bytes(args.item)

    def restore(self, directory, item=None, args=None):
        return (directory / "own.bin").read_bytes()


@ocp.args.register_with_handler(OwnHandler, for_save=True, for_restore=True)
class OwnArgs(ocp.args.CheckpointArgs):
    """What is saved by it."""

    def __init__(self, item=b""):
        self.item = item


def manage(folder, steps, metrics=None, best=False, **options):
    """Save steps, each a dictionary of arguments of Orbax by item."""
    if best:
        options["best_fn"] = lambda found: found["loss"]
    with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(**options)) as manager:
        for step, items in steps.items():
            manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)
    return str(folder)


def tree(scale=1):
    return {"w": np.arange(6, dtype=np.float32).reshape(2, 3) * scale, "layers": [np.ones(2), 3]}


def text():
    message = struct_pb2.Struct()
    message.update({"name": "net"})
    return message


def all_items():
    return {
        "params": ocp.args.StandardSave(tree()),
        "opt": ocp.args.PyTreeSave({"mu": jnp.ones(2, jnp.bfloat16), "count": 3}),
        "array": ocp.args.ArraySave(np.arange(3)),
        "on_device": ocp.args.ArraySave(jnp.arange(4.0)),
        "number": ocp.args.ArraySave(5),
        "meta": ocp.args.JsonSave({"epoch": 2, "names": ["a", "b"], "none": None, "empty": {}}),
        "key": ocp.args.JaxRandomKeySave(jax.random.key(7)),
        "keys": ocp.args.JaxRandomKeySave(jax.random.split(jax.random.key(7), 3)),
        "words": ocp.args.JaxRandomKeySave(jax.random.PRNGKey(3)),
        "seed": ocp.args.NumpyRandomKeySave(np.random.RandomState(3).get_state()),
        "state": ocp.args.NumpyRandomKeySave(np.random.RandomState(3).get_state(legacy=False)),
        "text": ocp.args.ProtoSave(text()),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("manager")
    return manage(place / "run", {4: all_items()}, {"loss": 0.5}, best=True)


def test_each_item_is_what_was_saved(folder):
    found = checkpoint.restore(folder, None, prefix="")
    assert found.keys() == {*all_items(), "metrics"}
    assert_exact(found["params"]["w"], tree()["w"])
    assert_exact(found["params"]["layers"]["0"], np.ones(2))
    assert found["opt"]["mu"].dtype == jnp.bfloat16 and found["opt"]["count"] == 3
    assert_exact(found["array"], np.arange(3))
    assert_exact(found["on_device"], np.arange(4, dtype=np.float32))
    assert found["number"] == 5 and found["metrics"] == {"loss": 0.5}
    assert found["meta"] == {"epoch": 2, "names": ["a", "b"], "none": None, "empty": {}}
    assert found["text"] == str(text())


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_random_keys_continue_as_those_that_orbax_restores(folder):
    found = checkpoint.restore(folder, None, prefix="")
    arguments = {name: ocp.args.JaxRandomKeyRestore() for name in ("key", "keys", "words")}
    arguments |= {name: ocp.args.NumpyRandomKeyRestore() for name in ("seed", "state")}
    with ocp.CheckpointManager(folder) as manager:
        theirs = manager.restore(4, args=ocp.args.Composite(**arguments))
    for name in ("key", "keys"):
        assert found[name].dtype == theirs[name].dtype and found[name].shape == theirs[name].shape
        assert_exact(jax.random.key_data(found[name]), jax.random.key_data(theirs[name]))
    assert_exact(jax.random.normal(found["key"], (4,)), jax.random.normal(theirs["key"], (4,)))
    assert_exact(found["words"], np.asarray(theirs["words"]))
    for name in ("seed", "state"):
        ours, other = np.random.RandomState(), np.random.RandomState()
        ours.set_state(found[name])
        other.set_state(theirs[name])
        assert_exact(ours.uniform(size=5), other.uniform(size=5))


def test_outline_verify_and_diff_see_each_item(folder, tmp_path):
    place = os.path.join(folder, "4")
    leaves = {"/".join(leaf.path): leaf for leaf in checkpoint.outline(place).leaves}
    assert leaves["params/layers/0"].shape == (2,) and leaves["array"].shape == (3,)
    assert leaves["key"].note == "threefry2x32" and leaves["words"].note == ""
    assert leaves["meta/names/1"].value == "b" and leaves["meta/empty"].value == {}
    assert leaves["seed/0"].value == "MT19937" and leaves["number"].value == 5
    assert checkpoint.verify(place) == health.Health("readable")
    assert checkpoint.diff(place, place).same
    other = manage(
        tmp_path / "other", {4: {**all_items(), "array": ocp.args.ArraySave(np.ones(3))}}
    )
    found = checkpoint.diff(place, os.path.join(other, "4"))
    assert [change.path for change in found.changed] == [("array",)]
    assert found.only_first == [("metrics", "loss")] and not found.only_second


def test_one_item_is_a_checkpoint_by_its_path(folder):
    place = os.path.join(folder, "4")
    assert_exact(checkpoint.restore(os.path.join(place, "array"), None), np.arange(3))
    assert checkpoint.restore(os.path.join(place, "meta"), None)["epoch"] == 2
    key = checkpoint.restore(os.path.join(place, "key"), None)
    assert_exact(jax.random.key_data(key), jax.random.key_data(jax.random.key(7)))
    for name in all_items():
        assert checkpoint.verify(os.path.join(place, name)).state == "readable"
    found = checkpoint.restore(os.path.join(place, "params"), tree(0))
    assert_exact(found["w"], tree()["w"])


def test_targets_go_by_the_names_of_items(folder):
    zeros = jax.tree.map(np.zeros_like, tree())
    target = {
        "params": zeros,
        "array": np.zeros(3, int),
        "meta": None,
        "key": jax.random.key(0),
        "seed": np.random.RandomState(0).get_state(),
    }
    found = checkpoint.restore(folder, target, prefix="")
    assert found.keys() == target.keys() and isinstance(found["params"]["layers"], list)
    assert_exact(found["params"]["w"], tree()["w"])
    assert_exact(found["array"], np.arange(3))
    assert found["meta"]["names"] == ["a", "b"]
    assert_exact(jax.random.key_data(found["key"]), jax.random.key_data(jax.random.key(7)))
    assert isinstance(found["seed"], tuple) and found["seed"][0] == "MT19937"
    part = {"meta": {"epoch": 0, "names": ["", ""], "none": None, "empty": {}}}
    assert checkpoint.restore(folder, part, prefix="")["meta"]["names"] == ["a", "b"]


def test_arrays_and_keys_go_where_the_target_has_them(folder):
    mesh = jax.sharding.Mesh(jax.devices()[:2], ("data",))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    last = jax.sharding.SingleDeviceSharding(jax.devices()[-1])
    target = {
        "on_device": jax.ShapeDtypeStruct((4,), jnp.float32, sharding=rows),
        "key": jax.device_put(jax.random.key(0), last),
        "params": {**tree(), "w": jax.ShapeDtypeStruct((2, 3), jnp.float32, sharding=rows)},
        "array": jax.ShapeDtypeStruct((3,), np.arange(3).dtype),
    }
    found = checkpoint.restore(folder, target, prefix="")
    assert found["on_device"].sharding == found["params"]["w"].sharding == rows
    assert found["key"].sharding == last and isinstance(found["array"], np.ndarray)
    assert_exact(found["on_device"], np.arange(4, dtype=np.float32))


def test_a_checkpointer_of_the_user_is_asked_for_what_only_it_can_read(tmp_path):
    plain = ocp.PyTreeCheckpointer()
    place = manage(tmp_path / "run", {1: {"default": ocp.args.StandardSave(tree())}})
    found = checkpoints.restore_checkpoint(place, tree(0), prefix="", orbax_checkpointer=plain)
    assert_exact(found["w"], tree()["w"])
    with ocp.Checkpointer(OwnHandler()) as own:
        own.save(tmp_path / "own_1", args=OwnArgs(b"abc"))
        assert checkpoint.verify(tmp_path / "own_1").state == "readable"
        found = checkpoints.restore_checkpoint(
            tmp_path, None, prefix="own_", orbax_checkpointer=own
        )
    assert found == b"abc"


def test_all_that_does_not_fit_is_listed_by_item(folder):
    target = {
        "params": {**tree(), "w": np.zeros((3, 3), np.float32)},
        "array": np.zeros(4, int),
        "opt": {"mu": jnp.ones(2, jnp.bfloat16), "count": 0, "nu": np.ones(2)},
        "model": tree(),
    }
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, target, prefix="")
    for line in ("./params/w: (3, 3)", "./array: (4,)", "./opt/nu", "./model"):
        assert line in str(caught.value)


def test_where_there_is_one_tree_its_own_target_will_do(tmp_path):
    items = {"params": ocp.args.StandardSave(tree()), "meta": ocp.args.JsonSave({"epoch": 2})}
    place = manage(tmp_path / "run", {1: items})
    assert checkpoint.restore(place, None, prefix="").keys() == {"params", "meta"}
    assert_exact(checkpoint.restore(place, tree(0), prefix="")["w"], tree()["w"])
    assert_exact(checkpoints.restore_checkpoint(place, tree(0), prefix="")["w"], tree()["w"])
    by_name = checkpoint.restore(place, {"params": tree(0)}, prefix="")
    assert_exact(by_name["params"]["w"], tree()["w"])
    # The tree itself may have a key that is called like an item.
    inside = {"params": {"params": tree()}}
    items = {name: ocp.args.StandardSave(value) for name, value in inside.items()}
    place = manage(tmp_path / "inside", {1: {**items, "meta": ocp.args.JsonSave({})}})
    assert_exact(
        checkpoint.restore(place, {"params": tree(0)}, prefix="")["params"]["w"], tree()["w"]
    )
    assert_exact(checkpoint.restore(place, inside, prefix="")["params"]["params"]["w"], tree()["w"])


def test_states_and_their_optimizers_are_restored_by_name(tmp_path):
    def blank(scale):
        params = {"w": jnp.ones(3) * scale}
        return TrainState.create(apply_fn=None, params=params, tx=optax.adam(1e-3))

    items = {
        "state": ocp.args.StandardSave(blank(2.0)),
        "ema": ocp.args.StandardSave({"w": jnp.ones(3)}),
    }
    place = manage(tmp_path / "run", {1: items})
    target = {"state": blank(0.0), "ema": {"w": jnp.zeros(3)}}
    found = checkpoint.restore(place, target, prefix="")
    assert isinstance(found["state"], TrainState)
    assert_exact(found["state"].params["w"], np.full(3, 2, np.float32))
    assert type(found["state"].opt_state[0]).__name__ == "ScaleByAdamState"
    with pytest.raises(errors.CheckpointOptionError, match=r"items \['ema', 'state'\]"):
        checkpoint.restore(place, np.zeros(3), prefix="")


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (ocp.args.StandardSave({"w": np.ones(2)}), {"w": np.ones(2)}),
        (ocp.args.ArraySave(np.arange(3)), np.arange(3)),
        (ocp.args.JsonSave({"a": [1, 2.5]}), {"a": [1, 2.5]}),
        (ocp.args.JsonSave([1, "x"]), [1, "x"]),
        (ocp.args.JsonSave(7), 7),
    ],
)
def test_the_only_item_is_the_checkpoint(tmp_path, saved, expected):
    place = manage(tmp_path / "run", {1: {"default": saved}}, {"loss": 0.5}, best=True)
    found = checkpoint.restore(place, None, prefix="")
    jax.tree.map(assert_exact, found, expected)
    step = os.path.join(place, "1")
    assert checkpoint.verify(step).state == "readable" and checkpoint.diff(step, step).same
    assert checkpoint.outline(step).metadata == {"metrics": '{"loss": 0.5}'}
    assert checkpoint.survey(place)[0].metrics == {"loss": 0.5}


def test_what_a_handler_of_a_program_wrote_is_named_and_stops_nothing(tmp_path):
    items = {"own": OwnArgs(b"abc"), "params": ocp.args.StandardSave(tree())}
    place = manage(tmp_path / "run", {1: items})
    step = os.path.join(place, "1")
    found = checkpoint.verify(step)
    assert found.is_good and "'own'" in found.problem and "OwnHandler" in found.problem
    with pytest.warns(RuntimeWarning, match=r"Left out: the item 'own'.*OwnHandler"):
        assert checkpoint.restore(place, None, prefix="").keys() == {"params"}
    assert_exact(checkpoint.restore(place, tree(0), prefix="")["w"], tree()["w"])
    with pytest.raises(errors.UnsupportedCheckpointError, match="own"):
        checkpoint.restore(place, {"own": None, "params": tree()}, prefix="")
    leaf = next(leaf for leaf in checkpoint.outline(step).leaves if leaf.path == ("own",))
    assert "OwnHandler" in repr(leaf.value)
    assert checkpoint.newest_intact(place, "") == step
    with pytest.raises(errors.FormatLimitError, match="OwnHandler"):
        checkpoint.convert(step, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    changed = manage(tmp_path / "other", {1: {**items, "own": OwnArgs(b"abd")}})
    assert checkpoint.diff(step, step).same
    found = checkpoint.diff(step, os.path.join(changed, "1"))
    assert [change.path for change in found.changed] == [("own",)]
    alone = manage(tmp_path / "alone", {1: {"default": OwnArgs(b"abc")}})
    with pytest.raises(errors.UnsupportedCheckpointError, match="OwnHandler"):
        checkpoint.restore(alone, None, prefix="")


def test_an_item_that_is_listed_and_not_there_makes_a_step_incomplete(tmp_path):
    items = {"params": ocp.args.StandardSave(tree()), "opt": ocp.args.StandardSave(tree(2))}
    place = manage(tmp_path / "run", {1: items, 2: items})
    shutil.rmtree(tmp_path / "run" / "2" / "opt")
    found = checkpoint.verify(tmp_path / "run" / "2")
    assert found.state == "incomplete" and "'opt'" in found.problem
    assert checkpoint.newest_intact(place, "") == os.path.join(place, "1")
    with pytest.raises(errors.IncompleteCheckpointError, match="opt"):
        checkpoint.restore(place, None, prefix="")
    with pytest.warns(RuntimeWarning, match="opt"):
        found = checkpoint.restore(place, None, prefix="", fallback=True)
    assert_exact(found["opt"]["w"], tree(2)["w"])
    found = checkpoint.restore(place, {"params": tree(0)}, prefix="")
    assert_exact(found["params"]["w"], tree()["w"])
    pruned = checkpoint.prune(place, 1, prefix="", dry_run=True)
    assert pruned.damaged == [os.path.join(place, "2")] and not pruned.removed


def test_a_step_whose_page_is_damaged_is_passed_over_and_its_items_can_be_named(tmp_path):
    items = {"params": ocp.args.StandardSave(tree()), "meta": ocp.args.JsonSave({"epoch": 2})}
    place = manage(tmp_path / "run", {1: items, 2: items})
    page = tmp_path / "run" / "2" / "_CHECKPOINT_METADATA"
    page.write_text('{"item_hand')
    with pytest.raises(errors.MalformedDataError, match="_CHECKPOINT_METADATA") as caught:
        checkpoint.restore(place, None, prefix="")
    assert os.path.join(place, "1") in str(caught.value.__notes__)
    with pytest.warns(RuntimeWarning, match="_CHECKPOINT_METADATA"):
        found = checkpoint.restore(place, None, prefix="", fallback=True)
    assert found["meta"] == {"epoch": 2}
    assert_exact(checkpoint.restore(page.parent / "params", tree(0))["w"], tree()["w"])
    page.unlink()  # as the message says: then the items are told by their content
    assert checkpoint.restore(place, None, prefix="")["meta"] == {"epoch": 2}


@pytest.mark.parametrize("item", ["meta", "params", "array", "key", "seed", "text"])
def test_damage_in_any_item_is_found(folder, tmp_path, item):
    shutil.copytree(folder, tmp_path / "run")
    victims = {
        "meta": "meta/metadata",
        "params": "params/_METADATA",
        "array": "array/checkpoint/.zarray",
        "key": "key/jax_random_key_metadata/metadata",
        "seed": "seed/np_random_key_metadata/metadata",
        "text": "text/proto.pbtxt",
    }
    (tmp_path / "run" / "4" / victims[item]).write_bytes(b"\xff{")
    found = checkpoint.verify(tmp_path / "run" / "4")
    assert found.state == "damaged" and item in found.problem
    assert checkpoint.newest_intact(tmp_path / "run", "") is None
    with pytest.raises(errors.MalformedDataError, match=item):
        checkpoint.restore(tmp_path / "run", None, prefix="")


def test_a_step_is_converted_with_all_its_items(folder, tmp_path):
    items = {
        name: value for name, value in all_items().items() if name in ("params", "meta", "key")
    }
    place = os.path.join(manage(tmp_path / "run", {4: items}), "4")
    new = checkpoint.convert(place, tmp_path / "new")
    assert checkpoint.diff(place, new).same
    found = checkpoint.restore(new, None)
    assert found["meta"]["names"] == {"0": "a", "1": "b"}
    assert_exact(jax.random.key_data(found["key"]), jax.random.key_data(jax.random.key(7)))
    only = checkpoint.convert(os.path.join(folder, "4", "params"), tmp_path / "p.safetensors")
    assert checkpoint.diff(os.path.join(folder, "4", "params"), only).same
    alone = manage(
        tmp_path / "one", {1: {"default": ocp.args.StandardSave(tree())}}, {"loss": 1.0}, best=True
    )
    kept = checkpoint.convert(os.path.join(alone, "1"), tmp_path / "m.safetensors")
    assert json.loads(checkpoint.outline(kept).metadata["metrics"]) == {"loss": 1.0}


def test_names_of_steps_are_those_of_the_manager(tmp_path):
    items = {"default": ocp.args.StandardSave(tree())}
    manage(tmp_path / "plain", {5: items, 10: items, 100: items})
    found = checkpoint.survey(tmp_path / "plain")
    assert [(item.prefix, item.step) for item in found] == [("", 5), ("", 10), ("", 100)]
    manage(tmp_path / "padded", {5: items, 10: items}, step_format_fixed_length=8)
    manage(
        tmp_path / "named", {5: items, 10: items}, step_prefix="step", step_format_fixed_length=8
    )
    for folder, prefix in (("padded", ""), ("named", "step_")):
        assert checkpoint.available_steps(tmp_path / folder, prefix) == [5, 10]
        found = checkpoint.restore(tmp_path / folder, tree(0), 10, prefix=prefix)
        assert_exact(found["w"], tree()["w"])
    checkpoint.save(tmp_path / "plain", {"a": 1}, 3)
    checkpoint.save(tmp_path / "plain", {"a": 1}, 1e2)
    found = checkpoint.survey(tmp_path / "plain")
    assert [(item.prefix, item.step) for item in found][-2:] == [("", 100), ("checkpoint_", 100.0)]


def test_steps_of_old_managers_have_no_page(tmp_path):
    for name, folder in (("", "plain"), ("step", "named")):
        place = tmp_path / folder
        manage(place, {7: {"default": ocp.args.StandardSave(tree())}}, step_prefix=name or None)
        step = place / (f"{name}_7" if name else "7")
        for page in ("_CHECKPOINT_METADATA", "commit_success.txt"):
            (step / page).unlink()
        prefix = f"{name}_" if name else ""
        assert [item.step for item in checkpoint.survey(place, prefix)] == [7]
        assert_exact(checkpoint.restore(place, tree(0), prefix=prefix)["w"], tree()["w"])
        assert checkpoint.verify(step).state == "readable"
        assert checkpoint.describe(place).outline.path == str(step)
    # The folder of a run that keeps a tree beside checkpoints, none of which is there yet.
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run1" / "best", tree())
    target = tree(0)
    assert checkpoint.restore(tmp_path / "run1", target) is target


def test_layouts_of_files_make_no_difference(tmp_path):
    for name, options in {
        "ocdbt": {"use_ocdbt": True},
        "files": {"use_ocdbt": False},
        "zarr3": {"use_ocdbt": True, "use_zarr3": True},
        "files of zarr3": {"use_ocdbt": False, "use_zarr3": True},
    }.items():
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)) as checkpointer:
            checkpointer.save(tmp_path / name, tree())
        found = checkpoint.restore(tmp_path / name, tree(0))
        assert_exact(found["w"], tree()["w"])
        assert checkpoint.verify(tmp_path / name).state == "readable"
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(**options)) as checkpointer:
            theirs = checkpointer.restore(tmp_path / name)
        assert_exact(checkpoint.restore(tmp_path / name, None)["w"], theirs["w"])


def test_the_next_interface_of_orbax_writes_what_is_read(tmp_path):
    v1 = pytest.importorskip("orbax.checkpoint.experimental.v1")
    for name, saved in (("one", {"state": tree()}), ("two", {"a": tree(), "b": {"x": np.ones(2)}})):
        v1.save_checkpointables(tmp_path / name, saved)
        found = checkpoint.restore(tmp_path / name, saved)
        assert_exact(found[next(iter(saved))]["w"], tree()["w"])
        assert checkpoint.verify(tmp_path / name).state == "readable"
    assert_exact(checkpoint.restore(tmp_path / "one", None)["w"], tree()["w"])
    with v1.training.Checkpointer(tmp_path / "run") as checkpointer:
        checkpointer.save_checkpointables(3, {"model": tree()}, metrics={"loss": 0.5})
    assert checkpoint.survey(tmp_path / "run")[0].metrics == {"loss": 0.5}
    assert_exact(checkpoint.restore(tmp_path / "run", None, prefix="")["w"], tree()["w"])
