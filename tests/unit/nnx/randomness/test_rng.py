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


NOT_SPLIT = {
    "split": lambda rngs: rngs.split({"params": 4}),
    "broadcast": lambda rngs: rngs.broadcast({"params": 4}),
    "split to None": lambda rngs: rngs.split({"params": 4, "default": None}),
    "split and broadcast": lambda rngs: rngs.split({"params": 4}).broadcast({"noise": 2}),
    "broadcast nothing": lambda rngs: rngs.broadcast(None),
    "of streams": lambda rngs: nnx.Rngs(default=rngs.default),
    "of a mapping": lambda rngs: nnx.Rngs(dict(rngs.items())),
    "of streams by position": lambda rngs: nnx.Rngs(rngs.default),
    "of a stream of another name": lambda rngs: nnx.Rngs(rngs.noise, params=rngs.default),
    "with_rngs": lambda rngs: nnx.with_rngs(rngs, split={"params": 4}),
    "a clone that replaces": lambda rngs: nnx.merge(*nnx.split(rngs)),
}


@pytest.mark.parametrize("kind", NOT_SPLIT)
def test_streams_that_are_left_alone_go_on(kind):
    rngs = nnx.Rngs(0, params=1, noise=2)
    drawn = [(name, _words(rngs[name]()).tobytes()) for name in rngs for _ in range(2)]
    other = NOT_SPLIT[kind](rngs)
    for name in other:
        if not other[name].key.shape:
            drawn.append((name, _words(other[name]()).tobytes()))
    keys = [key for _, key in drawn]
    assert len(set(keys)) == len(keys) > 6


@pytest.mark.parametrize("kind", [k for k in NOT_SPLIT if k != "a clone that replaces"])
def test_no_key_is_drawn_from_both(kind):
    rngs = nnx.Rngs(0, params=1, noise=2)
    other = NOT_SPLIT[kind](rngs)
    keys = [
        _words(streams[name]()).tobytes()
        for _ in range(2)
        for streams in (rngs, other)
        for name in streams
        if not streams[name].key.shape
    ]
    assert len(set(keys)) == len(keys)


def test_a_fresh_stream_that_is_left_alone_gives_the_keys_of_its_seed():
    first = _words(jax.random.fold_in(jax.random.key(3), 0))
    for other in (
        nnx.Rngs(0, noise=3).split({"default": 2}),
        nnx.Rngs(0, noise=3).broadcast({"default": 2}),
        nnx.Rngs(noise=nnx.RngStream(3, tag="noise")),
    ):
        assert_exact(_words(other.noise()), first)


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
