"""Lifted loops, branches and derivatives of modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors
from ramie import linen as nn
from ramie.core.meta import PARTITION_NAME

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3)


class Scale(nn.Module):
    """A parameter made in a compact method."""

    factor: float = 1.0

    @nn.compact
    def __call__(self, x):
        return x * self.factor * self.param("w", nn.initializers.normal(1.0), ())


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


def mapped(target, **options):
    return nn.vmap(target, variable_axes={"params": 0}, split_rngs={"params": True}, **options)


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, shift=None):
        y = jnp.tanh(nn.Dense(x.shape[-1])(x))
        return (y if shift is None else y + shift), y.mean()


def test_scan_is_a_loop_over_layers():
    layers = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)()
    variables = layers.init(KEY, X)
    y, means = layers.apply(variables, X)
    expected = X
    for i in range(4):
        weights = jax.tree.map(lambda leaf, i=i: leaf[i], variables)
        expected, _ = Layer().apply(weights, expected)
    assert_close(y, expected, "model")
    assert means.shape == (4,)
    shifted, _ = layers.apply(variables, X, shift=1.0)
    assert float(jnp.abs(shifted - y).max()) > 0.1


def test_scan_in_a_function_keeps_metadata():
    def body(module, x):
        init = nn.with_partitioning(nn.initializers.normal(1.0), ("in", "out"))
        return nn.Dense(3, kernel_init=init, use_bias=False)(x), ()

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.scan(
                body,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=2,
                metadata_params={PARTITION_NAME: "layers"},
            )(self, x)[0]

    variables = Model().init(KEY, X)
    kernel = variables["params"]["Dense_0"]["kernel"]
    assert kernel.names == ("layers", "in", "out")
    assert kernel.value.shape == (2, 3, 3)
    Model().apply(variables, X)


def test_keywords_reach_a_mapped_module():
    class Shifted(nn.Module):
        @nn.compact
        def __call__(self, x, *, by):
            return x * self.param("w", nn.initializers.ones, ()) + by

    model = mapped(Shifted)()
    variables = model.init(KEY, X, by=jnp.ones(3))
    assert_exact(model.apply(variables, X, by=jnp.ones(3)), X + 1)


def test_remat_scan_stacks_a_module():
    model = nn.remat_scan(nn.Dense, lengths=(2, 3))(features=3)
    variables = model.init(KEY, X)
    assert shapes(variables)["params"]["kernel"] == (2, 3, 3, 3)
    assert jax.grad(lambda v: model.apply(v, X).sum())(variables) is not None


# Control flow and differentiation ------------------------------------------------------------


class Chosen(nn.Module):
    """One of two layers, both with parameters."""

    @nn.compact
    def __call__(self, x, pred):
        layers = [nn.Dense(3, name=name) for name in ("a", "b")]
        if self.is_initializing():
            for layer in layers:
                layer(x)
        first, second = lambda m, x, of: of[0](x), lambda m, x, of: of[1](x)
        return nn.cond(pred, first, second, self, x, layers)


@pytest.mark.parametrize("pred", [True, False])
def test_cond_chooses_between_modules(pred):
    variables = Chosen().init(KEY, X, pred)
    dense = {"params": variables["params"]["a" if pred else "b"]}
    assert_close(Chosen().apply(variables, X, pred), nn.Dense(3).apply(dense, X))


def test_switch_with_bound_methods():
    class Model(nn.Module):
        def setup(self):
            self.dense = nn.Dense(3)

        def plus(self, x):
            return self.dense(x)

        def minus(self, x):
            return -self.dense(x)

        def __call__(self, x, index):
            if self.is_initializing():
                return self.plus(x)
            return nn.switch(index, [self.plus, self.minus], self, x)

    variables = Model().init(KEY, X, 0)
    assert_exact(Model().apply(variables, X, 0), -Model().apply(variables, X, 1))


def test_while_loop_draws_random_numbers():
    class Model(nn.Module):
        def __call__(self):
            def step(module, carry):
                number, seen = carry
                return number + 1, seen.at[number].set(jax.random.uniform(module.make_rng("noise")))

            return nn.while_loop(
                lambda module, carry: carry[0] < 3,
                step,
                self,
                (0, jnp.zeros(3)),
                split_rngs={"noise": True},
            )

    _, seen = Model().apply({}, rngs={"noise": KEY})
    assert len(set(seen.tolist())) == 3


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


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"variable_axes": {"params": 0}}, errors.InvalidRngError, "split_rngs"),
        ({"split_rngs": {"params": True}}, errors.ScopeCollectionNotFound, "variable_axes"),
    ],
)
def test_state_that_a_transformation_leaves_outside_is_explained(arguments, error, named):
    layer = nn.vmap(nn.Dense, **arguments)(2)
    with pytest.raises(error, match=f"Inside of vmap .* its argument {named} names it"):
        layer.init(jax.random.key(0), jnp.ones((2, 3)))


def test_a_loop_that_would_create_parameters_says_where_to_make_them():
    class Loop(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3)
            return nn.while_loop(lambda layer, x: False, lambda layer, x: layer(x), layer, x)

    with pytest.raises(errors.ScopeCollectionNotFound, match="make them all before the loop"):
        Loop().init(KEY, X)


def test_what_is_scanned_has_to_return_a_pair():
    class OnlyCarry(nn.Module):
        def __call__(self, carry, x):
            return carry + x

    with pytest.raises(TypeError, match=r"has to return a pair.*one array of shape \(3,\)"):
        nn.scan(OnlyCarry)().apply({}, X[0], X)


def test_a_branch_that_alone_creates_parameters_says_where_to_make_them():
    class Either(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = nn.Dense(3)
            return nn.cond(True, lambda layer, x: layer(x), lambda layer, x: x, layer, x)

    with pytest.raises(TypeError, match="branch") as raised:
        Either().init(KEY, X)
    assert any("same variables" in note for note in raised.value.__notes__)
