"""Transformations of JAX for functions of modules and variables."""

from ramie.nnx.transforms.autodiff import DiffState as DiffState
from ramie.nnx.transforms.autodiff import grad as grad
from ramie.nnx.transforms.autodiff import jvp as jvp
from ramie.nnx.transforms.autodiff import value_and_grad as value_and_grad
from ramie.nnx.transforms.autodiff import vjp as vjp
from ramie.nnx.transforms.compilation import StateSharding as StateSharding
from ramie.nnx.transforms.compilation import cached_partial as cached_partial
from ramie.nnx.transforms.compilation import jit as jit
from ramie.nnx.transforms.compilation import jit_partial as jit_partial

__all__ = [
    "DiffState",
    "StateSharding",
    "cached_partial",
    "grad",
    "jit",
    "jit_partial",
    "jvp",
    "value_and_grad",
    "vjp",
]
