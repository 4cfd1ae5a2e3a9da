"""The calls of Orbax that the documentation shows, on our trees, with nothing of ours between."""

import pytest

pytest.importorskip("orbax.checkpoint")

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, nnx
from ramie.training import checkpoints, orbax_utils
from ramie.training.train_state import TrainState
from ramie.trees.frozen import FrozenDict

# Orbax warns where it is given no target, as the documentation does.
pytestmark = pytest.mark.filterwarnings("ignore:Sharding info not provided:UserWarning")

TX = optax.adam(1e-3)


class Model(nnx.Module):
    def __init__(self, rngs, use_bias=False):
        self.first = nnx.Linear(2, 2, rngs=rngs, use_bias=use_bias)
        self.last = nnx.Linear(2, 2, rngs=rngs, use_bias=use_bias)

    def __call__(self, x):
        return self.last(self.first(x))


def plain(value=1.0):
    return {
        "layer": {"kernel": jnp.full((2, 2), value), "bias": jnp.zeros(2)},
        "rest": [jnp.ones(1)],
    }


def state_of_training(value=1.0):
    params = FrozenDict({"kernel": jnp.full((2, 2), value)})
    return TrainState.create(apply_fn=None, params=params, tx=TX)


def state_of_model(value=1.0):
    return jax.tree.map(lambda x: jnp.full_like(x, value), nnx.state(Model(nnx.Rngs(0))))


TREES = {
    "plain": plain,
    "frozen": lambda value=1.0: FrozenDict(plain(value)),
    "training": state_of_training,
    "nnx": state_of_model,
}


@pytest.mark.parametrize("make", TREES.values(), ids=TREES)
def test_trees_go_to_disk_and_back(tmp_path, make):
    tree, blank = make(), make(0.0)
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, blank)

    def check(found):
        assert jax.tree.structure(found) == jax.tree.structure(blank)
        jax.tree.map(assert_exact, found, tree)

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "standard", tree)
        checkpointer.wait_until_finished()
        check(checkpointer.restore(tmp_path / "standard", abstract))
    with ocp.PyTreeCheckpointer() as checkpointer:
        save_args = orbax_utils.save_args_from_target(tree)
        checkpointer.save(tmp_path / "tree", tree, save_args=save_args)
        restore_args = orbax_utils.restore_args_from_target(blank)
        check(checkpointer.restore(tmp_path / "tree", item=blank, restore_args=restore_args))
        check(checkpoints.restore_checkpoint(tmp_path / "tree", blank))
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
    with ocp.CheckpointManager(tmp_path / "managed", options=options) as manager:
        for step in range(3):
            manager.save(step, args=ocp.args.StandardSave(tree))
        manager.wait_until_finished()
        assert manager.all_steps() == [1, 2]
        check(manager.restore(2, args=ocp.args.StandardRestore(abstract)))
    check(checkpoints.restore_checkpoint(tmp_path / "managed", blank, prefix=""))


def test_the_guide_to_checkpoints_of_nnx(tmp_path):
    model = Model(nnx.Rngs(0))
    x = jnp.ones((3, 2))
    before = model(x)
    _, state = nnx.split(model)
    checkpointer = ocp.StandardCheckpointer()
    checkpointer.save(tmp_path / "state", state)
    checkpointer.save(tmp_path / "pure_dict", nnx.to_pure_dict(state))

    graphdef, abstract = nnx.split(nnx.eval_shape(lambda: Model(nnx.Rngs(0))))
    restored = checkpointer.restore(tmp_path / "state", abstract)
    jax.tree.map(np.testing.assert_array_equal, state, restored)
    assert_exact(nnx.merge(graphdef, restored)(x), before)

    pure = checkpointer.restore(tmp_path / "pure_dict")
    nnx.replace_by_pure_dict(abstract, pure)
    assert_exact(nnx.merge(graphdef, abstract)(x), before)

    for name in ("first", "last"):
        pure[name]["bias"] = jnp.zeros(2)
    graphdef, abstract = nnx.split(nnx.eval_shape(lambda: Model(nnx.Rngs(0), use_bias=True)))
    nnx.replace_by_pure_dict(abstract, pure)
    assert_exact(nnx.merge(graphdef, abstract)(x), before)
    checkpointer.close()


def test_a_converted_state_of_a_model_is_restored_by_its_state_dict(tmp_path):
    state, blank = state_of_model(), state_of_model(0.0)
    checkpoint.convert(checkpoint.save(tmp_path, state, 1), tmp_path / "there.orbax")
    jax.tree.map(assert_exact, checkpoint.restore(tmp_path / "there.orbax", blank), state)
    with pytest.raises(errors.CheckpointMismatchError, match="container of 1 found"):
        checkpoints.save_checkpoint(tmp_path, {"first": {"kernel": {"deep": 1}}}, 2)
        checkpoint.restore(tmp_path, {"first": {"kernel": jnp.ones(2)}})
