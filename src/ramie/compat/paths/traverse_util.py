"""Ways through nested data: flat dictionaries, maps that know the path, and traversals."""

from ramie.trees.nested import empty_node as empty_node
from ramie.trees.nested import flatten_dict as flatten_dict
from ramie.trees.nested import path_aware_map as path_aware_map
from ramie.trees.nested import unflatten_dict as unflatten_dict
from ramie.trees.params import ModelParamTraversal as ModelParamTraversal
from ramie.trees.traversal import Traversal as Traversal
from ramie.trees.traversal import TraverseAttr as TraverseAttr
from ramie.trees.traversal import TraverseCompose as TraverseCompose
from ramie.trees.traversal import TraverseEach as TraverseEach
from ramie.trees.traversal import TraverseFilter as TraverseFilter
from ramie.trees.traversal import TraverseId as TraverseId
from ramie.trees.traversal import TraverseItem as TraverseItem
from ramie.trees.traversal import TraverseMerge as TraverseMerge
from ramie.trees.traversal import TraverseTree as TraverseTree
from ramie.trees.traversal import t_identity as t_identity
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
