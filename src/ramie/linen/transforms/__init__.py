"""JAX transformations of module classes and of their methods."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.scope.scope": "Scope",
        "ramie.core.scope.variables": "Variable",
        "ramie.linen.transforms.boundary": "fork_rngs",
        "ramie.linen.transforms.compilation": "checkpoint fold_rngs jit named_call remat",
        "ramie.linen.transforms.control_flow": "cond switch while_loop",
        "ramie.linen.transforms.differentiation": "custom_vjp grad jvp value_and_grad vjp",
        "ramie.linen.transforms.fingerprint": "_HashableProxy=ModuleKey",
        "ramie.linen.transforms.mapping": "add_metadata_axis remat_scan scan vmap",
        "ramie.linen.transforms.views": "map_variables",
    },
    modules="meta=ramie.core.meta",
)
