"""Evaluating what does not need the values of some inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors
from ramie.core.tracing.abstract import evaluate_known, evaluate_without

HUGE = jax.ShapeDtypeStruct((10**6, 10**6), jnp.float32)


def test_only_what_is_needed_runs():
    def init(x, key):
        return {"w": jax.random.normal(key, (x.shape[0] // 10**6, 2)), "b": jnp.zeros(2)}

    def init_and_call(x, key):
        params = init(x, key)
        jax.random.bernoulli(key, 0.5, x.shape)  # a dropout mask that would not fit anywhere
        return jax.jit(lambda p, x: (p, x @ x))(params, x)[0]

    key = jax.random.key(3)
    expected = init(HUGE, key)
    for fn in (init, init_and_call, jax.checkpoint(init_and_call)):
        out = evaluate_without(fn, (HUGE, key), {})
        for name in ("w", "b"):
            assert_exact(out[name], expected[name])


def test_the_output_that_cannot_be_known_is_named():
    with pytest.raises(errors.LazyInitError, match=r"shape=\(10,\)"):
        evaluate_without(lambda x, y: (y, x[:10, 0] + 1), (HUGE, jnp.ones(2)), {})


def test_keyword_arguments_and_python_values_pass():
    def fn(x, *, scale, mode):
        assert mode == "sum"
        return jnp.full((2,), scale * x.ndim)

    out = evaluate_without(fn, (HUGE,), {"scale": 3, "mode": "sum"})
    assert_exact(out, jnp.full((2,), 6))


def test_printing_what_is_not_known_is_left_out(capsys):
    def fn(x, y):
        jax.debug.print("x is {}", x)
        jax.debug.print("y is {}", y)
        return 2 * y

    assert_exact(evaluate_without(fn, (HUGE, jnp.ones(2)), {}), jnp.full(2, 2.0))
    jax.effects_barrier()
    assert capsys.readouterr().out == "y is [1. 1.]\n"


def test_loops_are_looked_into():
    def fn(x):
        return jax.lax.scan(lambda c, part: (c + 1, (part, c)), jnp.zeros(()), x)

    carry, (parts, counts) = evaluate_known(fn, (jax.ShapeDtypeStruct((3, 2), jnp.float32),), {})
    assert parts == jax.ShapeDtypeStruct((3, 2), jnp.float32)
    assert_exact(carry, jnp.asarray(3.0))
    assert_exact(counts, jnp.arange(3.0))


def test_what_is_no_array_stays_as_it_is():
    def fn(x):
        return {"z": 2 * x.shape[0], "name": "sum", "none": None, "a": jnp.zeros(2), "host": HOST}

    for evaluated in (evaluate_without(fn, (HUGE,), {}), evaluate_known(fn, (HUGE,), {})):
        assert list(evaluated) == ["z", "name", "none", "a", "host"]
        assert evaluated["z"] == 2 * 10**6 and type(evaluated["z"]) is int
        assert (evaluated["name"], evaluated["none"]) == ("sum", None)
        assert evaluated["host"] is HOST
        assert_exact(evaluated["a"], jnp.zeros(2))


HOST = np.arange(3)
