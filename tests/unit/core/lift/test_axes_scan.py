"""Scanning over any axis, with constants, against a loop in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.core.axes_scan import broadcast, scan


def running(constants, carry, x, whole):
    return constants, carry + x.sum(), x * whole


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0, 1, 2, -1]),
    st.sampled_from([0, 1, 2, -1]),
    st.booleans(),
    st.booleans(),
)
def test_any_axis(in_axis, out_axis, reverse, check):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    whole = np.float32(3)
    run = scan(
        running,
        in_axes=(in_axis, broadcast),
        out_axes=out_axis,
        reverse=reverse,
        check_constancy_invariants=check,
    )
    constants, carry, ys = run((), jnp.float32(0), x, whole)
    slices = [np.take(x, i, axis=in_axis) * whole for i in range(x.shape[in_axis])]
    assert constants == ()
    assert_close(carry, x.sum(dtype=np.float32))
    assert_exact(ys, np.stack(slices, axis=out_axis))


def test_constant_outputs_come_out_once():
    def step(constants, carry, x):
        made = {"weights": jnp.ones(3) * 2}
        return made, carry + x, (made["weights"] + 1, x)

    constants, carry, (fixed, ys) = scan(step, in_axes=(0,), out_axes=(broadcast, 0))(
        {}, 0.0, jnp.arange(4.0)
    )
    assert_exact(constants["weights"], np.full(3, 2, np.float32))
    assert_exact(fixed, np.full(3, 3, np.float32))
    assert_exact(ys, np.arange(4, dtype=np.float32))
    assert float(carry) == 6


def test_steps_see_the_constants_that_were_made():
    seen = []

    def step(constants, carry, x):
        made = {"w": constants.get("w", jnp.float32(5)) + 0}
        seen.append("w" in constants)
        return made, carry + made["w"], None

    scan(step, (0,), 0, may_replay=lambda: False)({}, jnp.float32(0), jnp.arange(2.0))
    assert seen == [False, True]


@pytest.mark.parametrize("place", ["constants", "output"])
def test_what_depends_on_a_step_cannot_be_constant(place):
    def step(constants, carry, x):
        return (x if place == "constants" else ()), carry, (x if place == "output" else 0.0)

    with pytest.raises(ValueError, match="data dependency on the scan body"):
        scan(step, (0,), broadcast)((), 0.0, jnp.arange(2.0))


def test_constants_are_found_inside_of_nested_programs():
    @jax.jit
    def both(x):
        return x + 1, jnp.ones(2) * 3

    def step(constants, carry, x):
        jax.debug.callback(lambda _: None, x)
        moved, fixed = both(x)
        return fixed, carry, moved

    constants, _, ys = scan(step, (0,), 0)((), 0.0, jnp.arange(2.0))
    assert_exact(constants, np.full(2, 3, np.float32))
    assert_exact(ys, np.arange(1, 3, dtype=np.float32))


def test_a_body_that_stays_the_same_is_traced_once():
    traces = []

    def step(constants, carry, x):
        traces.append(None)
        return constants, carry + x, x

    def run(**options):
        traces.clear()
        scan(step, (0,), 0, **options)((), jnp.float32(0), jnp.arange(3.0))
        return len(traces)

    assert run() == 1
    assert run(check_constancy_invariants=False) == 1
    assert run(may_replay=lambda: False) == 2


def test_a_weakly_typed_carry_is_widened():
    _, carry, _ = scan(lambda k, c, x: (k, c + 1.5, None), (0,), 0)((), 1, jnp.arange(2.0))
    assert_exact(carry, np.float32(4))


def test_gradients_flow_through_constants_and_slices():
    def loss(constants, xs):
        def step(constants, carry, x):
            return constants, carry + constants * x, None

        return scan(step, (0,), 0)(constants, jnp.float32(0), xs)[1]

    xs = jnp.arange(1.0, 4.0)
    by_constant, by_xs = jax.grad(loss, (0, 1))(jnp.float32(2), xs)
    assert_exact(by_constant, np.float32(6))
    assert_exact(by_xs, np.full(3, 2, np.float32))


def test_mistakes_are_named():
    same = lambda constants, carry, *xs: (constants, carry, xs)
    with pytest.raises(ValueError, match="length should be specified manually"):
        scan(same, (), 0)((), 0.0)
    with pytest.raises(ValueError, match="different lengths"):
        scan(same, (0, 0), 0)((), 0.0, jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="in_axes"):
        scan(same, (0, (0, 0)), 0)((), 0.0, jnp.ones(2), jnp.ones(2))
    with pytest.raises(ValueError, match="check_constancy_invariants=False"):
        scan(same, (0,), broadcast, check_constancy_invariants=False)((), 0.0, jnp.ones(2))


def test_no_steps_at_all():
    _, carry, ys = scan(lambda k, c, x: (k, c, x), (0,), 0)((), jnp.float32(1), jnp.ones((0, 3)))
    assert float(carry) == 1
    assert ys.shape == (0, 3)


def test_without_jit_the_body_runs_for_each_step():
    steps = []

    def step(constants, carry, x):
        steps.append(not isinstance(x, jax.core.Tracer))
        return constants, carry + x, None

    with jax.disable_jit():
        _, carry, _ = scan(step, (0,), 0)((), jnp.float32(0), jnp.arange(3.0))
    assert float(carry) == 3
    assert steps.count(True) == 3
