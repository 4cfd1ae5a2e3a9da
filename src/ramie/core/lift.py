"""Lifted transformations: JAX transformations of functions of a scope.

The primitive they stand on is in `crossing`; `pack` offers it for transformations of your own.
"""

from ramie.core import axes_scan as axes_scan
from ramie.core import meta as meta
from ramie.core.crossing import set_from_dict as set_from_dict
from ramie.core.crossing import tree_map_rngs as tree_map_rngs
from ramie.core.filters import DenyList as DenyList
from ramie.core.filters import group_collections as group_collections
from ramie.core.filters import in_filter as in_filter
from ramie.core.filters import intersect_filters as intersect_filters
from ramie.core.filters import is_filter_empty as is_filter_empty
from ramie.core.filters import subtract_filters as subtract_filters
from ramie.core.filters import union_filters as union_filters
from ramie.core.frozen import freeze as freeze
from ramie.core.frozen import unfreeze as unfreeze
from ramie.core.lift_compile import checkpoint as checkpoint
from ramie.core.lift_compile import fold_rngs as fold_rngs
from ramie.core.lift_compile import id_fn as id_fn
from ramie.core.lift_compile import jit as jit
from ramie.core.lift_compile import map_variables as map_variables
from ramie.core.lift_compile import pack as pack
from ramie.core.lift_compile import remat as remat
from ramie.core.lift_compile import swap_collection as swap_collection
from ramie.core.lift_control import cond as cond
from ramie.core.lift_control import switch as switch
from ramie.core.lift_control import while_loop as while_loop
from ramie.core.lift_grad import custom_vjp as custom_vjp
from ramie.core.lift_grad import jvp as jvp
from ramie.core.lift_grad import value_and_grad as value_and_grad
from ramie.core.lift_grad import vjp as vjp
from ramie.core.lift_map import add_metadata_axis as add_metadata_axis
from ramie.core.lift_map import remat_scan as remat_scan
from ramie.core.lift_map import scan as scan
from ramie.core.lift_map import vmap as vmap
from ramie.core.rng import LazyRng as LazyRng
from ramie.core.scope import Scope as Scope
from ramie.typing import In as In
from ramie.typing import Out as Out
