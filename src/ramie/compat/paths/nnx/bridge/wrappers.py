"""Modules wrapped, under the names of ``flax.nnx.bridge.wrappers``."""

from ramie.nnx.bridge.functions import Functional as Functional
from ramie.nnx.bridge.functions import functional as functional
from ramie.nnx.bridge.linen_in_nnx import ToNNX as ToNNX
from ramie.nnx.bridge.linen_in_nnx import lazy_init as lazy_init
from ramie.nnx.bridge.nnx_in_linen import ToLinen as ToLinen
from ramie.nnx.bridge.nnx_in_linen import current_linen_module as current_linen_module
from ramie.nnx.bridge.nnx_in_linen import linen_rngs_dict as linen_rngs_dict
from ramie.nnx.bridge.nnx_in_linen import to_linen as to_linen
from ramie.nnx.bridge.nnx_in_linen import to_linen_class as to_linen_class

__all__ = [
    "Functional",
    "ToLinen",
    "ToNNX",
    "current_linen_module",
    "functional",
    "lazy_init",
    "linen_rngs_dict",
    "to_linen",
    "to_linen_class",
]
