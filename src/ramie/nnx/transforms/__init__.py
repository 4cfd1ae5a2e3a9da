"""Transformations of JAX for functions of modules and variables."""

from ramie.nnx.transforms.compilation import StateSharding as StateSharding
from ramie.nnx.transforms.compilation import cached_partial as cached_partial
from ramie.nnx.transforms.compilation import jit as jit
from ramie.nnx.transforms.compilation import jit_partial as jit_partial

__all__ = ["StateSharding", "cached_partial", "jit", "jit_partial"]
