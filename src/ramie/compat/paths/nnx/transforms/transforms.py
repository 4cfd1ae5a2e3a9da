"""Transformations that are no loops and no derivatives, under the path of Flax."""

from ramie.nnx.transforms.compilation.evaluation import checkify as checkify
from ramie.nnx.transforms.compilation.evaluation import eval_shape as eval_shape
from ramie.nnx.transforms.compilation.evaluation import make_jaxpr as make_jaxpr
from ramie.nnx.transforms.flow.control import cond as cond
from ramie.nnx.transforms.flow.control import switch as switch

__all__ = ["checkify", "cond", "eval_shape", "make_jaxpr", "switch"]
