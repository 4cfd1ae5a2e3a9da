"""Layers that normalise the weights of others: at use, while the parameters stay."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import nnx

X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)


def _spectral(layer):
    return nnx.SpectralNorm(layer, n_steps=2, rngs=nnx.Rngs(1))


def _lengths(layer):
    return nnx.WeightNorm(layer, rngs=nnx.Rngs(1))


WRAPPERS = [_spectral, _lengths]


def _linear(**settings):
    return nnx.Linear(6, 4, rngs=nnx.Rngs(0), **settings)


def _params(model):
    return [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("fails", [False, True])
def test_calls_leave_the_parameters_alone(wrap, train, fails):
    model = wrap(_linear())
    (model.train if train else model.eval)()
    before = _params(model)
    if fails:
        with pytest.raises((TypeError, ValueError)):
            model(X[:, :2])
    else:
        model(X)
    for old, new in zip(before, _params(model), strict=True):
        assert_exact(new, old)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_inference_closes_over_a_model(wrap):
    model = wrap(_linear())
    model.eval()
    want = model(X)
    assert_close(jax.jit(lambda x: model(x))(X), want)
    assert_close(jax.vmap(lambda x: model(x))(X), want)
    assert_close(nnx.jit(lambda m, x: m(x))(model, X), want)
    for leaf in jax.tree.leaves(nnx.state(model)):
        assert not isinstance(leaf, jax.core.Tracer)


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("kind", [{"ref": True}, {"hijax": True}])
def test_variables_of_every_kind_are_seen_normalised(wrap, kind):
    plain, other = wrap(_linear()), wrap(_linear(kernel_metadata=kind))
    before = np.array(other.layer_instance.kernel[...])
    assert_exact(other(X), plain(X))
    assert_exact(other.layer_instance.kernel[...], before)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_layer_that_is_shared_is_itself_elsewhere(wrap):
    layer = _linear()
    want = layer(X)
    wrap(layer)(X)
    assert_exact(layer(X), want)


class _Tied(nnx.Module):
    def __init__(self):
        self.first, self.second = (
            nnx.Linear(6, 6, rngs=nnx.Rngs(0)),
            nnx.Linear(6, 6, rngs=nnx.Rngs(1)),
        )
        self.second.kernel = self.first.kernel

    def __call__(self, x):
        return self.first(x), self.second(x)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_a_weight_in_two_places_is_normalised_in_both(wrap):
    one, two = wrap(_Tied())(X)
    assert_exact(one, two)


def test_what_the_layer_itself_counts_is_kept():
    model = _spectral(nnx.BatchNorm(6, rngs=nnx.Rngs(0)))
    model(X)
    assert_close(model.layer_instance.mean[...], 0.01 * X.mean(0))


@pytest.mark.parametrize("kind", ["spectral", "lengths"])
def test_training_is_that_of_linen(kind):
    model = (_spectral if kind == "spectral" else _lengths)(_linear())
    kernel, bias = model.layer_instance.kernel[...], model.layer_instance.bias[...]
    params = {"layer_instance": {"kernel": kernel, "bias": bias}}
    if kind == "spectral":
        layer, call = nn.SpectralNorm(nn.Dense(4), n_steps=2), {"update_stats": True}
        own = model.batch_stats["kernel", "u"][...], model.batch_stats["kernel", "sigma"][...]
        names = "layer_instance/kernel/u", "layer_instance/kernel/sigma"
        stats = {"batch_stats": dict(zip(names, own, strict=True))}
    else:
        layer, call, stats = nn.WeightNorm(nn.Dense(4)), {}, {}
        params["layer_instance/kernel/scale"] = jnp.ones(4)
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    for _ in range(4):

        def loss(params, stats=stats):
            y, moved = layer.apply({"params": params, **stats}, X, mutable="batch_stats", **call)
            return jnp.sum(jnp.sin(y)), moved

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
        got, grads = nnx.value_and_grad(lambda m: jnp.sum(jnp.sin(m(X))))(model)
        optimizer.update(model, grads)
        assert_close(got, value, "model")
    assert_close(model.layer_instance.kernel[...], params["layer_instance"]["kernel"], "model")


@pytest.mark.parametrize("kind", ["spectral", "lengths"])
def test_arrays_may_stand_for_what_is_kept(kind):
    make = _spectral if kind == "spectral" else _lengths
    model, other = make(_linear()), make(_linear())
    held = other.batch_stats if kind == "spectral" else other.scales
    arrays = {path: np.asarray(variable[...]).copy() for path, variable in held.items()}
    given = {path: array.copy() for path, array in arrays.items()}
    held.update(arrays)
    for _ in range(2):
        assert_close(other(X), model(X), "model")
    for path, array in arrays.items():  # those of the program stay as they were
        assert_close(array, given[path])
