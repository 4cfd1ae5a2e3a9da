"""Between Linen and NNX: modules of one inside of the other, variables and metadata converted.

`ToNNX` and `ToLinen` wrap modules. `Module`, `compact` and `Scope` are for modules that are written
as in Linen and are modules of NNX.
"""

from ramie.nnx.bridge import interop as interop
from ramie.nnx.bridge import module as module
from ramie.nnx.bridge import variables as variables
from ramie.nnx.bridge import wrappers as wrappers
from ramie.nnx.bridge.interop import linen_in_bridge_mdl as linen_in_bridge_mdl
from ramie.nnx.bridge.interop import nnx_in_bridge_mdl as nnx_in_bridge_mdl
from ramie.nnx.bridge.module import AttrPriority as AttrPriority
from ramie.nnx.bridge.module import Module as Module
from ramie.nnx.bridge.module import Scope as Scope
from ramie.nnx.bridge.module import compact as compact
from ramie.nnx.bridge.module import current_context as current_context
from ramie.nnx.bridge.module import current_module as current_module
from ramie.nnx.bridge.variables import NNXMeta as NNXMeta
from ramie.nnx.bridge.variables import with_partitioning as with_partitioning
from ramie.nnx.bridge.wrappers import Functional as Functional
from ramie.nnx.bridge.wrappers import ToLinen as ToLinen
from ramie.nnx.bridge.wrappers import ToNNX as ToNNX
from ramie.nnx.bridge.wrappers import functional as functional
from ramie.nnx.bridge.wrappers import lazy_init as lazy_init
from ramie.nnx.bridge.wrappers import to_linen as to_linen
from ramie.ops import initializers as initializers

__all__ = [
    "AttrPriority",
    "Functional",
    "Module",
    "NNXMeta",
    "Scope",
    "ToLinen",
    "ToNNX",
    "compact",
    "current_context",
    "current_module",
    "functional",
    "initializers",
    "interop",
    "lazy_init",
    "linen_in_bridge_mdl",
    "module",
    "nnx_in_bridge_mdl",
    "to_linen",
    "variables",
    "with_partitioning",
    "wrappers",
]
