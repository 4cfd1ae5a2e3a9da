"""Wrappers around a layer: which weights they change, and how their variables are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import errors

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x))


class Model(nn.Module):
    wrap: object

    @nn.compact
    def __call__(self, x, **kwargs):
        return self.wrap(Block())(x, **kwargs)


def test_scales_are_named_by_path():
    variables = Model(lambda layer: nn.WeightNorm(layer)).init(KEY, X)
    assert set(variables["params"]["WeightNorm_0"]) == {"Block_0/Dense_0/kernel/scale"}
    assert set(variables["params"]) == {"Block_0", "WeightNorm_0"}


@pytest.mark.parametrize(
    "wanted, count", [(None, 4), (set(), 4), ({"Dense"}, 2), ({"bias"}, 2), ({"nothing"}, 0)]
)
def test_the_filter_looks_into_paths(wanted, count):
    variables = nn.WeightNorm(Block(), variable_filter=wanted).init(KEY, X)
    assert len([name for name in variables["params"] if name.endswith("/scale")]) == count


def test_weights_have_the_length_of_their_scale():
    layer = nn.WeightNorm(nn.Dense(3, use_bias=False))
    variables = layer.init(KEY, X)
    lengths = jnp.array([1.0, 2.0, 3.0])
    variables["params"]["layer_instance/kernel/scale"] = lengths
    kernel = variables["params"]["layer_instance"]["kernel"]
    want = X @ (kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True) * lengths[None])
    assert_close(layer.apply(variables, X), want, "model")


def test_the_wrapped_layer_can_update_its_own_statistics():
    for model, kwargs in (
        (nn.WeightNorm(Block()), {}),
        (nn.SpectralNorm(Block()), {"update_stats": False}),
    ):
        variables = model.init(KEY, X, **kwargs)
        _, updates = model.apply(variables, X, mutable=["batch_stats"], **kwargs)
        before = variables["batch_stats"]["layer_instance"]["BatchNorm_0"]["mean"]
        after = updates["batch_stats"]["layer_instance"]["BatchNorm_0"]["mean"]
        assert np.any(before != after)


def test_spectral_statistics_move_when_told_to():
    layer = nn.SpectralNorm(nn.Dense(3))
    variables = layer.init(KEY, X, update_stats=False)
    stats = variables["batch_stats"]
    assert set(stats) == {"layer_instance/kernel/u", "layer_instance/kernel/sigma"}
    assert_exact(stats["layer_instance/kernel/sigma"], jnp.ones(()))
    _, still = layer.apply(variables, X, update_stats=False, mutable=["batch_stats"])
    _, moved = layer.apply(variables, X, update_stats=True, mutable=["batch_stats"])
    name = "layer_instance/kernel/u"
    assert_exact(still["batch_stats"][name], stats[name])
    assert np.any(moved["batch_stats"][name] != stats[name])
    with pytest.raises(errors.ModifyScopeVariableError):
        layer.apply(variables, X, update_stats=True)


def test_training_reaches_a_largest_singular_value_of_one():
    layer = nn.SpectralNorm(nn.Dense(3, use_bias=False), n_steps=50)
    variables = layer.init(KEY, X, update_stats=True)
    y = layer.apply(variables, jnp.eye(5), update_stats=False)
    assert_close(jnp.linalg.norm(y, 2), jnp.ones(()), "model")


def test_tensors_can_be_refused():
    layer = nn.SpectralNorm(nn.DenseGeneral((2, 3)), error_on_non_matrix=True)
    with pytest.raises(ValueError, match="is 3D"):
        layer.init(KEY, X, update_stats=False)


def test_an_axis_that_a_weight_lacks_is_named():
    with pytest.raises(ValueError, match="layer_instance/kernel"):
        nn.WeightNorm(nn.Dense(3), feature_axes=2).init(KEY, X)


def test_gradients_reach_scale_and_direction():
    layer = nn.WeightNorm(nn.Dense(3))
    variables = layer.init(KEY, X)
    grads = jax.grad(lambda v: jnp.sin(layer.apply(v, X)).sum())(variables)
    assert all(np.any(leaf) for leaf in jax.tree_util.tree_leaves(grads))
