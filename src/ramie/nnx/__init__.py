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
from ramie.nnx import module as module
from ramie.nnx import pytree as pytreelib
from ramie.nnx import rng as rnglib
from ramie.nnx import statelib as statelib
from ramie.nnx import variable as variablelib
from ramie.nnx.containers import Dict as Dict
from ramie.nnx.containers import List as List
from ramie.nnx.containers import Sequential as Sequential
from ramie.nnx.filters import All as All
from ramie.nnx.filters import Any as Any
from ramie.nnx.filters import Everything as Everything
from ramie.nnx.filters import Not as Not
from ramie.nnx.filters import Nothing as Nothing
from ramie.nnx.filters import OfType as OfType
from ramie.nnx.filters import PathContains as PathContains
from ramie.nnx.filters import WithTag as WithTag
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
from ramie.nnx.layers.conv import Conv as Conv
from ramie.nnx.layers.conv import ConvTranspose as ConvTranspose
from ramie.nnx.layers.linear import Einsum as Einsum
from ramie.nnx.layers.linear import Embed as Embed
from ramie.nnx.layers.linear import Linear as Linear
from ramie.nnx.layers.linear import LinearGeneral as LinearGeneral
from ramie.nnx.modes import set_graph_mode as set_graph_mode
from ramie.nnx.modes import set_graph_updates as set_graph_updates
from ramie.nnx.modes import use_eager_sharding as use_eager_sharding
from ramie.nnx.modes import using_eager_sharding as using_eager_sharding
from ramie.nnx.module import Module as Module
from ramie.nnx.module import first_from as first_from
from ramie.nnx.module import iter_module_children as iter_module_children
from ramie.nnx.module import iter_modules as iter_modules
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
from ramie.nnx.variable import BatchStat as BatchStat
from ramie.nnx.variable import Cache as Cache
from ramie.nnx.variable import Intermediate as Intermediate
from ramie.nnx.variable import Param as Param
from ramie.nnx.variable import Perturbation as Perturbation
from ramie.nnx.variable import Variable as Variable
from ramie.nnx.variable import VariableMetadata as VariableMetadata
from ramie.nnx.variable import register_variable_name as register_variable_name
from ramie.nnx.variable import variable_name_from_type as variable_name_from_type
from ramie.nnx.variable import variable_type_from_name as variable_type_from_name
from ramie.nnx.variable import with_metadata as with_metadata
from ramie.nnx.walk import iter_graph as iter_graph
from ramie.ops import initializers as initializers

__all__ = [
    "All",
    "Any",
    "BatchStat",
    "Cache",
    "Conv",
    "ConvTranspose",
    "Data",
    "Dict",
    "Einsum",
    "Embed",
    "Everything",
    "FlatState",
    "GraphDef",
    "Intermediate",
    "Linear",
    "LinearGeneral",
    "List",
    "Module",
    "Not",
    "Nothing",
    "Object",
    "OfType",
    "Param",
    "PathContains",
    "Perturbation",
    "Pytree",
    "RngCount",
    "RngKey",
    "RngState",
    "RngStream",
    "Rngs",
    "Sequential",
    "State",
    "Static",
    "Variable",
    "VariableMetadata",
    "WithTag",
    "as_pure",
    "call",
    "check_pytree",
    "clone",
    "compat",
    "data",
    "dataclass",
    "filter_state",
    "filterlib",
    "find_duplicates",
    "first_from",
    "from_flat_state",
    "graph",
    "graphdef",
    "graphlib",
    "has_data",
    "helpers",
    "initializers",
    "is_data",
    "iter_children",
    "iter_graph",
    "iter_module_children",
    "iter_modules",
    "map",
    "map_state",
    "merge",
    "merge_state",
    "module",
    "nn",
    "pop",
    "pure",
    "pytreelib",
    "register_data_type",
    "register_variable_name",
    "replace_by_pure_dict",
    "restore_int_paths",
    "rnglib",
    "set_graph_mode",
    "set_graph_updates",
    "set_metadata",
    "split",
    "split_state",
    "state",
    "statelib",
    "static",
    "to_flat_state",
    "to_pure_dict",
    "update",
    "use_eager_sharding",
    "using_eager_sharding",
    "variable_name_from_type",
    "variable_type_from_name",
    "variablelib",
    "variables",
    "with_metadata",
]
