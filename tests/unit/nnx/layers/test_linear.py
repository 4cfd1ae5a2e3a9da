"""Linear layers and convolutions: the numbers of NumPy, and of the Linen layer bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import linen, nnx

X = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
IMAGE = np.random.default_rng(1).standard_normal((2, 5, 6, 4)).astype(np.float32)


def _drawn(layer):
    """Return the same layer with a bias that is not zero."""
    if layer.bias is not None:
        layer.bias[...] = jnp.arange(layer.bias.get_value().size).reshape(layer.bias.shape) / 7
    return layer


def _linen(module, layer, x):
    return module.apply({"params": nnx.to_pure_dict(nnx.state(layer, nnx.Param))}, x)


PAIRS = [
    (lambda rngs: nnx.Linear(3, 5, rngs=rngs), linen.Dense(5), X),
    (lambda rngs: nnx.Linear(3, 5, use_bias=False, rngs=rngs), linen.Dense(5, use_bias=False), X),
    (
        lambda rngs: nnx.Linear(3, 5, dtype=jnp.bfloat16, rngs=rngs),
        linen.Dense(5, dtype=jnp.bfloat16),
        X,
    ),
    (
        lambda rngs: nnx.LinearGeneral((4, 3), (2, 5), axis=(1, -1), rngs=rngs),
        linen.DenseGeneral((2, 5), axis=(1, -1)),
        X,
    ),
    (
        lambda rngs: nnx.LinearGeneral(3, 5, batch_axis={0: 2}, rngs=rngs),
        linen.DenseGeneral(5, batch_dims=(0,)),
        X,
    ),
    (
        lambda rngs: nnx.Einsum("bij,jk->bik", (3, 5), (5,), rngs=rngs),
        linen.Einsum((3, 5), "bij,jk->bik"),
        X,
    ),
    (
        lambda rngs: nnx.Conv(4, 6, (3, 2), strides=2, feature_group_count=2, rngs=rngs),
        linen.Conv(6, (3, 2), strides=2, feature_group_count=2),
        IMAGE,
    ),
    (
        lambda rngs: nnx.ConvTranspose(4, 6, (3, 3), strides=(2, 1), rngs=rngs),
        linen.ConvTranspose(6, (3, 3), strides=(2, 1)),
        IMAGE,
    ),
]


@pytest.mark.parametrize(("make", "module", "x"), PAIRS, ids=lambda value: type(value).__name__)
def test_numbers_are_those_of_the_linen_layer(make, module, x):
    layer = _drawn(make(nnx.Rngs(0)))
    assert_exact(layer(x), _linen(module, layer, x))


def test_linear_is_a_product_and_a_sum():
    layer = _drawn(nnx.Linear(3, 5, rngs=nnx.Rngs(0)))
    want = X @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    assert_close(layer(X), want)
    assert [path[-1] for path, _ in nnx.state(layer).flat_state()] == ["bias", "kernel"]


@pytest.mark.optimised
def test_parameters_take_one_key_each_and_metadata():
    rngs = nnx.Rngs(0, params=1)
    layer = nnx.Linear(3, 5, rngs=rngs, kernel_metadata={"note": "k"}, bias_metadata={"note": "b"})
    want = jax.nn.initializers.lecun_normal()(jax.random.fold_in(jax.random.key(1), 0), (3, 5))
    assert_exact(layer.kernel[...], want)
    assert (layer.kernel.note, layer.bias.note) == ("k", "b")
    assert int(rngs.params.count[...]) == 2 and int(rngs.default.count[...]) == 0
    assert nnx.Linear(3, 5, use_bias=False, rngs=rngs).bias is None


def test_options_of_the_product():
    layer = nnx.Linear(
        3, 5, preferred_element_type=jnp.float32, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)
    )
    assert layer(X).dtype == jnp.float32
    calls = []

    def product(*args, **kwargs):
        calls.append(kwargs)
        return jax.lax.dot_general(*args, **kwargs)

    assert_exact(
        nnx.Linear(3, 5, dot_general=product, rngs=nnx.Rngs(0))(X),
        nnx.Linear(3, 5, rngs=nnx.Rngs(0))(X),
    )
    assert calls == [{"precision": None}]
    general = nnx.LinearGeneral(3, 5, dot_general_cls=lambda: product, rngs=nnx.Rngs(0))
    assert general(X).shape == (2, 4, 5) and len(calls) == 2
    einsum = nnx.Einsum("bij,jk->bik", (3, 5), (5,), einsum_op=jnp.einsum, rngs=nnx.Rngs(0))
    other = nnx.Einsum("bij,jk->bik", (3, 5), (5,), einsum_op=_einsum, rngs=nnx.Rngs(0))
    assert_close(other(X), einsum(X))


@pytest.mark.parametrize("cls", [nnx.Linear, nnx.LinearGeneral])
def test_no_function_in_place_of_the_product_is_the_usual_one(cls):
    def layer(**options):
        return cls(3, 5, rngs=nnx.Rngs(0), **options)

    for options in ({}, {"preferred_element_type": jnp.float32}):
        given = layer(dot_general=jax.lax.dot_general, **options)
        assert_exact(layer(dot_general=None, **options)(X), given(X))


def _einsum(*args, **kwargs):
    return jnp.einsum(*args, **kwargs)


def test_embed_reads_and_attends():
    layer = nnx.Embed(7, 3, rngs=nnx.Rngs(0))
    table = np.asarray(layer.embedding)
    assert_exact(layer(jnp.array([[1, 2], [6, -1]])), table[np.array([[1, 2], [6, -1]])])
    assert_close(layer.attend(X), X @ table.T)
    with pytest.raises(ValueError, match="Input type must be an integer"):
        layer(jnp.ones(2))


def test_a_mask_and_a_custom_convolution():
    mask = np.ones((3, 3, 4, 6), np.float32)
    mask[0] = 0
    layer = nnx.Conv(4, 6, (3, 3), mask=jnp.asarray(mask), rngs=nnx.Rngs(0))
    module = linen.Conv(6, (3, 3), mask=jnp.asarray(mask))
    assert_exact(layer(IMAGE), _linen(module, layer, IMAGE))
    custom = nnx.Conv(
        4,
        6,
        (3, 3),
        conv_general_dilated=lambda *a, **k: jax.lax.conv_general_dilated(*a, **k),
        rngs=nnx.Rngs(0),
    )
    assert_exact(custom(IMAGE), nnx.Conv(4, 6, (3, 3), rngs=nnx.Rngs(0))(IMAGE))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: nnx.Einsum("ab,bc", (1,), rngs=r), "->"),
        (lambda r: nnx.Einsum("ab->ab", (1,), rngs=r), "exactly one comma"),
        (lambda r: nnx.LinearGeneral(1, 1, batch_axis={1: 2}, rngs=r), "consecutive leading"),
        (lambda r: nnx.LinearGeneral((1, 2), 1, rngs=r), "in_features"),
        (lambda r: nnx.Conv(3, 4, 3, feature_group_count=2, rngs=r), "equal groups"),
        (lambda r: nnx.Conv(3, 4, (3, 3), rngs=r)(jnp.ones((5, 3))), "spatial axes"),
        (lambda r: nnx.Conv(3, 4, 3, rngs=r)(jnp.ones((1, 5, 2))), r"\(1, 5, 2\)"),
        (lambda r: nnx.Conv(3, 4, 3, mask=jnp.ones(1), rngs=r)(jnp.ones((1, 5, 3))), "Mask needs"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make(nnx.Rngs(0))
