"""The cache for decoding: what it holds, and what happens when it is full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify
from tests.tolerance import assert_exact

from ramie.ops.attention import decoding


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_the_cache_remembers_positions(batch):
    rng = np.random.default_rng(0)
    keys, values = rng.normal(size=(2, *batch, 4, 2, 3)).astype(np.float32)
    cached_key, cached_value = jnp.zeros_like(keys), jnp.zeros_like(values)
    index = jnp.array(0, jnp.int32)
    step = jax.jit(decoding.update_cache)
    for position in range(4):
        mask = decoding.cached_positions_mask(index, batch, 4)
        assert_exact(mask, np.broadcast_to(np.arange(4) <= position, (*batch, 1, 1, 4)))
        at = (..., slice(position, position + 1), slice(None), slice(None))
        cached_key, cached_value, index = step(
            cached_key, cached_value, index, keys[at], values[at]
        )
    assert_exact(cached_key, keys)
    assert_exact(cached_value, values)
    assert int(index) == 4


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint32])
def test_a_full_cache_is_an_error_where_that_is_known(dtype):
    decoding.check_room(jnp.array(3, dtype), 4, "here")
    with pytest.raises(ValueError, match=r"^The cache of here is full: it holds 4 .* index 4\."):
        decoding.check_room(jnp.array(4, dtype), 4, "here")


def _once(index):
    decoding.check_room(index, 4, "here")
    return index + 1


def _in_a_loop(index):
    return jax.lax.scan(lambda i, _: (_once(i), None), index, None, length=1)[0]


def _in_a_branch(index):
    return jax.lax.cond(index >= 0, _once, lambda i: i, index)


@pytest.mark.parametrize("step", [_once, _in_a_loop, _in_a_branch, jax.checkpoint(_once)])
def test_inside_of_a_program_checkify_tells_and_nothing_else_notices(step):
    assert int(jax.jit(step)(jnp.array(9))) == 10
    assert_exact(jax.vmap(step)(jnp.arange(9)), jnp.arange(1, 10))
    checked = checkify.checkify(jax.jit(step))
    assert checked(jnp.array(3))[0].get() is None
    assert "The cache of here is full: it holds 4" in checked(jnp.array(4))[0].get()
