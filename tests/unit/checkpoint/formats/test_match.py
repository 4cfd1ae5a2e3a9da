"""Restoring into a target that does not fit: everything that differs, at once, by path."""

import dataclasses
import random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, serialization, struct
from ramie.checkpoint.formats import match
from ramie.checkpoint.formats.match import find_differences, restore_into
from ramie.serialization import state_dict
from ramie.serialization.decode_whole import decode_whole
from ramie.training import checkpoints
from ramie.training.train_state import TrainState
from ramie.trees.frozen import FrozenDict


@struct.dataclass
class State:
    step: int
    params: object


def saved(tmp_path, tree):
    checkpoint.save(tmp_path, tree, 1)
    return tmp_path


def test_all_differences_are_listed_at_once(tmp_path):
    folder = saved(
        tmp_path,
        {
            "dense": {"kernel": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)},
            "old": 1,
            "norm": {"scale": np.ones(3)},
        },
    )
    target = {
        "dense": {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3, jnp.bfloat16)},
        "new": {"a": 0, "b": 0},
        "norm": jnp.ones(3),
    }
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, target)
    error = caught.value
    assert error.source == str(tmp_path / "checkpoint_1")
    assert error.missing == ["./new"]
    assert error.extra == ["./old"]
    assert error.shapes == ["./dense/kernel: (3, 3) wanted, (2, 3) found"]
    assert error.dtypes == ["./dense/bias: bfloat16 wanted, float32 found"]
    assert error.kinds == ["./norm: an array float32[3] wanted, a container of 1 found"]
    for line in (*error.missing, *error.extra, *error.shapes, *error.dtypes, *error.kinds):
        assert line in str(error)
    assert "target=None" in str(error)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ({"a": np.zeros((2, 1), np.float32)}, "shapes"),
        ({"a": jax.ShapeDtypeStruct((3,), jnp.float32)}, "shapes"),
        ({"a": jnp.zeros(2, jnp.int32)}, "dtypes"),
    ],
)
def test_a_leaf_of_another_shape_or_dtype_is_refused(tmp_path, target, kind):
    folder = saved(tmp_path, {"a": np.zeros(2, np.float32), "more": 1})
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, target)
    assert len(getattr(caught.value, kind)) == 1
    assert not caught.value.extra, "what the target lacks stays in the file"


def test_shapes_and_dtypes_as_saved_on_request_and_in_the_documented_function(tmp_path):
    folder = saved(tmp_path, {"a": np.zeros((4, 5), np.float32)})
    target = {"a": jnp.zeros(2, jnp.int32)}
    assert_exact(checkpoint.restore(folder, target, strict=False)["a"], np.zeros((4, 5), "f4"))
    with pytest.warns(UserWarning, match=r"./a: \(2,\) wanted, \(4, 5\) found"):
        restored = checkpoints.restore_checkpoint(folder, target)
    assert_exact(restored["a"], np.zeros((4, 5), np.float32))
    with pytest.raises(errors.CheckpointMismatchError, match=r"missing from the file:\n.*\./b"):
        checkpoints.restore_checkpoint(folder, {"a": 0, "b": 0})


def test_none_takes_anything_and_a_number_any_number_of_its_kind(tmp_path):
    tree = {
        "a": np.zeros(2, np.float32),
        "tree": {"b": 1},
        "step": np.int32(3),
        "counter": jnp.int32(3),
        "loss": 1,
        "traced": 4,
        "empty": {},
    }
    folder = saved(tmp_path, tree)
    target = {
        "a": None,
        "tree": None,
        "step": 0,
        "counter": 0,
        "loss": np.inf,
        "traced": jnp.float32(0),
        "empty": {},
    }
    restored = checkpoint.restore(folder, target)
    assert_exact(restored["a"], tree["a"])
    assert restored["tree"] == {"b": 1}
    assert type(restored["step"]) is np.int32 and restored["step"] == 3
    assert_exact(restored["counter"], np.asarray(3, np.int32))
    assert restored["loss"] == 1 and restored["traced"] == 4


MISFITS = {
    "a real number for an integer": (0.93, 0, "dtypes", "./a: int wanted, float found"),
    "an integer for a truth value": (2, False, "dtypes", "./a: bool wanted, int found"),
    "a number of numpy": (np.float32(0.93), 0, "dtypes", "./a: int wanted, float32 found"),
    "0-d array": (np.asarray(0.93), 0, "dtypes", "./a: int wanted, float64 found"),
    "one element": (np.asarray([3]), 0, "shapes", "./a: () wanted, (1,) found"),
    "a number for an array": (3, np.zeros(1), "shapes", "./a: (1,) wanted, () found"),
    "a real number for 0-d": (0.93, jnp.int32(0), "dtypes", "./a: int32 wanted, float found"),
    "None for an array": (
        None,
        np.zeros(3),
        "types",
        "./a: an array float64[3] wanted, a value of type NoneType found",
    ),
    "a string for a number": (
        "3",
        0,
        "types",
        "./a: a value of type int wanted, a value of type str found",
    ),
    "a number for a string": (
        3,
        "3",
        "types",
        "./a: a value of type str wanted, a value of type int found",
    ),
}


@pytest.mark.parametrize(("value", "wanted", "kind", "line"), MISFITS.values(), ids=MISFITS)
def test_values_of_another_kind_are_refused_or_come_as_saved(tmp_path, value, wanted, kind, line):
    folder = saved(tmp_path, {"a": value})
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, {"a": wanted})
    assert getattr(caught.value, kind) == [line] and line in str(caught.value)
    assert_exact(checkpoint.restore(folder, {"a": wanted}, strict=False)["a"], value)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "wanted", [np.zeros(2), jnp.zeros(2), 0, "", jax.ShapeDtypeStruct((), int)]
)
def test_containers_in_the_place_of_values_are_always_refused(tmp_path, wanted, strict):
    folder = saved(tmp_path, {"a": {"value": np.zeros(2)}, "b": np.ones(1)})
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, {"a": wanted}, strict=strict)
    assert caught.value.kinds[0].startswith("./a: a") and "a container of 1" in str(caught.value)
    with pytest.raises(errors.CheckpointMismatchError, match=r"\./b: a container of 0 wanted"):
        checkpoint.restore(folder, {"b": {}}, strict=strict)


def test_shapes_say_what_is_wanted_without_arrays(tmp_path):
    state = State(3, {"w": jnp.arange(6.0).reshape(2, 3)})
    folder = saved(tmp_path, state)
    wanted = jax.eval_shape(lambda: State(0, {"w": jnp.zeros((2, 3))}))
    restored = checkpoint.restore(folder, wanted)
    assert isinstance(restored, State)
    assert_exact(restored.params["w"], state.params["w"])


def test_optimizer_states_that_differ_are_compared_by_path(tmp_path):
    params = {"w": jnp.ones(2)}
    folder = saved(tmp_path, optax.adam(1e-3).init(params))
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(folder, optax.sgd(1e-3, momentum=0.9).init(params))
    assert caught.value.missing == ["./0/trace"]
    assert set(caught.value.extra) == {"./0/count", "./0/mu", "./0/nu"}


def test_equal_trees_have_no_differences():
    tree = {"a": {"b": np.ones(2)}, "c": 1}
    assert not any(find_differences(tree, tree).values())


def test_a_restored_state_does_not_retrace(tmp_path):
    traces = []

    @jax.jit
    def step(state):
        traces.append(None)
        return jax.tree.map(lambda x: x + 1, state)

    params = {"w": jnp.ones((2, 3))}
    state = step(State(jnp.int32(0), (params, optax.adam(1e-3).init(params))))
    restored = checkpoint.restore(saved(tmp_path, state), state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    step(restored)
    assert len(traces) == 1
    chosen = jax.lax.cond(True, lambda: restored, lambda: state)
    jax.tree.map(assert_exact, chosen, state)


class Statistics(NamedTuple):
    mean: object
    count: object


@dataclasses.dataclass
class Settings:
    rate: float


class Training(TrainState):
    statistics: object = None
    settings: object = struct.field(pytree_node=False, default=None)


@pytest.mark.parametrize("restore", [checkpoint.restore, checkpoints.restore_checkpoint])
def test_a_resumed_training_state_is_traced_once_and_fits_into_branches(tmp_path, restore):
    tx = optax.chain(
        optax.clip(1.0),
        optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
        optax.masked(optax.add_decayed_weights(0.1), {"w": True, "b": False}),
    )
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    statistics = FrozenDict({"norm": Statistics(jnp.zeros(3), jnp.zeros((), jnp.int32))})
    blank = Training.create(
        apply_fn=None, params=params, tx=tx, statistics=statistics, settings=Settings(0.5)
    )
    traces = []

    @jax.jit
    def train(state):
        traces.append(None)
        better = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, state.params))
        return jax.lax.cond(
            state.step > 10, lambda: state.replace(step=state.step + 1), lambda: better
        )

    state = train(train(blank))
    checkpoint.save(tmp_path, state, 2)
    restored = restore(tmp_path, blank)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert type(restored.statistics) is FrozenDict and restored.settings is blank.settings
    assert isinstance(restored.statistics["norm"], Statistics)
    traces.clear()
    resumed = train(train(train(restored)))
    assert len(traces) == 1, "the restored state and those made of it are of one type"
    jax.tree.map(assert_exact, resumed, train(train(train(state))))


@pytest.mark.parametrize("make", [np.zeros, jnp.zeros, jax.ShapeDtypeStruct])
def test_levels_of_many_arrays_are_compared_as_those_of_few(make):
    """Of a level of many, every way in which one of them may differ is found and named."""
    names = [f"k{index:02}" for index in range(40)]
    wanted = {name: make((2, 3), np.dtype(np.float32)) for name in names}
    found = {name: np.ones((2, 3), np.float32) for name in reversed(names)}
    assert not any(find_differences({"a": wanted}, {"a": found}).values())
    others = [np.ones((3, 2), np.float32), np.ones((2, 3), np.int32), 1.0, "text", None, {}]
    for other in [*others, {"b": np.ones((2, 3), np.float32)}]:
        changed = find_differences({"a": wanted}, {"a": found | {"k17": other}})
        alone = find_differences({"a": {"k17": wanted["k17"]}}, {"a": {"k17": other}})
        assert changed == alone
        assert any(alone.values())
    more = find_differences(wanted, found | {"more": 1})
    assert more["extra"] == ["./more"]
    fewer = find_differences(wanted, {n: found[n] for n in names[1:]} | {"other": 1})
    assert fewer["missing"] == ["./k00"] and fewer["extra"] == ["./other"]


def random_tree(generator, depth=0):
    """Return nested dicts, with some levels of arrays alone and some of other things too."""
    names = [f"k{index}" for index in range(generator.choice([0, 1, 3, 20]))]
    if depth < 3 and generator.random() < 0.7:
        tree = {name: random_tree(generator, depth + 1) for name in names[:5]}
    else:
        tree = {name: np.ones(generator.choice([(2,), (2, 3), ()]), "f4") for name in names}
    if generator.random() < 0.3:
        tree["other"] = generator.choice([3, 2.5, "text", None, (np.ones(2), 4), Statistics(1, 2)])
    return tree


def random_target(generator, tree):
    """Return a target for a tree, which now and then does not fit."""
    if isinstance(tree, dict):
        target = {name: random_target(generator, value) for name, value in tree.items()}
        if generator.random() < 0.1:
            target = dict(reversed(target.items()))
        if generator.random() < 0.02:
            target[generator.choice(["k0", "k1", "more", 7])] = generator.choice([0, {}, "text"])
        if target and generator.random() < 0.02:
            target.pop(generator.choice(list(target)))
        return FrozenDict(target) if generator.random() < 0.05 else target
    if isinstance(tree, np.ndarray):
        make = generator.choice([np.zeros, jnp.zeros, jax.ShapeDtypeStruct])
        chance = generator.random()
        shape = tree.shape if chance > 0.005 else (5,)
        return make(shape, np.dtype("f4" if chance < 0.99 else "i4"))
    return tree


def outcome(target, state, strict, **more):
    reports = []
    try:
        report = None if strict else reports.append
        found = restore_into(target, state, "file", strict=strict, report=report, **more)
    except (ValueError, TypeError) as error:
        return type(error), str(error), None
    return [str(report) for report in reports], None, found


@pytest.mark.parametrize("strict", [True, False])
def test_dicts_are_taken_over_as_they_are_restored_with_care(monkeypatch, strict):
    """The short cut for dicts gives the values, the errors and the reports of the long way."""
    generator = random.Random(4)
    refused, reported = 0, 0
    for _ in range(300):
        tree = random_tree(generator)
        target = random_target(generator, tree)
        data = serialization.to_bytes(tree)
        forms = {}
        state = decode_whole(data, forms=forms)
        result = outcome(target, state, strict, forms=forms)
        with monkeypatch.context() as patch:
            patch.setattr(match, "dicts_are_plain", lambda: False)
            expected = outcome(target, serialization.msgpack_restore(data), strict)
        assert result[:2] == expected[:2]
        assert jax.tree.structure(result[2]) == jax.tree.structure(expected[2])
        jax.tree.map(assert_exact, result[2], expected[2])
        if isinstance(result[2], dict):
            assert list(result[2]) == list(expected[2])
        refused += result[1] is not None
        reported += bool(result[1] is None and result[0])
    assert refused > 30 and 300 - refused > 30
    assert strict or reported > 10


def test_forms_of_layers_are_compared_with_the_target():
    """Layers that were read at once are not asked for their shapes; a misfit is still named."""
    tree = {f"layer{n:03}": {"a": np.ones((2, 3), "f4"), "b": np.ones(3, "f4")} for n in range(99)}
    data = serialization.to_bytes(tree)
    for make in (np.zeros, jnp.zeros, jax.ShapeDtypeStruct):
        wanted = jax.tree.map(lambda x, make=make: make(x.shape, x.dtype), tree)
        for name, shape, dtype in (("a", (3, 2), "f4"), ("b", (3,), "i4"), ("b", (), "f4")):
            forms = {}
            state = decode_whole(data, forms=forms)
            assert id(state["layer070"]) in forms
            wanted["layer070"] = dict(wanted["layer069"], **{name: make(shape, np.dtype(dtype))})
            with pytest.raises(errors.CheckpointMismatchError, match=rf"\./layer070/{name}: "):
                restore_into(wanted, state, "file", forms=forms)
        wanted["layer070"] = wanted["layer069"]
        jax.tree.map(assert_exact, restore_into(wanted, state, "file", forms=forms), tree)
    # Of another dict that has taken the number of one that is gone, nothing is believed.
    other = {"a": np.ones((2, 3), "f4"), "b": np.ones(4, "f4")}
    stale = {id(other): forms[id(state["layer070"])]}
    with pytest.raises(errors.CheckpointMismatchError, match=r"\./b: "):
        restore_into(dict(wanted["layer069"]), other, "file", forms=stale)


def test_what_is_restored_shares_no_dict_with_the_target():
    target = {"a": {"w": np.zeros(2)}, "step": 1}
    restored = restore_into(target, {"a": {"w": np.ones(2)}, "step": 2}, "file")
    restored["a"]["more"] = restored["more"] = 1
    assert list(target) == ["a", "step"] and list(target["a"]) == ["w"]


def test_dicts_that_are_restored_in_a_way_of_their_own_are_not_taken_over(monkeypatch):
    monkeypatch.setitem(state_dict.HANDLERS, dict, state_dict.HANDLERS[dict])
    serialization.register_serialization_state(
        dict,
        state_dict.dict_to_state,
        lambda target, state: {name: state[name] + 1 for name in target},
        override=True,
    )
    restored = restore_into({"w": np.zeros(2)}, {"w": np.ones(2)}, "file")
    assert_exact(restored["w"], np.full(2, 2.0))


def test_functions_of_containers_in_dicts_see_the_whole_path():
    seen = []

    class Box:
        pass

    serialization.register_serialization_state(
        Box, lambda box: 1, lambda box, state: seen.append(state_dict.current_path()) or box
    )
    restore_into({"a": {"b": {"box": Box()}}}, {"a": {"b": {"box": 1}}}, "file")
    assert seen == ["./a/b/box"]
