"""Models as graphs: their structure, and the functions that take them apart."""

from typing import TypeAlias

from ramie.nnx.conversions import vars_as as vars_as
from ramie.nnx.conversions import with_vars as with_vars
from ramie.nnx.flat import IndexMap as IndexMap
from ramie.nnx.flat import RefMap as RefMap
from ramie.nnx.flat import flatten as flatten
from ramie.nnx.flat import unflatten as unflatten
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
from ramie.nnx.packed import GraphState as GraphState
from ramie.nnx.packed import unpack as unpack
from ramie.nnx.statelib import map_state as map_state
from ramie.nnx.states import FlatState as FlatState
from ramie.nnx.states import State as State
from ramie.nnx.structure import ContainerDef as ContainerDef
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
from ramie.nnx.views import recursive_map as recursive_map
from ramie.nnx.walk import iter_graph as iter_graph

TreeNodeDef: TypeAlias = NodeDef | VariableDef | ContainerDef
"""What stands in a structure for a node of a tree: anything but a reference."""

__all__ = [
    "ContainerDef",
    "FlatState",
    "GraphDef",
    "GraphState",
    "IndexMap",
    "MergeContext",
    "NodeDef",
    "NodeRef",
    "RefMap",
    "SplitContext",
    "State",
    "Static",
    "TreeNodeDef",
    "UpdateContext",
    "Variable",
    "VariableDef",
    "as_pure",
    "cached_partial",
    "call",
    "clone",
    "current_update_context",
    "find_duplicates",
    "flatten",
    "graphdef",
    "iter_children",
    "iter_graph",
    "iter_module_children",
    "map",
    "map_state",
    "merge",
    "merge_context",
    "pop",
    "pure",
    "recursive_map",
    "set_graph_mode",
    "set_graph_updates",
    "set_metadata",
    "split",
    "split_context",
    "state",
    "unflatten",
    "unpack",
    "update",
    "update_context",
    "variables",
    "vars_as",
    "with_vars",
]
