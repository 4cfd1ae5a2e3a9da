"""Lifted transformations: JAX transformations of functions of a scope.

The primitive they stand on is in `crossing`; `pack` offers it for transformations of your own.
"""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.filters": (
            "DenyList group_collections in_filter intersect_filters is_filter_empty "
            "subtract_filters union_filters"
        ),
        "ramie.core.lift.compilation": "checkpoint fold_rngs jit remat",
        "ramie.core.lift.control_flow": "cond switch while_loop",
        "ramie.core.lift.crossing": "pack set_from_dict tree_map_rngs",
        "ramie.core.lift.differentiation": "custom_vjp jvp value_and_grad vjp",
        "ramie.core.lift.mapping": "add_metadata_axis remat_scan scan vmap",
        "ramie.core.lift.views": "id_fn map_variables swap_collection",
        "ramie.core.scope.rng": "LazyRng",
        "ramie.core.scope.scope": "Scope",
        "ramie.trees.frozen": "freeze unfreeze",
        "ramie.typing": "In Out",
    },
    modules="axes_scan meta=ramie.core.meta",
)
