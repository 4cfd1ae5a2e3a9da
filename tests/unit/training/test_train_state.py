"""TrainState: updates, subclasses, and collections replaced by their gradients."""

import jax
import jax.numpy as jnp
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import serialization, struct
from ramie.core import FrozenDict, freeze
from ramie.training.train_state import OVERWRITE_WITH_GRADIENT, TrainState

PARAMS = {"w": jnp.array([1.0, 2.0])}
GRADS = {"w": jnp.array([1.0, 1.0])}


def apply_fn(params, x):
    return params["w"] @ x


def make(params=PARAMS, tx=None, cls=TrainState, **kwargs):
    tx = tx or optax.sgd(0.5, momentum=0.5)
    return cls.create(apply_fn=apply_fn, params=params, tx=tx, **kwargs)


def momentum_of(state):
    return state.opt_state[0].trace


def test_create_begins_at_zero():
    state = make()
    assert state.step == 0 and state.params is PARAMS and state.apply_fn is apply_fn
    assert_exact(momentum_of(state)["w"], jnp.zeros(2))


def test_apply_gradients_is_one_step_of_the_optimizer():
    state = make().apply_gradients(grads=GRADS).apply_gradients(grads=GRADS)
    assert state.step == 2
    assert_close(state.params["w"], jnp.array([1.0, 2.0]) - 0.5 * (1 + 1.5))
    assert_close(momentum_of(state)["w"], jnp.array([1.5, 1.5]))


def test_a_subclass_carries_more():
    class WithStats(TrainState):
        batch_stats: dict
        label: str = struct.field(pytree_node=False, default="none")

    state = make(cls=WithStats, batch_stats={"mean": jnp.zeros(2)})
    state = state.apply_gradients(grads=GRADS, batch_stats={"mean": jnp.ones(2)}, label="one")
    assert isinstance(state, WithStats) and state.label == "one"
    assert_exact(state.batch_stats["mean"], jnp.ones(2))
    with pytest.raises(TypeError):
        make(cls=WithStats, batch_stats={}, colour="red")


def test_is_a_pytree_with_static_functions():
    state = make()
    assert len(jax.tree.leaves(state)) == 3
    step = jax.jit(lambda s, g: s.apply_gradients(grads=g))
    after = step(state, GRADS)
    assert int(after.step) == 1 and after.tx is state.tx
    assert_exact(after.params["w"], state.apply_gradients(grads=GRADS).params["w"])


def test_state_dict_leaves_functions_out_and_comes_back():
    state = make().apply_gradients(grads=GRADS)
    flat = serialization.to_state_dict(state)
    assert list(flat) == ["step", "params", "opt_state"]
    restored = serialization.from_state_dict(make(), flat)
    assert restored.step == 1
    assert_exact(restored.params["w"], state.params["w"])


@pytest.mark.parametrize("params", [[jnp.ones(2)], jnp.ones(2)], ids=["list", "array"])
def test_params_may_be_any_tree(params):
    state = make(params, optax.sgd(1.0)).apply_gradients(grads=params)
    assert_exact(jax.tree.leaves(state.params)[0], jnp.zeros(2))


def test_frozen_parameters_stay_frozen():
    state = make(freeze(PARAMS)).apply_gradients(grads=freeze(GRADS))
    assert isinstance(state.params, FrozenDict)


WITH_OVERWRITES = {
    "params": PARAMS,
    OVERWRITE_WITH_GRADIENT: {"scale": jnp.ones(3)},
    "constants": {"c": jnp.ones(1)},
}


class TestOverwriteWithGradient:
    def grads(self, scale):
        return {
            "params": GRADS,
            OVERWRITE_WITH_GRADIENT: {"scale": jnp.full(3, scale)},
            "constants": {"c": jnp.zeros(1)},
        }

    def test_the_optimizer_sees_the_trained_part_alone(self):
        assert list(momentum_of(make(WITH_OVERWRITES))) == ["w"]

    def test_replaces_trains_and_keeps(self):
        state = make(WITH_OVERWRITES).apply_gradients(grads=self.grads(7.0))
        assert_close(state.params["params"]["w"], jnp.array([0.5, 1.5]))
        assert_exact(state.params[OVERWRITE_WITH_GRADIENT]["scale"], jnp.full(3, 7.0))
        assert_exact(state.params["constants"]["c"], jnp.ones(1))

    def test_keeps_the_structure_for_a_compiled_loop(self):
        for tree in (WITH_OVERWRITES, freeze(WITH_OVERWRITES)):
            grads = freeze(self.grads(2.0)) if isinstance(tree, FrozenDict) else self.grads(2.0)
            state = make(tree)
            after = state.apply_gradients(grads=grads)
            assert jax.tree.structure(after) == jax.tree.structure(state)

    def test_says_which_collection_is_missing(self):
        with pytest.raises(ValueError, match="under 'params'"):
            make({OVERWRITE_WITH_GRADIENT: {}, "w": jnp.ones(1)})
        with pytest.raises(ValueError, match="but the gradients do not"):
            make(WITH_OVERWRITES).apply_gradients(grads={"params": GRADS})
