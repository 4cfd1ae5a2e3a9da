"""Norms of activations against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.foundation.configurations import config
from ramie.ops import norm
from ramie.ops.moments import canonical_axes


def _floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(1.0, 2.0, shape)


def _normalised(x, axes, epsilon, where=True):
    mean = x.mean(axes, keepdims=True, where=where)
    return (x - mean) / np.sqrt(x.var(axes, keepdims=True, where=where) + epsilon)


def _float32(*arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


@settings(max_examples=5, deadline=None)
@given(st.sampled_from([-1, 0, (0, 2), (1, -1), (0, 1, 2)]), st.booleans())
def test_layer_norm_has_the_moments_asked_for(axes, fast):
    x, scale, bias = _floats(3, 4, 5), _floats(5, seed=1), _floats(5, seed=2)
    got = norm.layer_norm(*_float32(x, scale, bias), reduction_axes=axes, use_fast_variance=fast)
    assert_close(got, (_normalised(x, axes, 1e-6) * scale + bias).astype(np.float32), "model")


def test_two_pass_variance_survives_a_large_mean():
    x = _floats(3, 64) + 1e4
    (y,) = _float32(x)
    got = norm.layer_norm(y, use_fast_variance=False)
    want = _normalised(np.asarray(y, np.float64), -1, 1e-6)
    # The input itself is rounded to a thousandth, so the spread is what is compared.
    assert_close(jnp.std(got), jnp.asarray(want.std(), jnp.float32), "model")


@pytest.mark.parametrize("keep_broadcast", [False, True])
def test_masked_entries_do_not_count(keep_broadcast):
    x = _floats(3, 4, 6)
    keep = np.random.default_rng(3).random((3, 1 if keep_broadcast else 4, 6)) < 0.6
    keep[..., :2] = True
    shown = np.where(keep, x, np.nan)
    got = norm.layer_norm(*_float32(shown), mask=jnp.asarray(keep))
    full = np.broadcast_to(keep, x.shape)
    want = np.where(full, _normalised(x, -1, 1e-6, where=full), np.nan)
    np.testing.assert_array_equal(np.isnan(got), ~full)
    assert_close(jnp.where(full, got, 0), np.where(full, want, 0).astype(np.float32), "model")


def test_a_mask_of_numbers_is_one_of_truth_values():
    (x,) = _float32(_floats(3, 6))
    keep = jnp.asarray(np.arange(18).reshape(3, 6) % 4 > 0)
    counted = norm.layer_norm(x, mask=keep.astype(jnp.float32) * 3)
    assert_exact(counted, norm.layer_norm(x, mask=keep))


def test_root_mean_square_norm_leaves_the_mean():
    x, scale = _floats(3, 5), _floats(5, seed=1)
    want = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
    got = norm.layer_norm(*_float32(x, scale), use_mean=False)
    assert_close(got, want.astype(np.float32), "op")


@pytest.mark.parametrize("sizes", [{"num_groups": 3}, {"num_groups": None, "group_size": 2}])
def test_group_norm_normalises_each_group(sizes):
    x, scale, bias = _floats(2, 4, 5, 6), _floats(6, seed=1), _floats(6, seed=2)
    grouped = _normalised(x.reshape(2, 4, 5, 3, 2), (1, 2, 4), 1e-6).reshape(x.shape)
    got = norm.group_norm(*_float32(x, scale, bias), **sizes)
    assert_close(got, (grouped * scale + bias).astype(np.float32), "model")


def test_group_norm_takes_masks_that_broadcast():
    (x,) = _float32(_floats(2, 4, 6))
    keep = jnp.asarray(np.arange(8).reshape(2, 4, 1) % 3 > 0)
    want = norm.group_norm(x, mask=jnp.broadcast_to(keep, x.shape), num_groups=2)
    assert_exact(norm.group_norm(x, mask=keep, num_groups=2), want)


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"num_groups": 4}, "does not divide"),
        ({"num_groups": 0}, "does not divide"),
        ({"num_groups": None, "group_size": 4}, "is not multiple of the group size"),
        ({"num_groups": None, "group_size": 0}, "is not multiple of the group size"),
        ({"num_groups": None}, "^Either `num_groups` or `group_size`"),
        ({"num_groups": 2, "group_size": 3}, "^Either `num_groups` or `group_size`"),
        ({"num_groups": 2, "reduction_axes": (0, 1)}, "must include the final dimension"),
    ],
)
def test_groups_that_do_not_come_out_even_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        norm.group_norm(jnp.ones((2, 3, 6)), **sizes)


@pytest.mark.parametrize("axis", [-1, 1, (0, 2)])
@pytest.mark.parametrize("fast", [True, False])
def test_batch_norm_mixes_the_batch_into_running_statistics(axis, fast):
    x = _floats(4, 3, 5)
    kept = canonical_axes(3, axis)
    axes = tuple(a for a in range(3) if a not in kept)
    mean, var = x.mean(axes), x.var(axes)
    running = [np.full(mean.shape, 0.5), np.full(mean.shape, 2.0)]
    y, new_mean, new_var = norm.batch_norm_update(
        *_float32(x, *running), axis=axis, momentum=0.8, use_fast_variance=fast
    )
    assert_close(y, _normalised(x, axes, 1e-5).astype(np.float32), "model")
    assert_close(new_mean, (0.8 * 0.5 + 0.2 * mean).astype(np.float32), "op")
    assert_close(new_var, (0.8 * 2.0 + 0.2 * var).astype(np.float32), "model")


def test_batch_norm_without_running_statistics_moves_none():
    _, mean, var = norm.batch_norm_update(jnp.ones((3, 2)), None, None)
    assert mean is None
    assert var is None


def test_batch_norm_evaluates_with_what_it_is_given():
    x, mean, var = _floats(4, 5), _floats(5, seed=1), _floats(5, seed=2) ** 2
    want = (x - mean) / np.sqrt(var + 1e-5)
    assert_close(norm.batch_norm(*_float32(x, mean, var)), want.astype(np.float32), "op")


def test_statistics_are_averaged_over_a_mapped_axis():
    x = _floats(4, 3, 5)
    (y,) = _float32(x)

    def one(part, fast):
        return norm.batch_norm_update(
            part, jnp.zeros(5), jnp.zeros(5), momentum=0.0, axis_name="b", use_fast_variance=fast
        )

    for fast in (True, False):
        out, mean, var = jax.vmap(lambda part, fast=fast: one(part, fast), axis_name="b")(y)
        assert_close(mean[2], x.mean((0, 1)).astype(np.float32), "op")
        if fast:  # moments are averaged, so the variance is that of the whole batch
            assert_close(var[2], x.var((0, 1)).astype(np.float32), "model")
            assert_close(out, _normalised(x, (0, 1), 1e-5).astype(np.float32), "model")


def test_statistics_are_averaged_within_groups_of_a_mapped_axis():
    x = jnp.asarray(_floats(4, 3, 5), jnp.float32)

    def one(part):
        return norm.layer_norm(part, axis_name="b", axis_index_groups=[[0, 1], [2, 3]])

    got = jax.pmap(one, axis_name="b")(x)
    halves = [
        jax.vmap(lambda p: norm.layer_norm(p, axis_name="b"), axis_name="b")(h)
        for h in (x[:2], x[2:])
    ]
    assert_close(got, jnp.concatenate(halves), "op")


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_reduced_precision_takes_its_statistics_in_float32(dtype):
    x = jnp.asarray(_floats(3, 257), dtype)
    got = norm.layer_norm(x)
    assert got.dtype == dtype
    want = _normalised(np.asarray(x, np.float64), -1, 1e-6)
    assert_close(got, want.astype(dtype), "op")


def test_complex_numbers_have_a_real_variance():
    x = _floats(3, 8) + 1j * _floats(3, 8, seed=1)
    centred = x - x.mean(-1, keepdims=True)
    want = centred / np.sqrt((np.abs(centred) ** 2).mean(-1, keepdims=True) + 1e-6)
    assert_close(norm.layer_norm(jnp.asarray(x, jnp.complex64)), want.astype(np.complex64), "model")


def test_integers_become_floats():
    got = norm.layer_norm(jnp.arange(6).reshape(2, 3))
    assert got.dtype == jnp.float32
    assert_exact(got, norm.layer_norm(jnp.arange(6.0).reshape(2, 3)))


def test_gradients_flow_through_the_statistics():
    (x,) = _float32(_floats(3, 6))
    (weights,) = _float32(_floats(3, 6, seed=1))
    for fast in (True, False):
        grad = jax.grad(
            lambda y, fast=fast: (norm.layer_norm(y, use_fast_variance=fast) * weights).sum()
        )(x)
        # Layer norm does not see a shift of its input, so gradients sum to nothing.
        assert_close(grad.sum(-1) + 1, jnp.ones(3), "model")


@pytest.mark.parametrize("axes", [3, (0, 4), -4, "x", 1.5, None])
def test_axes_that_do_not_exist_are_refused(axes):
    with pytest.raises(ValueError, match=r"[Aa]x[ei]s"):
        norm.layer_norm(jnp.ones((2, 3, 4)), reduction_axes=axes)


def test_axes_are_sorted_and_each_counted_once():
    assert canonical_axes(4, (-1, 0, 3)) == (0, 3)
    assert canonical_axes(2, -2) == (0,)
    assert canonical_axes(2, ()) == ()


# --- masks, empty batches, settings that are arrays ---

SCALE, BIAS = jnp.linspace(0.5, 2.0, 6), jnp.linspace(-1.0, 1.0, 6)


def _updating_batch_norm(x, scale, bias, mask=None, running=None, **settings):
    mean, var = (None, None) if running is None else running
    y, *moved = norm.batch_norm_update(x, mean, var, scale, bias, mask, **settings)
    return y if running is None else (y, *moved)


def _rms_norm(x, scale, bias, mask=None, **settings):
    return norm.layer_norm(x, scale, None, mask, use_mean=False, **settings)


def _group_norm(x, scale, bias, mask=None, **settings):
    return norm.group_norm(x, scale, bias, mask, num_groups=3, **settings)


def _instance_norm(x, scale, bias, mask=None, **settings):
    return norm.layer_norm(x, scale, bias, mask, reduction_axes=(1, 2), **settings)


NORMS = [norm.layer_norm, _rms_norm, _group_norm, _instance_norm, _updating_batch_norm]


def _numbers(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def _masks():
    """Yield masks for [4, 3, 5, 6]: per place, per example, per channel, and none or all of it."""
    rng = np.random.default_rng(1)
    places = rng.random((4, 3, 5, 1)) < 0.6
    places[0], places[2, 0] = False, False
    yield "places", places
    yield "examples", np.array([True, False, True, False]).reshape(4, 1, 1, 1)
    yield "channels", np.array([True, True, False, False, True, False])
    yield "entries", rng.random((4, 3, 5, 6)) < 0.3
    yield "nothing", np.zeros((4, 1, 1, 1), bool)
    yield "all", np.ones((1, 1, 1, 1), bool)


MASKS = dict(_masks())


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("function", NORMS)
@pytest.mark.parametrize("junk", [np.nan, np.inf, -np.inf])
def test_what_is_masked_counts_nothing_and_gradients_are_finite(function, mask, fast, junk):
    mask = jnp.asarray(MASKS[mask])
    kept = jnp.broadcast_to(mask, (4, 3, 5, 6))
    x = _numbers(4, 3, 5, 6)

    def loss(x, scale, bias):
        y = function(x, scale, bias, mask, use_fast_variance=fast)
        return jnp.sum(jnp.where(kept, jnp.sin(y), 0.0))

    plain = jax.value_and_grad(loss, (0, 1, 2))(jnp.where(kept, x, 0.0), SCALE, BIAS)
    spoilt = jax.value_and_grad(loss, (0, 1, 2))(jnp.where(kept, x, junk), SCALE, BIAS)
    for got, want in zip(jax.tree.leaves(spoilt), jax.tree.leaves(plain), strict=True):
        assert bool(jnp.isfinite(got).all())
        assert_close(got, want, "model")
    assert bool(jnp.all(jnp.where(kept, 0.0, spoilt[1][0]) == 0.0))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("function", NORMS)
def test_what_is_masked_wholly_keeps_its_size(function, fast):
    x = _numbers(4, 3, 5, 6)
    nothing = jnp.zeros((4, 1, 1, 1), bool)
    y = function(x, SCALE, jnp.zeros_like(BIAS), nothing, use_fast_variance=fast)
    assert_close(y, np.asarray(x) * np.asarray(SCALE), "model")


@pytest.mark.parametrize("function", NORMS)
def test_finite_numbers_under_a_mask_are_normalised_as_ever(function):
    x, mask = _numbers(4, 3, 5, 6), jnp.asarray(MASKS["places"])
    y = function(x, SCALE, BIAS, mask)
    broken = x.at[0, 0, 0, 0].set(jnp.nan)
    again = function(broken, SCALE, BIAS, mask)
    assert bool(jnp.isnan(again[0, 0, 0, 0])) and bool(jnp.isfinite(y).all())
    assert_exact(again.at[0, 0, 0, 0].set(0.0), y.at[0, 0, 0, 0].set(0.0))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_running_statistics_stay_where_nothing_counts(mask, jit):
    mask = jnp.asarray(MASKS[mask])
    running = _numbers(6, seed=3), _numbers(6, seed=4) ** 2
    step = jax.jit(_updating_batch_norm) if jit else _updating_batch_norm
    _, *moved = step(_numbers(4, 3, 5, 6), SCALE, BIAS, mask, running)
    kept = np.broadcast_to(mask, (4, 3, 5, 6)).any((0, 1, 2))
    for old, new in zip(running, moved, strict=True):
        assert bool(jnp.isfinite(new).all())
        assert_exact(new == old, ~kept)


def test_an_empty_batch_moves_nothing():
    running = _numbers(6, seed=3), _numbers(6, seed=4) ** 2
    y, *moved = _updating_batch_norm(jnp.zeros((0, 6)), SCALE, BIAS, None, running)
    assert y.shape == (0, 6)
    for old, new in zip(running, moved, strict=True):
        assert_exact(new, old)


@pytest.mark.parametrize("fast", [True, False])
def test_devices_count_by_what_their_masks_let_through(fast):
    x, running = _numbers(4, 5, 6), (jnp.zeros(6), jnp.ones(6))
    mask = jnp.asarray(np.arange(20).reshape(4, 5, 1) % 7 < jnp.arange(4)[:, None, None] * 2)
    settings = {"use_fast_variance": fast}

    def of_one(x, mask):
        return _updating_batch_norm(x, SCALE, BIAS, mask, running, axis_name="devices", **settings)

    y, *moved = jax.vmap(of_one, axis_name="devices")(x, mask)
    whole, *want = _updating_batch_norm(
        x.reshape(20, 6), SCALE, BIAS, mask.reshape(20, 1), running, **settings
    )
    assert_close(y.reshape(20, 6), whole, "model")
    for got, right in zip(moved, want, strict=True):
        assert_close(got[0], right, "model")


def _as_argument(number):
    return jnp.float32(number)


def _as_numpy(number):
    return np.array(number, np.float32)


@pytest.mark.parametrize("kind", [_as_argument, _as_numpy, np.float32])
@pytest.mark.parametrize("function", NORMS)
def test_epsilon_may_be_an_array(function, kind):
    x = _numbers(4, 3, 5, 6)
    got = function(x, SCALE, BIAS, epsilon=kind(0.25))
    assert_exact(got, function(x, SCALE, BIAS, epsilon=0.25))


@pytest.mark.parametrize("function", NORMS)
def test_epsilon_may_be_traced(function):
    x = _numbers(4, 3, 5, 6)

    def run(epsilon):
        return function(x, SCALE, BIAS, epsilon=epsilon)

    assert_close(jax.jit(run)(0.25), run(0.25))
    assert_close(jax.vmap(run)(jnp.array([0.25, 0.5]))[1], run(0.5))
    assert float(jnp.abs(jax.grad(lambda e: run(e)[0, 0, 0, 0])(0.25))) > 0


@pytest.mark.parametrize("traced", [False, True])
def test_momentum_may_be_an_array(traced):
    x, running = _numbers(4, 3, 5, 6), (_numbers(6, seed=3), _numbers(6, seed=4) ** 2)

    def run(momentum):
        return _updating_batch_norm(x, SCALE, BIAS, None, running, momentum=momentum)

    got = (jax.jit(run) if traced else run)(jnp.float32(0.75))
    for found, want in zip(got, run(0.75), strict=True):
        assert_close(found, want)


@pytest.fixture(params=["setting", "flag"])
def exactly(request):
    """How the variance is taken in a second pass."""
    if request.param == "setting":
        yield {"use_fast_variance": False}
    else:
        with config.temp_flip_flag("exact_variance", True):
            yield {}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("mean, deviation", [(100.0, 0.01), (-3000.0, 1.0), (1e4, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("function", [f for f in NORMS if f is not _rms_norm])
@pytest.mark.parametrize("masked", [False, True])
def test_a_large_mean_does_not_hide_the_deviation(function, mean, deviation, jit, masked, exactly):
    draws = np.random.default_rng(0).normal(mean, deviation, size=(16, 8, 8, 6))
    x = jnp.asarray(draws, jnp.float32)
    mask = jnp.ones((16, 1, 1, 1), bool) if masked else None

    def run(x):
        return function(x, jnp.ones(6), jnp.zeros(6), mask, epsilon=0.0, **exactly)

    y = (jax.jit(run) if jit else run)(x)
    assert_close(jnp.std(y), np.float32(1), "model")


def test_by_default_the_variance_takes_one_pass():
    """Its bits are those of Flax, and the reason for the flag: a large mean takes all digits."""
    x = jnp.asarray(np.random.default_rng(0).normal(100, 0.01, size=(16, 64)), jnp.float32)
    assert float(jnp.std(norm.layer_norm(x))) > 2
    with config.temp_flip_flag("exact_variance", True):
        two = norm.layer_norm(x)
    assert_exact(two, norm.layer_norm(x, use_fast_variance=False))
    assert config.ramie_exact_variance is False
