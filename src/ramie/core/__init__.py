"""State and transformations: what layers of either style are built on."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.filters": "DenyList",
        "ramie.core.lift.axes_scan": "broadcast",
        "ramie.core.lift.compilation": "jit remat",
        "ramie.core.lift.control_flow": "while_loop",
        "ramie.core.lift.differentiation": "custom_vjp jvp vjp",
        "ramie.core.lift.mapping": "remat_scan scan vmap",
        "ramie.core.meta": "AxisMetadata map_axis_meta unbox",
        "ramie.core.scope.entry": "apply bind init lazy_init",
        "ramie.core.scope.rng": "LazyRng",
        "ramie.core.scope.scope": "Scope",
        "ramie.core.tracing.trace": "check_trace_level current_trace",
        "ramie.trees.frozen": "FrozenDict copy freeze pop pretty_repr unfreeze",
        "ramie.typing": "Array",
    },
    modules=(
        "axes_scan=ramie.core.lift.axes_scan frozen_dict=ramie.trees.frozen lift meta nn "
        "partial_eval=ramie.core.tracing.partial_eval scope spmd=ramie.core.sharding "
        "tracers=ramie.core.tracing.trace variables=ramie.core.scope.variables"
    ),
)
