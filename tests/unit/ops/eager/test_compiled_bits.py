"""The proof behind `eager_compiled`: one compiled program gives the bits of single operations.

Shapes and values are random but the same in each run. Whoever enables compilation for another
operation or dtype adds it here.
"""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie.ops import conv, linear
from ramie.ops.eager import dispatch

pytestmark = pytest.mark.optimised

CASES = 2
EQUATIONS = (
    "abc,cde->abde",
    "abcd,eafc->bfed",
    "abcd,abcd->abd",
    "abcd,cbedf->abfe",
    "ab...,bc...->ac...",
    "...a,ab->...b",
    "ab,bc->ca",
)


class Draw:
    """Random shapes and arrays of one dtype."""

    def __init__(self, seed, dtype):
        self.rng = np.random.default_rng(seed)
        self.dtype = dtype

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def sizes(self, count, low=1, high=12):
        return tuple(int(n) for n in self.rng.integers(low, high, count))

    def array(self, *shape):
        return jnp.asarray(self.rng.standard_normal(shape)).astype(self.dtype)


def _dense(draw):
    batch = draw.sizes(draw.one_of(0, 1, 2))
    inner, out = draw.one_of(1, 2, 3, 7, 16, 33, 100), draw.one_of(1, 2, 5, 16, 64)
    return linear.dense, (draw.array(*batch, inner), draw.array(inner, out), draw.array(out)), {}


def _dense_general(draw):
    shape = draw.sizes(draw.one_of(2, 3, 4))
    batched = draw.one_of(0, 1)
    chosen = draw.rng.permutation(range(batched, len(shape)))[: draw.one_of(1, 2)]
    axis = tuple(sorted(int(a) for a in chosen))
    features = draw.sizes(draw.one_of(1, 2))
    kernel = draw.array(*shape[:batched], *(shape[a] for a in axis), *features)
    arrays = (draw.array(*shape), kernel, draw.array(*shape[:batched], *features))
    return linear.dense_general, arrays, {"axis": axis, "batch_dims": tuple(range(batched))}


def _einsum(draw):
    equation = draw.one_of(*EQUATIONS)
    sizes = {label: draw.sizes(1)[0] for label in "abcdef*"}
    x_term, kernel_term = equation.partition("->")[0].replace("...", "*").split(",")
    x = draw.array(*(sizes[a] for a in x_term))
    kernel = draw.array(*(sizes[a] for a in kernel_term))
    bias = draw.array(*linear.einsum_plan(equation, x.shape, kernel.shape).bias_shape)
    return linear.einsum, (x, kernel, bias), {"equation": equation}


def _window(draw, rank):
    settings = {
        "strides": tuple(draw.one_of(1, 1, 2) for _ in range(rank)),
        "padding": draw.one_of("SAME", "VALID", "CIRCULAR", 1),
    }
    return draw.sizes(rank, 1, 4), draw.sizes(rank, 4, 9), settings


def _conv(draw):
    rank = draw.one_of(1, 2, 2, 3)
    window, spatial, settings = _window(draw, rank)
    settings["kernel_dilation"] = 2 if settings["padding"] == "CIRCULAR" else 1
    channels, out = draw.one_of(1, 2, 4, 8), draw.one_of(1, 3, 8)
    groups = draw.one_of(1, 1, channels)
    batch = draw.sizes(draw.one_of(0, 1, 2), 1, 4)
    x = draw.array(*batch, *spatial, channels)
    kernel = draw.array(*window, channels // groups, out * groups)
    return (
        conv.conv,
        (x, kernel, draw.array(out * groups)),
        {
            **settings,
            "feature_group_count": groups,
        },
    )


def _conv_local(draw):
    rank = draw.one_of(1, 2)
    window, spatial, settings = _window(draw, rank)
    channels, out = draw.one_of(1, 2, 4), draw.one_of(1, 3, 8)
    x = draw.array(2, *spatial, channels)
    places = conv.local_output_shape(x.shape, window, **settings)
    kernel = draw.array(*places, channels * math.prod(window), out)
    return conv.conv_local, (x, kernel, draw.array(*places, out)), {**settings, "window": window}


def _conv_transpose(draw):
    rank = draw.one_of(1, 2)
    window, spatial, settings = _window(draw, rank)
    settings["transpose_kernel"] = draw.one_of(True, False)
    channels, out = draw.one_of(1, 2, 4), draw.one_of(1, 3, 8)
    ends = (out, channels) if settings["transpose_kernel"] else (channels, out)
    x = draw.array(*draw.sizes(draw.one_of(0, 1), 1, 4), *spatial, channels)
    return conv.conv_transpose, (x, draw.array(*window, *ends), draw.array(out)), settings


PRODUCTS = [(make, dtype) for make in (_dense, _dense_general) for dtype in (
    "float32", "float64", "float16", "bfloat16"
)]  # fmt: skip
OTHERS = [(_einsum, "float32"), (_einsum, "bfloat16"), (_einsum, "float16")]
CONVOLUTIONS = [(make, "float32") for make in (_conv, _conv_local, _conv_transpose)]


@pytest.mark.parametrize(
    ("make", "dtype"),
    PRODUCTS + OTHERS + CONVOLUTIONS,
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)
def test_compiled_operations_keep_every_bit(make, dtype, monkeypatch):
    wide = jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()
    with wide:
        for seed in range(CASES):
            operation, arrays, settings = make(Draw(seed, dtype))
            arrays = arrays if seed % 4 else (*arrays[:2], None)
            got = operation(*arrays, **settings)
            with monkeypatch.context() as patch:
                patch.setattr(dispatch, "plain_path_wanted", lambda: True)
                want = operation(*arrays, **settings)
            assert_exact(got, want)
