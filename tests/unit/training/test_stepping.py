"""Stepper: a state whose memory is reused, and of which nothing reachable is deleted."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_exact

from ramie import linen as nn
from ramie.training.stepping import Stepper
from ramie.training.train_state import TrainState

SIZE = 64
MODEL = nn.Dense(SIZE)
APPLY, ADAM = MODEL.apply, optax.adam(1e-2)


def _state():
    params = MODEL.init(jax.random.key(0), jnp.ones((1, SIZE)))
    params = jax.tree.map(lambda x: x + 0, params)  # in memory of JAX, not borrowed from NumPy
    return TrainState.create(apply_fn=APPLY, params=params, tx=ADAM)


def _step(state, x):
    def loss(params):
        return (state.apply_fn(params, x) ** 2).mean()

    value, grads = jax.value_and_grad(loss)(state.params)
    return state.apply_gradients(grads=grads), value


def _batch(seed=0):
    return jax.random.normal(jax.random.key(seed), (8, SIZE))


def _address(training):
    return training.state.params["params"]["kernel"].unsafe_buffer_pointer()


def test_steps_are_those_of_jit_in_the_same_memory(deleted):
    training = Stepper(_step, _state(), has_aux=True)
    expected, plain = _state(), jax.jit(_step)
    addresses = set()
    for i in range(4):
        loss = training(_batch(i))
        expected, expected_loss = plain(expected, _batch(i))
        assert_exact(loss, expected_loss)
        jax.tree.map(assert_exact, training.state, expected)
        gc.collect()
        addresses.add(_address(training))
    assert len(addresses) == 1 and int(training.state.step) == 4
    assert deleted() == []


@pytest.mark.parametrize("way", ["state", "leaf", "alias", "view", "first"])
def test_what_is_held_keeps_its_value(way, deleted):
    first = [_state()]
    training = Stepper(_step, first[0], has_aux=True)
    ways = {
        "state": lambda: training.state,
        "leaf": lambda: training.state.params["params"]["kernel"],
        "alias": lambda: jax.device_put(
            training.state.params["params"]["kernel"], jax.devices()[0]
        ),
        "view": lambda: np.asarray(training.state.params["params"]["kernel"]),
        "first": lambda: first[0],
    }
    if way != "first":
        training(_batch())
    held = ways[way]()
    values = jax.tree.map(np.array, held)
    for i in range(3):
        training(_batch(i))
    jax.tree.map(assert_exact, held, values)
    first.clear()
    del held
    assert deleted() == []


def test_without_more_a_step_returns_the_state_alone():
    training = Stepper(lambda state, *, by: jax.tree.map(lambda x: x + by, state), [jnp.ones(3), 1])
    assert training(by=2) is None
    assert_exact(training.state[0], np.full(3, 3, np.float32))
    assert int(training.state[1]) == 3
    training.state = [jnp.zeros(2), 0]
    training(by=1)
    assert_exact(training.state[0], np.ones(2, np.float32))


def test_arrays_of_numpy_and_keys():
    memory = np.ones(3, np.float32)
    training = Stepper(
        lambda state: {"w": state["w"] * 2, "key": jax.random.fold_in(state["key"], 1)},
        {"w": memory, "key": jax.random.key(0)},
    )
    memory[:] = 7
    training(), training()
    assert_exact(training.state["w"], np.full(3, 4, np.float32))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), 1)
    assert training.state["key"] == key


def test_a_state_of_another_structure_or_shape():
    def grow(state):
        return {**state, f"new{len(state)}": state["w"].sum()}

    training = Stepper(grow, {"w": jnp.ones(3)})
    training(), training()
    assert sorted(training.state) == ["new1", "new2", "w"]
    longer = Stepper(lambda w: jnp.concatenate([w, w]), jnp.ones(1))
    longer(), longer()
    assert_exact(longer.state, np.ones(4, np.float32))


def test_nothing_is_traced_twice():
    traced = []

    def step(w, x):
        traced.append(x.shape)
        return w + x.sum()

    training = Stepper(step, jnp.ones(3))
    for n in (1, 1, 2, 1, 2):
        training(jnp.ones(n))
    assert traced == [(1,), (2,)]


def test_a_step_that_fails_before_it_runs_leaves_the_state_whole():
    training = Stepper(_step, _state(), has_aux=True)
    for _ in range(2):
        before = jax.tree.map(np.array, training.state)
        with pytest.raises(Exception, match="shape"):
            training(jnp.ones((8, SIZE + 1)))
        jax.tree.map(assert_exact, training.state, before)
        training(_batch())
    with pytest.raises(TypeError, match="has_aux=True a step returns a pair"):
        Stepper(lambda state: state, jnp.ones(3), has_aux=True)()


def test_a_step_that_fails_while_it_runs_says_what_is_lost():
    def refuse(x):
        raise ValueError("no")

    def step(w):
        jax.debug.callback(refuse, w[0])
        return w + 1

    training = Stepper(step, jnp.ones(3) + 0)
    with pytest.raises(Exception, match="no") as found:
        training()
        jax.effects_barrier()
        jax.block_until_ready(training.state)
    if training.state.is_deleted():
        assert "Stepper.state" in "".join(found.value.__notes__)
    training.state = jnp.zeros(2)
    assert_exact(training.state, np.zeros(2, np.float32))


def test_a_step_does_not_see_the_state_from_outside():
    training = Stepper(lambda w: w + training.state, jnp.ones(3))
    with pytest.raises(RuntimeError, match="gets it as its first argument"):
        training()
    nested = Stepper(lambda w: nested(), jnp.ones(3))
    with pytest.raises(RuntimeError, match="do not nest"):
        nested()
    assert_exact(nested.state, np.ones(3, np.float32))


def test_where_nothing_may_be_given_away():
    training = Stepper(lambda w: w + 1, jnp.ones(3) + 0)
    with jax.debug_nans(True):
        training()
    with jax.disable_jit():
        training()
    training()
    assert_exact(training.state, np.full(3, 4, np.float32))
