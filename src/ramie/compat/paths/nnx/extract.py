"""Trees without modules, under the names of ``flax.nnx.extract``."""

from ramie.nnx.objects.pytree import Pytree as Pytree
from ramie.nnx.states.state import State as State
from ramie.nnx.transforms.trees import ExtractIndex as ExtractIndex
from ramie.nnx.transforms.trees import NodeStates as NodeStates
from ramie.nnx.transforms.trees import TreeState as TreeState
from ramie.nnx.transforms.trees import clear_non_graph_nodes as clear_non_graph_nodes
from ramie.nnx.transforms.trees import extract as extract
from ramie.nnx.transforms.trees import from_tree as from_tree
from ramie.nnx.transforms.trees import insert as insert
from ramie.nnx.transforms.trees import is_tree_node as is_tree_node
from ramie.nnx.transforms.trees import prefix as prefix
from ramie.nnx.transforms.trees import to_tree as to_tree
from ramie.trees import struct as struct

__all__ = [
    "ExtractIndex",
    "NodeStates",
    "Pytree",
    "State",
    "TreeState",
    "clear_non_graph_nodes",
    "extract",
    "from_tree",
    "insert",
    "is_tree_node",
    "prefix",
    "struct",
    "to_tree",
]
