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
from ramie.nnx.transforms.control import cond as cond
from ramie.nnx.transforms.control import switch as switch
from ramie.nnx.transforms.custom_rules import custom_vjp as custom_vjp
from ramie.nnx.transforms.evaluation import checkify as checkify
from ramie.nnx.transforms.evaluation import eval_shape as eval_shape
from ramie.nnx.transforms.evaluation import make_jaxpr as make_jaxpr
from ramie.nnx.transforms.loops import fori_loop as fori_loop
from ramie.nnx.transforms.loops import while_loop as while_loop
from ramie.nnx.transforms.rematerialization import remat as remat

__all__ = [
    "DiffState",
    "StateSharding",
    "cached_partial",
    "checkify",
    "cond",
    "custom_vjp",
    "eval_shape",
    "fori_loop",
    "grad",
    "jit",
    "jit_partial",
    "jvp",
    "make_jaxpr",
    "remat",
    "switch",
    "value_and_grad",
    "vjp",
    "while_loop",
]
