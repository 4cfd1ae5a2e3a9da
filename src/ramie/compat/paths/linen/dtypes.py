"""Choosing the dtype that a layer computes in, under the names of ``flax.linen.dtypes``."""

from ramie.ops.dtypes import canonicalize_dtype as canonicalize_dtype
from ramie.ops.dtypes import promote_dtype as promote_dtype

__all__ = ["canonicalize_dtype", "promote_dtype"]
