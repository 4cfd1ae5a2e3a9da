"""Normalisation layers: what they keep, when they update it, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(1.0, 2.0, (4, 3, 6)), jnp.float32)


def test_initialisation_leaves_statistics_at_their_start():
    layer = nn.BatchNorm(use_running_average=False)
    y, variables = layer.init_with_output(KEY, X)
    assert_exact(variables["batch_stats"]["mean"], jnp.zeros(6))
    assert_exact(variables["batch_stats"]["var"], jnp.ones(6))
    again, updates = layer.apply(variables, X, mutable=["batch_stats"])
    assert_exact(again, y)
    assert_close(updates["batch_stats"]["mean"], 0.01 * X.mean((0, 1)), "model")


def test_statistics_need_a_mutable_collection():
    layer = nn.BatchNorm(use_running_average=False)
    variables = layer.init(KEY, X)
    with pytest.raises(errors.ModifyScopeVariableError, match="batch_stats"):
        layer.apply(variables, X)


def test_evaluation_reads_running_statistics_and_writes_none():
    layer = nn.BatchNorm()
    variables = layer.init(KEY, X, use_running_average=True)
    y, updates = layer.apply(variables, X, use_running_average=True, mutable=["batch_stats"])
    assert_close(y, X / np.float32(np.sqrt(1 + 1e-5)), "op")
    assert_exact(updates["batch_stats"]["var"], variables["batch_stats"]["var"])


def test_the_mode_is_given_once():
    with pytest.raises(ValueError, match="use_running_average"):
        nn.BatchNorm().init(KEY, X)
    with pytest.raises(ValueError, match="use_running_average"):
        nn.BatchNorm(use_running_average=True).init(KEY, X, use_running_average=True)


def test_the_mapped_axis_need_not_exist_at_initialisation():
    layer = nn.BatchNorm(use_running_average=False, axis_name="batch")
    variables = layer.init(KEY, X[0])
    y, updates = jax.vmap(
        lambda x: layer.apply(variables, x, mutable=["batch_stats"]), axis_name="batch"
    )(X)
    whole = nn.BatchNorm(use_running_average=False)
    want, stats = whole.apply(variables, X, mutable=["batch_stats"])
    assert_close(y, want, "model")
    assert_close(updates["batch_stats"]["mean"][1], stats["batch_stats"]["mean"], "op")


@pytest.mark.parametrize("param_dtype", [jnp.bfloat16, jnp.float16])
def test_statistics_are_float32_whatever_the_parameters_are(param_dtype):
    layer = nn.BatchNorm(use_running_average=False, param_dtype=param_dtype, dtype=param_dtype)
    variables = layer.init(KEY, X.astype(param_dtype))
    _, updates = layer.apply(variables, X.astype(param_dtype), mutable=["batch_stats"])
    leaves = jax.tree_util.tree_leaves((variables["batch_stats"], updates))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
    assert variables["params"]["scale"].dtype == param_dtype


@pytest.mark.parametrize("axes, shape", [(-1, (6,)), ((2, 0), (4, 6)), ([1], (3,)), ((), ())])
def test_parameters_have_the_shape_of_the_feature_axes(axes, shape):
    variables = nn.LayerNorm(feature_axes=axes).init(KEY, X)
    assert jax.tree_util.tree_map(jnp.shape, variables["params"]) == {"scale": shape, "bias": shape}


def test_masks_reach_every_layer():
    keep = jnp.asarray(np.random.default_rng(1).random(X.shape) < 0.8).at[..., :3].set(True)
    hidden = jnp.where(keep, X, 1e6)
    layers = [
        (nn.LayerNorm(), {}),
        (nn.RMSNorm(), {}),
        (nn.GroupNorm(2), {}),
        (nn.InstanceNorm(), {}),
        (nn.BatchNorm(use_running_average=False), {"mutable": ["batch_stats"]}),
    ]
    for layer, options in layers:
        variables = layer.init(KEY, X)
        outputs = [layer.apply(variables, x, mask=keep, **options) for x in (X, hidden)]
        first, second = (out[0] if options else out for out in outputs)
        assert_exact(jnp.where(keep, first, 0), jnp.where(keep, second, 0))


def test_messages_name_the_layer():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.LayerNorm(feature_axes=5, name="last")(x)

    with pytest.raises(ValueError, match="LayerNorm at /last: Axis 5 does not exist"):
        Model().init(KEY, X)
    with pytest.raises(ValueError, match="cannot include the leading dimension"):
        nn.InstanceNorm(feature_axes=(0, 2)).init(KEY, X)
    with pytest.raises(ValueError, match="does not divide"):
        nn.GroupNorm(4).init(KEY, X)


class _Scheduled(nn.Module):
    """Every layer that normalises, with settings that come as arguments."""

    @nn.compact
    def __call__(self, x, momentum, epsilon):
        x = nn.BatchNorm(use_running_average=False, momentum=momentum, epsilon=epsilon)(x)
        x = nn.LayerNorm(epsilon=epsilon)(x)
        x = nn.RMSNorm(epsilon=epsilon)(x)
        x = nn.GroupNorm(3, epsilon=epsilon)(x)
        x = nn.InstanceNorm(epsilon=epsilon)(x[:, None])[:, 0]
        x = nn.SpectralNorm(nn.Dense(6), epsilon=epsilon)(x, update_stats=True)
        return nn.WeightNorm(nn.Dense(6), epsilon=epsilon)(x)


@pytest.mark.parametrize("kind", [jnp.float32, np.float32, lambda n: np.array(n, np.float32)])
def test_settings_may_be_arrays_that_change_from_step_to_step(kind):
    x = jax.random.normal(jax.random.key(1), (4, 6))
    model = _Scheduled()
    variables = model.init(jax.random.key(0), x, 0.9, 0.125)

    def step(momentum, epsilon):
        return model.apply(variables, x, momentum, epsilon, mutable="batch_stats")

    want = step(0.75, 0.25)
    for run in (step, jax.jit(step)):
        got = run(kind(0.75), kind(0.25))
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert_close(a, b, "model")
