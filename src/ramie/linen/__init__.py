"""Linen: neural networks as immutable modules and pure functions."""

import importlib
from typing import TYPE_CHECKING, Any

from ramie.core import meta as meta
from ramie.core.axes_scan import broadcast as broadcast
from ramie.core.collections import Variable as Variable
from ramie.core.filters import DenyList as DenyList
from ramie.core.frozen import FrozenDict as FrozenDict
from ramie.core.meta import PARTITION_NAME as PARTITION_NAME
from ramie.core.meta import Partitioned as Partitioned
from ramie.core.meta import get_partition_spec as get_partition_spec
from ramie.core.meta import get_sharding as get_sharding
from ramie.core.meta import unbox as unbox
from ramie.core.meta import with_partitioning as with_partitioning
from ramie.linen import activation as activation
from ramie.linen import attention as attention
from ramie.linen import combinators as combinators
from ramie.linen import dtypes as dtypes
from ramie.linen import initializers as initializers
from ramie.linen import kw_only_dataclasses as kw_only_dataclasses
from ramie.linen import linear as linear
from ramie.linen import normalization as normalization
from ramie.linen import pooling as pooling
from ramie.linen import spmd as spmd
from ramie.linen import stochastic as stochastic
from ramie.linen import transforms as transforms
from ramie.linen.activation import PReLU as PReLU
from ramie.linen.activation import celu as celu
from ramie.linen.activation import elu as elu
from ramie.linen.activation import gelu as gelu
from ramie.linen.activation import glu as glu
from ramie.linen.activation import hard_sigmoid as hard_sigmoid
from ramie.linen.activation import hard_silu as hard_silu
from ramie.linen.activation import hard_swish as hard_swish
from ramie.linen.activation import hard_tanh as hard_tanh
from ramie.linen.activation import leaky_relu as leaky_relu
from ramie.linen.activation import log_sigmoid as log_sigmoid
from ramie.linen.activation import log_softmax as log_softmax
from ramie.linen.activation import logsumexp as logsumexp
from ramie.linen.activation import normalize as normalize
from ramie.linen.activation import one_hot as one_hot
from ramie.linen.activation import relu as relu
from ramie.linen.activation import relu6 as relu6
from ramie.linen.activation import selu as selu
from ramie.linen.activation import sigmoid as sigmoid
from ramie.linen.activation import silu as silu
from ramie.linen.activation import soft_sign as soft_sign
from ramie.linen.activation import softmax as softmax
from ramie.linen.activation import softplus as softplus
from ramie.linen.activation import standardize as standardize
from ramie.linen.activation import swish as swish
from ramie.linen.activation import tanh as tanh
from ramie.linen.adopt import share_scope as share_scope
from ramie.linen.attention import MultiHeadAttention as MultiHeadAttention
from ramie.linen.attention import MultiHeadDotProductAttention as MultiHeadDotProductAttention
from ramie.linen.attention import RoPE as RoPE
from ramie.linen.attention import SelfAttention as SelfAttention
from ramie.linen.attention import combine_masks as combine_masks
from ramie.linen.attention import dot_product_attention as dot_product_attention
from ramie.linen.attention import dot_product_attention_weights as dot_product_attention_weights
from ramie.linen.attention import (
    dot_product_attention_with_rope as dot_product_attention_with_rope,
)
from ramie.linen.attention import make_attention_mask as make_attention_mask
from ramie.linen.attention import make_causal_mask as make_causal_mask
from ramie.linen.combinators import Sequential as Sequential
from ramie.linen.entry import apply as apply
from ramie.linen.entry import init as init
from ramie.linen.entry import init_with_output as init_with_output
from ramie.linen.initializers import ones as ones
from ramie.linen.initializers import ones_init as ones_init
from ramie.linen.initializers import zeros as zeros
from ramie.linen.initializers import zeros_init as zeros_init
from ramie.linen.linear import Conv as Conv
from ramie.linen.linear import ConvLocal as ConvLocal
from ramie.linen.linear import ConvTranspose as ConvTranspose
from ramie.linen.linear import Dense as Dense
from ramie.linen.linear import DenseGeneral as DenseGeneral
from ramie.linen.linear import Einsum as Einsum
from ramie.linen.linear import Embed as Embed
from ramie.linen.methods import compact as compact
from ramie.linen.methods import compact_name_scope as compact_name_scope
from ramie.linen.methods import disable_named_call as disable_named_call
from ramie.linen.methods import enable_named_call as enable_named_call
from ramie.linen.methods import intercept_methods as intercept_methods
from ramie.linen.methods import nowrap as nowrap
from ramie.linen.methods import override_named_call as override_named_call
from ramie.linen.module import Module as Module
from ramie.linen.module import merge_param as merge_param
from ramie.linen.normalization import BatchNorm as BatchNorm
from ramie.linen.normalization import GroupNorm as GroupNorm
from ramie.linen.normalization import InstanceNorm as InstanceNorm
from ramie.linen.normalization import LayerNorm as LayerNorm
from ramie.linen.normalization import RMSNorm as RMSNorm
from ramie.linen.normalization import SpectralNorm as SpectralNorm
from ramie.linen.normalization import WeightNorm as WeightNorm
from ramie.linen.pooling import avg_pool as avg_pool
from ramie.linen.pooling import max_pool as max_pool
from ramie.linen.pooling import pool as pool
from ramie.linen.spmd import LogicallyPartitioned as LogicallyPartitioned
from ramie.linen.spmd import get_logical_axis_rules as get_logical_axis_rules
from ramie.linen.spmd import logical_axis_rules as logical_axis_rules
from ramie.linen.spmd import logical_to_mesh as logical_to_mesh
from ramie.linen.spmd import logical_to_mesh_axes as logical_to_mesh_axes
from ramie.linen.spmd import logical_to_mesh_sharding as logical_to_mesh_sharding
from ramie.linen.spmd import set_logical_axis_rules as set_logical_axis_rules
from ramie.linen.spmd import with_logical_constraint as with_logical_constraint
from ramie.linen.spmd import with_logical_partitioning as with_logical_partitioning
from ramie.linen.stochastic import Dropout as Dropout
from ramie.linen.transforms import add_metadata_axis as add_metadata_axis
from ramie.linen.transforms import checkpoint as checkpoint
from ramie.linen.transforms import cond as cond
from ramie.linen.transforms import custom_vjp as custom_vjp
from ramie.linen.transforms import fold_rngs as fold_rngs
from ramie.linen.transforms import grad as grad
from ramie.linen.transforms import jit as jit
from ramie.linen.transforms import jvp as jvp
from ramie.linen.transforms import map_variables as map_variables
from ramie.linen.transforms import named_call as named_call
from ramie.linen.transforms import remat as remat
from ramie.linen.transforms import remat_scan as remat_scan
from ramie.linen.transforms import scan as scan
from ramie.linen.transforms import switch as switch
from ramie.linen.transforms import value_and_grad as value_and_grad
from ramie.linen.transforms import vjp as vjp
from ramie.linen.transforms import vmap as vmap
from ramie.linen.transforms import while_loop as while_loop

if TYPE_CHECKING:
    from ramie.linen import batch_apply as batch_apply
    from ramie.linen import fp8_ops as fp8_ops
    from ramie.linen import recurrent as recurrent
    from ramie.linen import summary as summary
    from ramie.linen.batch_apply import BatchApply as BatchApply
    from ramie.linen.fp8_ops import Fp8DirectDotGeneralOp as Fp8DirectDotGeneralOp
    from ramie.linen.fp8_ops import Fp8DotGeneral as Fp8DotGeneral
    from ramie.linen.fp8_ops import Fp8DotGeneralOp as Fp8DotGeneralOp
    from ramie.linen.fp8_ops import Fp8Einsum as Fp8Einsum
    from ramie.linen.fp8_ops import NANOOFp8DotGeneralOp as NANOOFp8DotGeneralOp
    from ramie.linen.recurrent import RNN as RNN
    from ramie.linen.recurrent import Bidirectional as Bidirectional
    from ramie.linen.recurrent import ConvLSTMCell as ConvLSTMCell
    from ramie.linen.recurrent import GRUCell as GRUCell
    from ramie.linen.recurrent import LSTMCell as LSTMCell
    from ramie.linen.recurrent import MGUCell as MGUCell
    from ramie.linen.recurrent import OptimizedLSTMCell as OptimizedLSTMCell
    from ramie.linen.recurrent import RNNCellBase as RNNCellBase
    from ramie.linen.recurrent import SimpleCell as SimpleCell
    from ramie.linen.summary import tabulate as tabulate

__all__ = [
    "PARTITION_NAME",
    "RNN",
    "BatchApply",
    "BatchNorm",
    "Bidirectional",
    "Conv",
    "ConvLSTMCell",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "DenyList",
    "Dropout",
    "Einsum",
    "Embed",
    "Fp8DirectDotGeneralOp",
    "Fp8DotGeneral",
    "Fp8DotGeneralOp",
    "Fp8Einsum",
    "FrozenDict",
    "GRUCell",
    "GroupNorm",
    "InstanceNorm",
    "LSTMCell",
    "LayerNorm",
    "LogicallyPartitioned",
    "MGUCell",
    "Module",
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "NANOOFp8DotGeneralOp",
    "OptimizedLSTMCell",
    "PReLU",
    "Partitioned",
    "RMSNorm",
    "RNNCellBase",
    "RoPE",
    "SelfAttention",
    "Sequential",
    "SimpleCell",
    "SpectralNorm",
    "Variable",
    "WeightNorm",
    "activation",
    "add_metadata_axis",
    "apply",
    "attention",
    "avg_pool",
    "batch_apply",
    "broadcast",
    "celu",
    "checkpoint",
    "combinators",
    "combine_masks",
    "compact",
    "compact_name_scope",
    "cond",
    "custom_vjp",
    "disable_named_call",
    "dot_product_attention",
    "dot_product_attention_weights",
    "dot_product_attention_with_rope",
    "dtypes",
    "elu",
    "enable_named_call",
    "fold_rngs",
    "fp8_ops",
    "gelu",
    "get_logical_axis_rules",
    "get_partition_spec",
    "get_sharding",
    "glu",
    "grad",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "init",
    "init_with_output",
    "initializers",
    "intercept_methods",
    "jit",
    "jvp",
    "kw_only_dataclasses",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "logical_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "logical_to_mesh_sharding",
    "logsumexp",
    "make_attention_mask",
    "make_causal_mask",
    "map_variables",
    "max_pool",
    "merge_param",
    "meta",
    "named_call",
    "normalization",
    "normalize",
    "nowrap",
    "one_hot",
    "ones",
    "ones_init",
    "override_named_call",
    "pool",
    "pooling",
    "recurrent",
    "relu",
    "relu6",
    "remat",
    "remat_scan",
    "scan",
    "selu",
    "set_logical_axis_rules",
    "share_scope",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "spmd",
    "standardize",
    "stochastic",
    "swish",
    "switch",
    "tanh",
    "transforms",
    "unbox",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "with_logical_constraint",
    "with_logical_partitioning",
    "with_partitioning",
    "zeros",
    "zeros_init",
]

# What many programs do not use is imported when it is first asked for.
_LAZY = {
    "batch_apply": ("batch_apply", "BatchApply"),
    "fp8_ops": (
        "fp8_ops",
        "Fp8DirectDotGeneralOp",
        "Fp8DotGeneral",
        "Fp8DotGeneralOp",
        "Fp8Einsum",
        "NANOOFp8DotGeneralOp",
    ),
    "recurrent": (
        "recurrent",
        "RNN",
        "Bidirectional",
        "ConvLSTMCell",
        "GRUCell",
        "LSTMCell",
        "MGUCell",
        "OptimizedLSTMCell",
        "RNNCellBase",
        "SimpleCell",
    ),
    "summary": ("summary", "tabulate"),
}
_HOMES = {name: home for home, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(
            f"module 'ramie.linen' has no attribute {name!r}; dir(ramie.linen) lists what it has"
        )
    module = importlib.import_module(f"ramie.linen.{home}")
    value = module if name == home else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
