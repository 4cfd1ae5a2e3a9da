"""Dtypes of layers, under the names of ``flax.nnx.nn.dtypes``."""

from ramie.nnx.layers.dtypes import promote_dtype as promote_dtype
from ramie.ops.dtypes import canonicalize_dtype as canonicalize_dtype
from ramie.typing import PromoteDtypeFn as PromoteDtypeFn

__all__ = ["PromoteDtypeFn", "canonicalize_dtype", "promote_dtype"]
