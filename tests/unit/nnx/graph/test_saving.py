"""Models and optimizers as targets: restored into copies, in every format."""

import jax
import jax.numpy as jnp
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, nnx, serialization
from ramie.training import checkpoints


class Model(nnx.Module):
    def __init__(self, seed):
        rngs = nnx.Rngs(seed)
        self.dense = nnx.Linear(2, 3, rngs=rngs)
        self.layers = nnx.List([nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)])


def trained(seed=1):
    model = Model(seed)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    model.layers[1].rngs()
    return model, optimizer


def assert_same(one, other):
    first, second = (serialization.to_state_dict(nnx.state(node)) for node in (one, other))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(assert_exact, first, second)


def save_msgpack(folder, tree):
    return checkpoints.save_checkpoint(folder / "run", tree, 1)


def save_orbax(folder, tree):
    ocp = pytest.importorskip("orbax.checkpoint")
    by_orbax = ocp.PyTreeCheckpointer()
    return checkpoints.save_checkpoint(folder / "run", tree, 1, orbax_checkpointer=by_orbax)


def save_safetensors(folder, tree):
    return checkpoint.save_safetensors(folder / "model.safetensors", tree)


def convert(folder, tree):
    return checkpoint.convert(save_orbax(folder, tree), folder / "converted")


FORMATS = {
    "msgpack": save_msgpack,
    "orbax": save_orbax,
    "safetensors": save_safetensors,
    "converted from orbax": convert,
}


@pytest.mark.parametrize("save", FORMATS.values(), ids=FORMATS)
def test_a_model_is_restored_into_a_copy(tmp_path, save):
    model, optimizer = trained()
    blank, fresh = Model(0), trained(0)[1]
    before = jax.tree.map(jnp.copy, nnx.state(blank, nnx.Param))
    for tree, target in (
        ({"model": model, "optimizer": optimizer}, {"model": blank, "optimizer": fresh}),
        (
            {"model": nnx.state(model), "optimizer": nnx.state(optimizer)},
            {"model": blank, "optimizer": fresh},
        ),
        (
            {"model": model, "optimizer": optimizer},
            {"model": nnx.state(blank), "optimizer": nnx.state(fresh)},
        ),
    ):
        place = save(tmp_path / str(len(list(tmp_path.iterdir()))), tree)
        for restore in (checkpoint.restore, checkpoints.restore_checkpoint):
            found = restore(place, target)
            for name, kept in (("model", model), ("optimizer", optimizer)):
                assert type(found[name]) is type(target[name]) and found[name] is not target[name]
                if isinstance(found[name], nnx.State):
                    copy = nnx.clone(blank if name == "model" else fresh)
                    nnx.update(copy, found[name])
                else:
                    copy = found[name]
                assert_same(copy, kept)
    jax.tree.map(assert_exact, nnx.state(blank, nnx.Param), before)
    assert int(found["optimizer"].step.get_value()) == 1


def test_a_model_alone_and_one_that_was_never_initialised(tmp_path):
    model, _ = trained()
    checkpoints.save_checkpoint(tmp_path, model, 1)
    for target in (Model(0), nnx.eval_shape(lambda: Model(0))):
        found = checkpoints.restore_checkpoint(tmp_path, target)
        assert_same(found, model)
        assert found(jnp.ones((1, 2))).shape == (1, 3) if callable(found) else True
    data = serialization.to_bytes(model)
    assert data == serialization.to_bytes(nnx.state(model))
    assert_same(serialization.from_bytes(Model(0), data), model)


def test_a_model_that_does_not_fit_is_refused_by_path(tmp_path):
    model, _ = trained()
    checkpoint.save(tmp_path, model, 1)
    other = Model(0)
    other.dense = nnx.Linear(2, 4, rngs=nnx.Rngs(0))
    with pytest.raises(errors.CheckpointMismatchError) as caught:
        checkpoint.restore(tmp_path, other)
    assert caught.value.shapes == [
        "./dense/bias: (4,) wanted, (3,) found",
        "./dense/kernel: (2, 4) wanted, (2, 3) found",
    ]
    other.more = nnx.Param(jnp.ones(1))
    with pytest.raises(errors.CheckpointMismatchError, match=r"missing from the file:\n *./more"):
        checkpoint.restore(tmp_path, other)


def test_what_orbax_made_of_variables_is_refused_where_no_target_says_what_they_are(tmp_path):
    place = convert(tmp_path, nnx.state(Model(1).dense))
    found = checkpoint.restore(place, None)
    model = Model(0).dense
    advice = r"Orbax (?:stores|keeps) variables[\s\S]*nnx.state\(model\)"
    for take in (
        lambda: nnx.update(model, found),
        lambda: nnx.merge(nnx.graphdef(model), found),
        lambda: nnx.merge(nnx.graphdef(model), nnx.State(found)),
        lambda: nnx.replace_by_pure_dict(nnx.state(model), found),
    ):
        with pytest.raises(ValueError, match=advice) as caught:
            take()
        assert "kernel" in str(caught.value)
    assert_same(model, Model(0).dense)
    with pytest.raises(errors.CheckpointMismatchError, match=r"./kernel: an array"):
        checkpoint.restore(place, nnx.to_pure_dict(nnx.state(model)), strict=False)
    holder = nnx.Dict(a=nnx.Variable({"deep": 1}))  # a variable may hold a container
    assert nnx.merge(nnx.graphdef(holder), {"a": {"deep": 2}}).a.get_value() == {"deep": 2}


def test_classes_of_users_may_say_otherwise():
    class Own(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.ones(1))

    serialization.register_serialization_state(
        Own, lambda own: {"mine": 1}, lambda own, state: state["mine"]
    )
    assert serialization.to_state_dict({"a": Own()}) == {"a": {"mine": 1}}
    assert serialization.from_state_dict(Own(), {"mine": 2}) == 2
