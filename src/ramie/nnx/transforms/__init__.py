"""Transformations of JAX for functions of modules and variables."""

from ramie.nnx.transforms.autodiff import DiffState as DiffState
from ramie.nnx.transforms.autodiff import grad as grad
from ramie.nnx.transforms.autodiff import jvp as jvp
from ramie.nnx.transforms.autodiff import value_and_grad as value_and_grad
from ramie.nnx.transforms.autodiff import vjp as vjp
from ramie.nnx.transforms.axes import Carry as Carry
from ramie.nnx.transforms.axes import StateAxes as StateAxes
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
from ramie.nnx.transforms.mapping import vmap as vmap
from ramie.nnx.transforms.partitioning import transform_metadata as transform_metadata
from ramie.nnx.transforms.rematerialization import remat as remat
from ramie.nnx.transforms.scanning import scan as scan
from ramie.nnx.transforms.sharded import pmap as pmap
from ramie.nnx.transforms.sharded import shard_map as shard_map

__all__ = [
    "Carry",
    "DiffState",
    "StateAxes",
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
    "pmap",
    "remat",
    "scan",
    "shard_map",
    "switch",
    "transform_metadata",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
