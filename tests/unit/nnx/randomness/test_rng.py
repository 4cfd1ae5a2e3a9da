"""Rngs: keys by name and number, forks, side-by-side streams, samplers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx


def _words(key):
    return jax.random.key_data(key)


def test_keys_are_folded_from_root_and_count():
    rngs = nnx.Rngs(0, params=1)
    for count in range(2):
        want = jax.random.fold_in(jax.random.key(1), count)
        assert_exact(_words(rngs.params()), _words(want))
    assert_exact(_words(rngs()), _words(jax.random.fold_in(jax.random.key(0), 0)))
    assert_exact(_words(rngs.dropout()), _words(jax.random.fold_in(jax.random.key(0), 1)))
    assert rngs.params.count[...].dtype == jnp.uint32
    assert (int(rngs.params.count[...]), int(rngs.default.count[...])) == (2, 2)


def test_streams_are_made_of_seeds_keys_and_mappings():
    want = _words(nnx.Rngs(5)())
    for given in (jax.random.key(5), jax.random.PRNGKey(5), {"default": 5}):
        assert_exact(_words(nnx.Rngs(given)()), want)
    assert_exact(_words(nnx.Rngs(nnx.RngStream(5, tag="x"))()), want)
    assert list(nnx.Rngs({"a": 1}, b=2)) == ["a", "b"]
    for wrong in ("x", 1.5, jnp.array(3)):
        with pytest.raises(ValueError, match="Invalid rng value"):
            nnx.Rngs(wrong)


def test_names_without_a_stream():
    rngs = nnx.Rngs(a=1)
    assert "a" in rngs and "b" not in rngs and len(rngs) == 1
    with pytest.raises(AttributeError, match="No RngStream named 'b'"):
        rngs.b()
    with pytest.raises(KeyError, match="No RngStream named 'b'"):
        rngs["b"]
    with pytest.raises(AttributeError):
        rngs.__totally_fake__  # noqa: B018
    assert dict(rngs.items()) == {"a": rngs.a}


def test_forks_count_on_and_start_at_zero():
    rngs = nnx.Rngs(0, params=1)
    forked = rngs.fork()
    assert_exact(_words(forked.params.key[...]), _words(nnx.Rngs(params=1).params()))
    assert int(rngs.params.count[...]) == 1 and int(forked.params.count[...]) == 0
    parts = rngs.split({"params": 4})
    assert parts.params.key.shape == parts.params.count.shape == (4,)
    assert parts.default.key.shape == () and int(rngs.default.count[...]) == 1
    assert rngs.split((2, 3)).default.key.shape == (2, 3)
    assert rngs.fork(split={"params": 2, ...: (1, 2)}).default.key.shape == (1, 2)
    same = rngs.broadcast(3).params.key
    assert_exact(_words(same[0]), _words(same[2]))
    with pytest.raises(ValueError, match="side by side"):
        parts.params()
    keys = jax.vmap(lambda rngs: jax.random.key_data(rngs.params()), in_axes=(0,))(rngs.split(2))
    assert not np.array_equal(keys[0], keys[1])


def test_samplers_and_initializers_take_the_next_key():
    rngs, key = nnx.Rngs(0), jax.random.key(0)
    first, second = (jax.random.fold_in(key, i) for i in range(2))
    assert_exact(rngs.normal((2, 3)), jax.random.normal(first, (2, 3)))
    want = jax.nn.initializers.lecun_normal()(second, (2, 3))
    assert_exact(rngs.lecun_normal()((2, 3)), want)
    stream = nnx.RngStream(0, tag="s")
    assert_exact(stream.bernoulli(0.5, (4,)), jax.random.bernoulli(first, 0.5, (4,)))


def test_state_of_streams():
    rngs = nnx.Rngs(0, params=1)
    assert nnx.state(rngs, nnx.RngCount).flat_state().paths == (
        ("default", "count"),
        ("params", "count"),
    )
    assert list(nnx.state(rngs, "params")) == ["params"]
    copied = nnx.clone(rngs)
    copied.params()
    assert int(rngs.params.count[...]) == 0


def test_keys_are_not_drawn_from_another_trace_level():
    rngs = nnx.Rngs(0)

    @jax.jit
    def f():
        with pytest.raises(errors.TraceContextError, match="Cannot mutate RngCount"):
            rngs.params()
        return jax.random.key_data(nnx.Rngs(0)())

    assert_exact(f(), _words(nnx.Rngs(0)()))
