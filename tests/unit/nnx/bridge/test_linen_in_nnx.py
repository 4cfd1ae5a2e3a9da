"""Linen modules inside of NNX models."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx
from ramie import linen as nn
from ramie.nnx import bridge

X = jnp.arange(6.0).reshape(2, 3)


class Counting(nn.Module):
    """Uses several collections and a random stream."""

    @nn.compact
    def __call__(self, x):
        calls = self.variable("counts", "calls", lambda: jnp.zeros((), jnp.int32))
        if self.is_mutable_collection("counts") and not self.is_initializing():
            calls.value += 1
        self.sow("intermediates", "x", x)
        noise = jax.random.normal(self.make_rng("noise"), (2, 2))
        return nn.Dense(2, name="dense")(x) + noise

    def doubled(self, x):
        return 2 * x


def test_variables_of_linen_are_attributes():
    model = bridge.ToNNX(nn.Dense(2), rngs=nnx.Rngs(0))
    with pytest.raises(errors.ScopeCollectionNotFound):
        model(X)
    assert model.lazy_init(X) is model and isinstance(model.kernel, nnx.Param)
    variables = {"params": {"kernel": model.kernel[...], "bias": model.bias[...]}}
    assert_exact(model(X), nn.Dense(2).apply(variables, X))
    merged = nnx.merge(*nnx.split(model))
    assert_exact(merged(X), model(X))
    with pytest.raises(AttributeError, match="neither a variable"):
        model.features  # noqa: B018


def test_changes_need_permission_and_methods_are_reachable():
    model = bridge.ToNNX(Counting(), rngs=nnx.Rngs(0, noise=1)).lazy_init(X)
    assert sorted(model.dense) == ["bias", "kernel"] and not hasattr(model, "x")
    first, second = model(X), model(X)
    assert int(model.calls[...]) == 0 and not jnp.array_equal(first, second)
    kept = model.calls
    model(X, mutable=["counts", "intermediates"])
    assert int(model.calls[...]) == 1 and model.calls is kept
    assert model.x.get_value()[0].shape == X.shape
    assert_exact(model.doubled(X), 2 * X)
    assert_exact(model(X, method="doubled"), 2 * X)
    once = model(X, rngs={"noise": jax.random.key(5)})
    assert_exact(model(X, rngs={"noise": jax.random.key(5)}), once)


def test_lazy_init_reaches_all_wrapped_modules():
    class Outer(nnx.Module):
        def __init__(self, rngs):
            self.first = bridge.ToNNX(nn.Dense(2), rngs=rngs)
            self.second = nnx.List([bridge.ToNNX(nn.Dense(1), rngs=rngs)])

        def __call__(self, x):
            assert self._pytree__state.initializing is not hasattr(self.second[0], "kernel")
            return self.second[0](self.first(x))

    model = bridge.lazy_init(Outer(nnx.Rngs(0)), X)
    assert model.second[0].kernel.shape == (2, 1) and model(X).shape == (2, 1)
    wrapped = bridge.ToNNX(Counting(), rngs=nnx.Rngs(0))
    bridge.lazy_init(wrapped.doubled, X)
    with pytest.raises(ValueError, match="needs to be a method of an NNX Module"):
        bridge.lazy_init(lambda x: x, X)


@pytest.mark.parametrize("given", [nn.Dense, 3, nnx.Linear])
def test_a_linen_module_is_wanted(given):
    with pytest.raises(TypeError, match=r"ToNNX wants a Linen module, as in ToNNX\(nn\.Dense\(3\)"):
        nnx.bridge.ToNNX(given, rngs=nnx.Rngs(0))
