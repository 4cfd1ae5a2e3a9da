"""Layers as functions of a scope, for code that uses `ramie.core` without modules.

Each function binds the Linen layer of its name to the scope, so parameters and numbers are the
layer's. Reached as ``ramie.core.nn``.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ramie.core.scope import Scope
from ramie.linen import initializers as initializers
from ramie.linen.layers import conv as _conv
from ramie.linen.layers import linear as _linear
from ramie.typing import Array, Dtype, Initializer, PaddingLike, PrecisionLike

__all__ = ["conv", "conv_transpose", "dense", "dense_general", "initializers"]


def dense(
    scope: Scope,
    inputs: Array,
    features: int,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = _linear.default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.Dense` whose parameters lie in the scope: ``[..., in] -> [..., features]``."""
    layer: Any = _linear.Dense
    return layer(
        features,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


def dense_general(
    scope: Scope,
    inputs: Array,
    features: int | Sequence[int],
    axis: int | Sequence[int] = -1,
    batch_dims: Sequence[int] = (),
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    kernel_init: Initializer = _linear.default_kernel_init,
    bias_init: Initializer = initializers.zeros,
    precision: PrecisionLike = None,
) -> Array:
    """Apply a `linen.DenseGeneral` whose parameters lie in the scope."""
    layer: Any = _linear.DenseGeneral
    return layer(
        features,
        axis=axis,
        batch_dims=batch_dims,
        use_bias=bias,
        dtype=dtype,
        kernel_init=kernel_init,
        bias_init=bias_init,
        precision=precision,
        parent=scope,
    )(inputs)


def conv(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    input_dilation: Sequence[int] | None = None,
    kernel_dilation: Sequence[int] | None = None,
    feature_group_count: int = 1,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = _linear.default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.Conv` whose parameters lie in the scope."""
    layer: Any = _conv.Conv
    return layer(
        features,
        kernel_size,
        strides=1 if strides is None else strides,
        padding=padding,
        input_dilation=1 if input_dilation is None else input_dilation,
        kernel_dilation=1 if kernel_dilation is None else kernel_dilation,
        feature_group_count=feature_group_count,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)


def conv_transpose(
    scope: Scope,
    inputs: Array,
    features: int,
    kernel_size: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: PaddingLike = "SAME",
    kernel_dilation: Sequence[int] | None = None,
    bias: bool = True,
    dtype: Dtype = jnp.float32,
    precision: PrecisionLike = None,
    kernel_init: Initializer = _linear.default_kernel_init,
    bias_init: Initializer = initializers.zeros,
) -> Array:
    """Apply a `linen.ConvTranspose` whose parameters lie in the scope."""
    layer: Any = _conv.ConvTranspose
    return layer(
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        use_bias=bias,
        dtype=dtype,
        precision=precision,
        kernel_init=kernel_init,
        bias_init=bias_init,
        parent=scope,
    )(inputs)
