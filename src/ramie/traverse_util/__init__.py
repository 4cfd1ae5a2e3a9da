"""Ways through nested data: flat dictionaries, maps that know the path, and traversals."""

from ramie.traverse_util.nested import empty_node as empty_node
from ramie.traverse_util.nested import flatten_dict as flatten_dict
from ramie.traverse_util.nested import path_aware_map as path_aware_map
from ramie.traverse_util.nested import unflatten_dict as unflatten_dict
from ramie.traverse_util.params import ModelParamTraversal as ModelParamTraversal
from ramie.traverse_util.traversal import Traversal as Traversal
from ramie.traverse_util.traversal import TraverseAttr as TraverseAttr
from ramie.traverse_util.traversal import TraverseCompose as TraverseCompose
from ramie.traverse_util.traversal import TraverseEach as TraverseEach
from ramie.traverse_util.traversal import TraverseFilter as TraverseFilter
from ramie.traverse_util.traversal import TraverseId as TraverseId
from ramie.traverse_util.traversal import TraverseItem as TraverseItem
from ramie.traverse_util.traversal import TraverseMerge as TraverseMerge
from ramie.traverse_util.traversal import TraverseTree as TraverseTree
from ramie.traverse_util.traversal import t_identity as t_identity
from ramie.typing import PathParts as PathParts

__all__ = [
    "ModelParamTraversal",
    "PathParts",
    "Traversal",
    "TraverseAttr",
    "TraverseCompose",
    "TraverseEach",
    "TraverseFilter",
    "TraverseId",
    "TraverseItem",
    "TraverseMerge",
    "TraverseTree",
    "empty_node",
    "flatten_dict",
    "path_aware_map",
    "t_identity",
    "unflatten_dict",
]
