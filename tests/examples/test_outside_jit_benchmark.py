"""The calls of the benchmark outside of `jit` run, and give the same bits when repeated."""

import jax
from benchmarks import outside_jit
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie import nnx


def test_calls_compute_the_same_twice():
    calls = outside_jit.of_linen(nn) | outside_jit.of_nnx(nnx, {"graph": False})
    assert set(outside_jit.BARS) <= set(calls)
    with jax.numpy_rank_promotion("allow"):  # plain JAX code broadcasts, as users' code does
        for call in (*calls.values(), *outside_jit.of_jax().values()):
            jax.tree.map(assert_exact, *(nnx.pure(call()) for _ in range(2)))


def test_rows_tell_milliseconds_and_the_bar():
    series = outside_jit.Series([0.004, 0.002])
    failed = outside_jit.Series(failure="TypeError: no")
    rows = outside_jit.rows({"nn.RNN": {"ramie": series, "flax": failed}})
    assert rows == [["nn.RNN", "2.00", "failed: TypeError: no", "", "", "2.0"]]
