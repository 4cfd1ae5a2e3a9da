"""Derivatives of functions of a module, by arguments and by variables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, Scale, X

from ramie import linen as nn


class Differentiated(nn.Module):
    """Everything that can be asked of x * w."""

    @nn.compact
    def __call__(self, x):
        scale = Scale(name="scale")
        call = lambda module, x: module(x).sum()
        y, pullback = nn.vjp(call, scale, x)
        of_variables, of_x = pullback(1.0)
        value, gradients = nn.value_and_grad(call, scale, x)
        also, aux = nn.grad(lambda m, x: (call(m, x), "aux"), scale, x, has_aux=True)
        assert aux == "aux"
        moved = nn.jvp(call, scale, (x,), (jnp.ones_like(x),), {})[1]
        return y, of_variables, of_x, value, gradients[0], also[0], moved


def test_derivatives_of_a_module():
    variables = {"params": {"scale": {"w": 3.0}}}
    y, of_variables, of_x, value, gradient, also, moved = Differentiated().apply(variables, X)
    assert float(y) == float(value) == 3 * float(X.sum())
    assert float(of_variables["params"]["w"]) == float(X.sum())
    for each in (of_x, gradient, also):
        assert_exact(each, np.full((2, 3), 3, np.float32))
    assert float(moved) == 18


def test_cotangents_of_several_places_are_asked_for():
    class Holder(nn.Module):
        inner: nn.Module

        @nn.compact
        def __call__(self, x):
            return self.inner(x) * self.param("w", nn.initializers.ones, ())

    class Model(nn.Module):
        multi_scope: bool

        @nn.compact
        def __call__(self, x):
            holder = Holder(Scale(name="inner"), name="holder")
            call = lambda module, x: module(x).sum()
            _, pullback = nn.vjp(call, holder, x, multi_scope=self.multi_scope)
            return pullback(1.0)[0]

    variables = {"params": {"holder": {"w": 2.0}, "inner": {"w": 3.0}}}
    of_inner, of_holder = Model(True).apply(variables, jnp.ones(()))
    assert of_holder == {"params": {"w": 3.0}}
    assert of_inner == {"params": {"w": 2.0}}
    with pytest.raises(ValueError, match="multi_scope"):
        Model(False).apply(variables, jnp.ones(()))


def test_custom_vjp_of_a_module():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            call = lambda module, x: module(x)
            forward = lambda module, x: nn.vjp(call, module, x)

            def backward(pullback, y_t):
                of_variables, of_x = pullback(y_t)
                return jax.tree.map(jnp.sign, of_variables), of_x

            return nn.custom_vjp(call, forward, backward)(nn.Dense(1), x).sum()

    variables = Model().init(KEY, X)
    gradients = jax.grad(Model().apply)(variables, X)
    assert all(np.all(np.abs(leaf) == 1) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("fixed", [(3,), (-1,), -1, (0, 3)])
@pytest.mark.parametrize("is_named", [False, True])
def test_arguments_of_a_derivative_of_ones_own_may_come_by_keyword(fixed, is_named):
    def product(module, x, y, power=2):
        return (x * y) ** power

    function = nn.custom_vjp(
        product,
        lambda module, x, y, power: (product(module, x, y, power), (x, y)),
        lambda power, residuals, z_t: ({}, 10.0 * power * z_t, 20.0 * power * z_t),
        nondiff_argnums=fixed,
    )

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, y):
            return function(self, power=3, y=y, x=x) if is_named else function(self, x, y, 3)

    of_x, of_y = jax.grad(lambda *xs: Model().apply({}, *xs), argnums=(0, 1))(2.0, 5.0)
    assert (float(of_x), float(of_y)) == (30.0, 60.0)
