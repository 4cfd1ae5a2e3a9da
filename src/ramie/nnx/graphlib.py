"""Models as graphs: their structure, and the functions that take them apart."""

from ramie.nnx.conversions import vars_as as vars_as
from ramie.nnx.conversions import with_vars as with_vars
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
from ramie.nnx.modes import set_graph_mode as set_graph_mode
from ramie.nnx.modes import set_graph_updates as set_graph_updates
from ramie.nnx.module import iter_module_children as iter_module_children
from ramie.nnx.states import FlatState as FlatState
from ramie.nnx.states import State as State
from ramie.nnx.structure import GraphDef as GraphDef
from ramie.nnx.structure import NodeDef as NodeDef
from ramie.nnx.structure import NodeRef as NodeRef
from ramie.nnx.structure import Static as Static
from ramie.nnx.structure import VariableDef as VariableDef
from ramie.nnx.transforms.compilation import cached_partial as cached_partial
from ramie.nnx.transforms.contexts import MergeContext as MergeContext
from ramie.nnx.transforms.contexts import SplitContext as SplitContext
from ramie.nnx.transforms.contexts import UpdateContext as UpdateContext
from ramie.nnx.transforms.contexts import current_update_context as current_update_context
from ramie.nnx.transforms.contexts import merge_context as merge_context
from ramie.nnx.transforms.contexts import split_context as split_context
from ramie.nnx.transforms.contexts import update_context as update_context
from ramie.nnx.variable.base import Variable as Variable
from ramie.nnx.walk import iter_graph as iter_graph

__all__ = [
    "FlatState",
    "GraphDef",
    "MergeContext",
    "NodeDef",
    "NodeRef",
    "SplitContext",
    "State",
    "Static",
    "UpdateContext",
    "Variable",
    "VariableDef",
    "as_pure",
    "cached_partial",
    "call",
    "clone",
    "current_update_context",
    "find_duplicates",
    "graphdef",
    "iter_children",
    "iter_graph",
    "iter_module_children",
    "map",
    "merge",
    "merge_context",
    "pop",
    "pure",
    "set_graph_mode",
    "set_graph_updates",
    "set_metadata",
    "split",
    "split_context",
    "state",
    "update",
    "update_context",
    "variables",
    "vars_as",
    "with_vars",
]
