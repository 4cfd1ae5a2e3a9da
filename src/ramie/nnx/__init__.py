"""Models as mutable Python objects: modules hold variables, variables hold arrays.

Functions take a model apart into structure and state, for the transformations of JAX, and put it
together again.
"""

from ramie.nnx import compat as compat
from ramie.nnx import containers as helpers
from ramie.nnx import filters as filterlib
from ramie.nnx import graphlib as graph
from ramie.nnx import graphlib as graphlib
from ramie.nnx import layers as nn
from ramie.nnx import metrics as metrics
from ramie.nnx import module as module
from ramie.nnx import optimizer as optimizer
from ramie.nnx import pytree as pytreelib
from ramie.nnx import rnglib as rnglib
from ramie.nnx import saving as saving
from ramie.nnx import spmd as spmd
from ramie.nnx import statelib as statelib
from ramie.nnx import training as training
from ramie.nnx import variable as variablelib
from ramie.nnx.activations import celu as celu
from ramie.nnx.activations import elu as elu
from ramie.nnx.activations import gelu as gelu
from ramie.nnx.activations import glu as glu
from ramie.nnx.activations import hard_sigmoid as hard_sigmoid
from ramie.nnx.activations import hard_silu as hard_silu
from ramie.nnx.activations import hard_swish as hard_swish
from ramie.nnx.activations import hard_tanh as hard_tanh
from ramie.nnx.activations import identity as identity
from ramie.nnx.activations import leaky_relu as leaky_relu
from ramie.nnx.activations import log_sigmoid as log_sigmoid
from ramie.nnx.activations import log_softmax as log_softmax
from ramie.nnx.activations import logsumexp as logsumexp
from ramie.nnx.activations import one_hot as one_hot
from ramie.nnx.activations import relu as relu
from ramie.nnx.activations import relu6 as relu6
from ramie.nnx.activations import selu as selu
from ramie.nnx.activations import sigmoid as sigmoid
from ramie.nnx.activations import silu as silu
from ramie.nnx.activations import soft_sign as soft_sign
from ramie.nnx.activations import softmax as softmax
from ramie.nnx.activations import softplus as softplus
from ramie.nnx.activations import standardize as standardize
from ramie.nnx.activations import swish as swish
from ramie.nnx.activations import tanh as tanh
from ramie.nnx.capturing import capture as capture
from ramie.nnx.containers import Dict as Dict
from ramie.nnx.containers import List as List
from ramie.nnx.containers import Sequential as Sequential
from ramie.nnx.conversions import vars_as as vars_as
from ramie.nnx.conversions import with_vars as with_vars
from ramie.nnx.ema import EMA as EMA
from ramie.nnx.filters import All as All
from ramie.nnx.filters import Any as Any
from ramie.nnx.filters import Everything as Everything
from ramie.nnx.filters import Not as Not
from ramie.nnx.filters import Nothing as Nothing
from ramie.nnx.filters import OfType as OfType
from ramie.nnx.filters import PathContains as PathContains
from ramie.nnx.filters import WithTag as WithTag
from ramie.nnx.flat import flatten as flatten
from ramie.nnx.flat import unflatten as unflatten
from ramie.nnx.forks import fork_rngs as fork_rngs
from ramie.nnx.forks import reseed as reseed
from ramie.nnx.forks import restore_rngs as restore_rngs
from ramie.nnx.forks import split_rngs as split_rngs
from ramie.nnx.forks import with_rngs as with_rngs
from ramie.nnx.functional import as_pure as as_pure
from ramie.nnx.functional import call as call
from ramie.nnx.functional import clone as clone
from ramie.nnx.functional import find_duplicates as find_duplicates
from ramie.nnx.functional import graphdef as graphdef
from ramie.nnx.functional import iter_children as iter_children
from ramie.nnx.functional import map as map
from ramie.nnx.functional import merge as merge
from ramie.nnx.functional import pop as pop
from ramie.nnx.functional import pure as pure
from ramie.nnx.functional import set_metadata as set_metadata
from ramie.nnx.functional import split as split
from ramie.nnx.functional import state as state
from ramie.nnx.functional import update as update
from ramie.nnx.functional import variables as variables
from ramie.nnx.layers.activations import PReLU as PReLU
from ramie.nnx.layers.attention import MultiHeadAttention as MultiHeadAttention
from ramie.nnx.layers.attention import combine_masks as combine_masks
from ramie.nnx.layers.attention import dot_product_attention as dot_product_attention
from ramie.nnx.layers.attention import make_attention_mask as make_attention_mask
from ramie.nnx.layers.attention import make_causal_mask as make_causal_mask
from ramie.nnx.layers.batch_norm import BatchNorm as BatchNorm
from ramie.nnx.layers.cell import RNNCellBase as RNNCellBase
from ramie.nnx.layers.conv import Conv as Conv
from ramie.nnx.layers.conv import ConvTranspose as ConvTranspose
from ramie.nnx.layers.linear import Einsum as Einsum
from ramie.nnx.layers.linear import Embed as Embed
from ramie.nnx.layers.linear import Linear as Linear
from ramie.nnx.layers.linear import LinearGeneral as LinearGeneral
from ramie.nnx.layers.lora import LoRA as LoRA
from ramie.nnx.layers.lora import LoRALinear as LoRALinear
from ramie.nnx.layers.lora import LoRAParam as LoRAParam
from ramie.nnx.layers.norm import GroupNorm as GroupNorm
from ramie.nnx.layers.norm import InstanceNorm as InstanceNorm
from ramie.nnx.layers.norm import LayerNorm as LayerNorm
from ramie.nnx.layers.norm import RMSNorm as RMSNorm
from ramie.nnx.layers.recurrent import GRUCell as GRUCell
from ramie.nnx.layers.recurrent import LSTMCell as LSTMCell
from ramie.nnx.layers.recurrent import OptimizedLSTMCell as OptimizedLSTMCell
from ramie.nnx.layers.recurrent import SimpleCell as SimpleCell
from ramie.nnx.layers.rotary import RoPE as RoPE
from ramie.nnx.layers.rotary import (
    dot_product_attention_with_rope as dot_product_attention_with_rope,
)
from ramie.nnx.layers.sequence import RNN as RNN
from ramie.nnx.layers.sequence import Bidirectional as Bidirectional
from ramie.nnx.layers.stochastic import Dropout as Dropout
from ramie.nnx.layers.weight_norm import SpectralNorm as SpectralNorm
from ramie.nnx.layers.weight_norm import WeightNorm as WeightNorm
from ramie.nnx.lazy import __dir__ as __dir__
from ramie.nnx.lazy import __getattr__ as __getattr__
from ramie.nnx.metrics import Metric as Metric
from ramie.nnx.metrics import MultiMetric as MultiMetric
from ramie.nnx.modes import set_graph_mode as set_graph_mode
from ramie.nnx.modes import set_graph_updates as set_graph_updates
from ramie.nnx.modes import use_eager_sharding as use_eager_sharding
from ramie.nnx.modes import using_eager_sharding as using_eager_sharding
from ramie.nnx.module import Module as Module
from ramie.nnx.module import first_from as first_from
from ramie.nnx.module import iter_module_children as iter_module_children
from ramie.nnx.module import iter_modules as iter_modules
from ramie.nnx.optimizer import ModelAndOptimizer as ModelAndOptimizer
from ramie.nnx.optimizer import OptArray as OptArray
from ramie.nnx.optimizer import Optimizer as Optimizer
from ramie.nnx.optimizer import OptState as OptState
from ramie.nnx.optimizer import OptVariable as OptVariable
from ramie.nnx.packed import GraphState as GraphState
from ramie.nnx.packed import PureState as PureState
from ramie.nnx.packed import unpack as unpack
from ramie.nnx.pytree import Data as Data
from ramie.nnx.pytree import Object as Object
from ramie.nnx.pytree import Pytree as Pytree
from ramie.nnx.pytree import Static as Static
from ramie.nnx.pytree import check_pytree as check_pytree
from ramie.nnx.pytree import data as data
from ramie.nnx.pytree import dataclass as dataclass
from ramie.nnx.pytree import has_data as has_data
from ramie.nnx.pytree import is_data as is_data
from ramie.nnx.pytree import register_data_type as register_data_type
from ramie.nnx.pytree import static as static
from ramie.nnx.rng import RngCount as RngCount
from ramie.nnx.rng import RngKey as RngKey
from ramie.nnx.rng import Rngs as Rngs
from ramie.nnx.rng import RngState as RngState
from ramie.nnx.rng import RngStream as RngStream
from ramie.nnx.spmd import PARTITION_NAME as PARTITION_NAME
from ramie.nnx.spmd import abstract_with_sharding as abstract_with_sharding
from ramie.nnx.spmd import as_abstract as as_abstract
from ramie.nnx.spmd import get_abstract_model as get_abstract_model
from ramie.nnx.spmd import get_named_sharding as get_named_sharding
from ramie.nnx.spmd import get_partition_spec as get_partition_spec
from ramie.nnx.spmd import logical_axis_rules as logical_axis_rules
from ramie.nnx.spmd import with_partitioning as with_partitioning
from ramie.nnx.statelib import FlatState as FlatState
from ramie.nnx.statelib import State as State
from ramie.nnx.statelib import filter_state as filter_state
from ramie.nnx.statelib import from_flat_state as from_flat_state
from ramie.nnx.statelib import map_state as map_state
from ramie.nnx.statelib import merge_state as merge_state
from ramie.nnx.statelib import replace_by_pure_dict as replace_by_pure_dict
from ramie.nnx.statelib import restore_int_paths as restore_int_paths
from ramie.nnx.statelib import split_state as split_state
from ramie.nnx.statelib import to_flat_state as to_flat_state
from ramie.nnx.statelib import to_pure_dict as to_pure_dict
from ramie.nnx.structure import GraphDef as GraphDef
from ramie.nnx.train_state import TrainState as TrainState
from ramie.nnx.transforms import trees as extract
from ramie.nnx.transforms.autodiff import DiffState as DiffState
from ramie.nnx.transforms.autodiff import grad as grad
from ramie.nnx.transforms.autodiff import jvp as jvp
from ramie.nnx.transforms.autodiff import value_and_grad as value_and_grad
from ramie.nnx.transforms.autodiff import vjp as vjp
from ramie.nnx.transforms.compilation import StateSharding as StateSharding
from ramie.nnx.transforms.compilation import cached_partial as cached_partial
from ramie.nnx.transforms.compilation import jit as jit
from ramie.nnx.transforms.compilation import jit_partial as jit_partial
from ramie.nnx.transforms.contexts import MergeContext as MergeContext
from ramie.nnx.transforms.contexts import SplitContext as SplitContext
from ramie.nnx.transforms.contexts import UpdateContext as UpdateContext
from ramie.nnx.transforms.contexts import current_update_context as current_update_context
from ramie.nnx.transforms.contexts import merge_context as merge_context
from ramie.nnx.transforms.contexts import split_context as split_context
from ramie.nnx.transforms.contexts import update_context as update_context
from ramie.nnx.transforms.control import cond as cond
from ramie.nnx.transforms.control import switch as switch
from ramie.nnx.transforms.custom_rules import custom_vjp as custom_vjp
from ramie.nnx.transforms.evaluation import checkify as checkify
from ramie.nnx.transforms.evaluation import eval_shape as eval_shape
from ramie.nnx.transforms.evaluation import make_jaxpr as make_jaxpr
from ramie.nnx.transforms.iteration import Carry as Carry
from ramie.nnx.transforms.iteration import StateAxes as StateAxes
from ramie.nnx.transforms.iteration import scan as scan
from ramie.nnx.transforms.iteration import transform_metadata as transform_metadata
from ramie.nnx.transforms.iteration import vmap as vmap
from ramie.nnx.transforms.loops import fori_loop as fori_loop
from ramie.nnx.transforms.loops import while_loop as while_loop
from ramie.nnx.transforms.rematerialization import remat as remat
from ramie.nnx.transforms.sharded import pmap as pmap
from ramie.nnx.transforms.sharded import shard_map as shard_map
from ramie.nnx.transforms.trees import NodeStates as NodeStates
from ramie.nnx.transforms.trees import from_tree as from_tree
from ramie.nnx.transforms.trees import prefix as prefix
from ramie.nnx.transforms.trees import to_tree as to_tree
from ramie.nnx.variable import BatchStat as BatchStat
from ramie.nnx.variable import Cache as Cache
from ramie.nnx.variable import Intermediate as Intermediate
from ramie.nnx.variable import Param as Param
from ramie.nnx.variable import Perturbation as Perturbation
from ramie.nnx.variable import Variable as Variable
from ramie.nnx.variable import VariableMetadata as VariableMetadata
from ramie.nnx.variable import register_variable_name as register_variable_name
from ramie.nnx.variable import var_defaults as var_defaults
from ramie.nnx.variable import variable_name_from_type as variable_name_from_type
from ramie.nnx.variable import variable_type_from_name as variable_type_from_name
from ramie.nnx.variable import with_metadata as with_metadata
from ramie.nnx.variable.base import A as A
from ramie.nnx.views import recursive_map as recursive_map
from ramie.nnx.views import view as view
from ramie.nnx.views import view_info as view_info
from ramie.nnx.views import with_attributes as with_attributes
from ramie.nnx.walk import iter_graph as iter_graph
from ramie.ops import initializers as initializers
from ramie.ops.initializers import Initializer as Initializer
from ramie.ops.pooling import avg_pool as avg_pool
from ramie.ops.pooling import max_pool as max_pool
from ramie.ops.pooling import min_pool as min_pool
from ramie.ops.pooling import pool as pool

__all__ = [
    "EMA",
    "PARTITION_NAME",
    "RNN",
    "A",
    "All",
    "Any",
    "BatchNorm",
    "BatchStat",
    "Bidirectional",
    "Cache",
    "Carry",
    "Conv",
    "ConvTranspose",
    "Data",
    "Dict",
    "DiffState",
    "Dropout",
    "Einsum",
    "Embed",
    "Everything",
    "FlatState",
    "GRUCell",
    "GraphDef",
    "GraphState",
    "GroupNorm",
    "Initializer",
    "InstanceNorm",
    "Intermediate",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "LinearGeneral",
    "List",
    "LoRA",
    "LoRALinear",
    "LoRAParam",
    "MergeContext",
    "Metric",
    "ModelAndOptimizer",
    "Module",
    "MultiHeadAttention",
    "MultiMetric",
    "NodeStates",
    "Not",
    "Nothing",
    "Object",
    "OfType",
    "OptArray",
    "OptState",
    "OptVariable",
    "OptimizedLSTMCell",
    "Optimizer",
    "PReLU",
    "Param",
    "PathContains",
    "Perturbation",
    "PureState",
    "Pytree",
    "RMSNorm",
    "RNNCellBase",
    "RngCount",
    "RngKey",
    "RngState",
    "RngStream",
    "Rngs",
    "RoPE",
    "Sequential",
    "SimpleCell",
    "SpectralNorm",
    "SplitContext",
    "State",
    "StateAxes",
    "StateSharding",
    "Static",
    "TrainState",
    "UpdateContext",
    "Variable",
    "VariableMetadata",
    "WeightNorm",
    "WithTag",
    "abstract_with_sharding",
    "as_abstract",
    "as_pure",
    "avg_pool",
    "bridge",
    "cached_partial",
    "call",
    "capture",
    "celu",
    "check_pytree",
    "checkify",
    "clone",
    "combine_masks",
    "compat",
    "cond",
    "current_update_context",
    "custom_vjp",
    "data",
    "dataclass",
    "deprecations",
    "display",
    "dot_product_attention",
    "dot_product_attention_with_rope",
    "elu",
    "eval_shape",
    "extract",
    "filter_state",
    "filterlib",
    "find_duplicates",
    "first_from",
    "flatten",
    "fori_loop",
    "fork_rngs",
    "from_flat_state",
    "from_tree",
    "gelu",
    "get_abstract_model",
    "get_named_sharding",
    "get_partition_spec",
    "glu",
    "grad",
    "graph",
    "graphdef",
    "graphlib",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "has_data",
    "helpers",
    "identity",
    "initializers",
    "is_data",
    "iter_children",
    "iter_graph",
    "iter_module_children",
    "iter_modules",
    "jit",
    "jit_partial",
    "jvp",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logical_axis_rules",
    "logsumexp",
    "make_attention_mask",
    "make_causal_mask",
    "make_jaxpr",
    "map",
    "map_state",
    "max_pool",
    "merge",
    "merge_context",
    "merge_state",
    "metrics",
    "min_pool",
    "module",
    "nn",
    "one_hot",
    "optimizer",
    "pmap",
    "pool",
    "pop",
    "prefix",
    "proxy_caller",
    "pure",
    "pytreelib",
    "recursive_map",
    "register_data_type",
    "register_variable_name",
    "relu",
    "relu6",
    "remat",
    "replace_by_pure_dict",
    "reprlib",
    "reseed",
    "restore_int_paths",
    "restore_rngs",
    "rnglib",
    "scan",
    "selu",
    "set_graph_mode",
    "set_graph_updates",
    "set_metadata",
    "shard_map",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "split",
    "split_context",
    "split_rngs",
    "split_state",
    "spmd",
    "standardize",
    "state",
    "statelib",
    "static",
    "summary",
    "swish",
    "switch",
    "tabulate",
    "tanh",
    "to_flat_state",
    "to_pure_dict",
    "to_tree",
    "tracers",
    "training",
    "transform_metadata",
    "traversals",
    "unflatten",
    "unpack",
    "update",
    "update_context",
    "use_eager_sharding",
    "using_eager_sharding",
    "value_and_grad",
    "var_defaults",
    "variable_name_from_type",
    "variable_type_from_name",
    "variablelib",
    "variables",
    "vars_as",
    "view",
    "view_info",
    "visualization",
    "vjp",
    "vmap",
    "while_loop",
    "with_attributes",
    "with_metadata",
    "with_partitioning",
    "with_rngs",
    "with_vars",
    "wrappers",
]
