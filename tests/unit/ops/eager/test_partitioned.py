"""Operations that are written out give the numbers of those that JAX has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from tests.tolerance import assert_close

from ramie.ops import conv
from ramie.ops.eager.partitioned import grouped_conv


def _arrays(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), "float32") for shape in shapes]


@pytest.mark.parametrize(
    ("strides", "padding", "input_dilation", "kernel_dilation"),
    [
        ((1, 1), "SAME", (1, 1), (1, 1)),
        ((2, 3), "SAME", (1, 1), (1, 2)),
        ((2, 1), "VALID", (1, 1), (1, 1)),
        ((1, 2), ((2, 0), (-1, 3)), (2, 1), (2, 1)),
        ((1, 1), "SAME_LOWER", (1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolutions(groups, strides, padding, input_dilation, kernel_dilation):
    x, kernel = _arrays((2, 7, 6, 4), (3, 2, 4 // groups, 8))
    settings = (strides, padding, input_dilation, kernel_dilation)

    def by_jax(x, kernel):
        numbers = conv.conv_dimension_numbers(x.shape)
        return lax.conv_general_dilated(
            x, kernel, *settings, dimension_numbers=numbers, feature_group_count=groups
        )

    def ours(x, kernel):
        return grouped_conv(x, kernel, *settings, groups, None)

    assert_close(ours(x, kernel), by_jax(x, kernel), "model")

    def gradient(f):
        return jax.jit(jax.grad(lambda *args: jnp.sum(jnp.sin(f(*args))), argnums=(0, 1)))

    for got, want in zip(gradient(ours)(x, kernel), gradient(by_jax)(x, kernel), strict=True):
        assert_close(got, want, "model")


def test_an_input_smaller_than_the_window_has_no_results():
    x, kernel = _arrays((2, 2, 4), (3, 2, 8))
    assert grouped_conv(x, kernel, (1,), "VALID", (1,), (1,), 2, None).shape == (2, 0, 8)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_gradients_of_grouped_kernels_on_a_mesh_of_two_axes(kind):
    x, kernel = _arrays((4, 5, 5, 4), (3, 3, 1, 4))

    def gradient(x, kernel):
        def loss(k):
            return jnp.sum(jnp.sin(conv.conv(x, k, feature_group_count=4)))

        return jax.grad(loss)(kernel)

    want = jax.jit(gradient)(x, kernel)
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(kind,) * 2, devices=jax.devices()[:4])
    with jax.set_mesh(mesh):
        got = jax.jit(gradient)(jax.device_put(x, P("a")), jax.device_put(kernel, P()))
    assert_close(got, want, "model")
