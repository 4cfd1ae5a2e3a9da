"""Layers that normalise: closed forms, statistics, and what is refused."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import nnx

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32) + 2


def test_batch_norm_moves_its_statistics_in_training_only():
    layer = nnx.BatchNorm(6, momentum=0.75, rngs=nnx.Rngs(0))
    want = (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5)
    assert_close(layer(X), want, "model")
    assert_close(layer.mean[...], 0.25 * X.mean(0))
    layer.eval()
    before = layer.mean[...], layer.var[...]
    want = (X - np.asarray(before[0])) / np.sqrt(np.asarray(before[1]) + 1e-5)
    assert_close(layer(X), want, "model")
    assert layer.mean[...] is before[0]
    assert layer.var[...] is before[1]


def test_batch_norm_has_to_know_whether_it_trains():
    layer = nnx.BatchNorm(6, use_running_average=None, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="No `use_running_average` argument was provided"):
        layer(X)
    layer(X, use_running_average=True)
    assert nnx.view(layer, use_running_average=True).use_running_average
    layer.set_view()
    assert layer.use_running_average is None


@pytest.mark.parametrize(
    "make",
    [
        lambda rngs: nnx.BatchNorm(5, rngs=rngs),
        lambda rngs: nnx.LayerNorm(5, rngs=rngs),
        lambda rngs: nnx.RMSNorm(5, rngs=rngs),
        lambda rngs: nnx.InstanceNorm(5, rngs=rngs),
        lambda rngs: nnx.GroupNorm(5, num_groups=1, rngs=rngs),
    ],
)
def test_other_features_are_refused(make):
    with pytest.raises(ValueError, match="was made for 5 features"):
        make(nnx.Rngs(0))(X)


def test_groups_come_out_even():
    with pytest.raises(ValueError, match="does not divide"):
        nnx.GroupNorm(6, num_groups=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"^Either `num_groups` or `group_size`"):
        nnx.GroupNorm(6, num_groups=3, group_size=2, rngs=nnx.Rngs(0))
    assert nnx.GroupNorm(6, num_groups=None, group_size=2, rngs=nnx.Rngs(0)).num_groups == 3


def test_instances_have_a_batch_axis():
    with pytest.raises(ValueError, match="cannot include the leading dimension"):
        nnx.InstanceNorm(24, feature_axes=(0, 1), rngs=nnx.Rngs(0))(X)


def test_axes_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match=r"LayerNorm at /: Axis 3 does not exist"):
        nnx.LayerNorm(6, feature_axes=3, rngs=nnx.Rngs(0))(X)


def test_metadata_and_keys():
    rngs = nnx.Rngs(0)
    layer = nnx.LayerNorm(6, rngs=rngs, scale_metadata={"note": 1}, bias_metadata={"note": 2})
    assert (layer.scale.note, layer.bias.note, int(rngs.default.count[...])) == (1, 2, 2)


def test_spectral_norm_divides_by_the_largest_singular_value():
    inner = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    kernel = np.asarray(inner.kernel[...])
    layer = nnx.SpectralNorm(inner, n_steps=100, rngs=nnx.Rngs(1))
    y = layer(X)
    largest = np.linalg.norm(kernel, 2).astype(np.float32)
    assert_close(layer.batch_stats["kernel", "sigma"][...], largest, "model")
    assert_close(y, X @ (kernel / largest), "model")
    assert_exact(inner.kernel[...], kernel)
    u = layer.batch_stats["kernel", "u"]
    before = u[...]
    layer(X, update_stats=False)
    assert u[...] is before
    layer.eval()
    layer(X)
    assert u[...] is before


def test_spectral_norm_of_what_is_no_matrix():
    conv = nnx.Conv(2, 3, (2, 2), rngs=nnx.Rngs(0))
    nnx.SpectralNorm(conv, rngs=nnx.Rngs(0))(jnp.ones((1, 3, 3, 2)))
    with pytest.raises(ValueError, match="is 4D but error_on_non_matrix is True"):
        nnx.SpectralNorm(conv, error_on_non_matrix=True, rngs=nnx.Rngs(0))


def test_weight_norm_gives_weights_the_length_of_their_scale():
    inner = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
    layer = nnx.WeightNorm(inner, rngs=nnx.Rngs(1))
    layer.scales["kernel",][...] = jnp.arange(1.0, 5.0)
    used = layer(jnp.eye(6))
    assert_close(jnp.linalg.norm(used, axis=0), np.arange(1, 5, dtype=np.float32))
    assert isinstance(layer.scales["kernel",], nnx.Param)


def test_weight_norm_of_chosen_weights():
    rngs = nnx.Rngs(0)
    inner = nnx.Sequential(nnx.Linear(6, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs))
    made = {"variable_filter": nnx.Param, "feature_axes": None}
    layer = nnx.WeightNorm(inner, scale_init=nnx.initializers.uniform(), rngs=rngs, **made)
    assert sorted(map(str, layer.scales)) == sorted(
        str(("layers", i, name)) for i in (0, 1) for name in ("bias", "kernel")
    )
    assert layer.scales["layers", 0, "kernel"].shape == ()
    assert nnx.WeightNorm(inner, use_scale=False, rngs=rngs).scales is None
    with pytest.raises(ValueError, match="Axis 1 does not exist"):
        nnx.WeightNorm(inner, feature_axes=1, variable_filter=nnx.Param, rngs=rngs)


def test_rms_norm_without_a_scale():
    layer = nnx.RMSNorm(6, use_scale=False, epsilon=0.0, rngs=nnx.Rngs(0))
    assert layer.scale is None
    mask = np.ones((1, 6), bool)
    want = X / np.sqrt((X**2).mean(-1, keepdims=True))
    assert_close(layer(X, mask), want)
    assert_exact(layer(X, mask), layer(X, mask=mask))


@pytest.mark.parametrize("kind", [jnp.float32, np.float32, lambda n: np.array(n, np.float32)])
@pytest.mark.parametrize(
    "make",
    [
        functools.partial(nnx.LayerNorm, 6),
        functools.partial(nnx.RMSNorm, 6),
        functools.partial(nnx.GroupNorm, 6, 3),
        functools.partial(nnx.InstanceNorm, 6),
        functools.partial(nnx.BatchNorm, 6, momentum=0.9),
    ],
)
def test_settings_may_be_arrays(make, kind):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 6)), jnp.float32)
    want = make(epsilon=0.25, rngs=nnx.Rngs(0))(x)
    layer = make(epsilon=kind(0.25), rngs=nnx.Rngs(0))
    assert_close(layer(x), want)
    assert_close(nnx.jit(lambda layer, x: layer(x))(layer, x), want)

    @nnx.jit
    def scheduled(layer, x, epsilon):
        layer.epsilon = nnx.data(epsilon)
        return layer(x)

    assert_close(scheduled(make(rngs=nnx.Rngs(0)), x, kind(0.25)), want)


def test_momentum_may_follow_a_schedule():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    layer, plain = (nnx.BatchNorm(6, momentum=0.9, rngs=nnx.Rngs(0)) for _ in range(2))
    for momentum in (0.5, 0.75):
        layer.momentum = nnx.data(jnp.float32(momentum))
        plain.momentum = momentum
        nnx.jit(lambda layer, x: layer(x))(layer, x)
        plain(x)
        assert_close(layer.mean[...], plain.mean[...])
        assert_close(layer.var[...], plain.var[...])
