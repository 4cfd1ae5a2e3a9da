"""Modules that are mapped or scanned over an axis."""

import jax
import jax.numpy as jnp
import pytest
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY, X, mapped, shapes

from ramie import errors
from ramie import linen as nn
from ramie.core.meta import PARTITION_NAME


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


def test_what_is_scanned_has_to_return_a_pair():
    class OnlyCarry(nn.Module):
        def __call__(self, carry, x):
            return carry + x

    with pytest.raises(TypeError, match=r"has to return a pair.*one array of shape \(3,\)"):
        nn.scan(OnlyCarry)().apply({}, X[0], X)
