"""JAX transformations of module classes and of their methods."""

from ramie.foundation.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    {
        "ramie.core.scope.variables": "Variable",
        "ramie.core.scope.scope": "Scope",
        "ramie.linen.transforms.fingerprint": "_HashableProxy=ModuleKey",
        "ramie.linen.transforms.differentiation": (
            "cond custom_vjp grad jvp switch value_and_grad vjp while_loop"
        ),
        "ramie.linen.transforms.boundary": "fork_rngs",
        "ramie.linen.transforms.mapping": (
            "add_metadata_axis checkpoint fold_rngs jit map_variables named_call remat remat_scan "
            "scan vmap"
        ),
    },
    modules="meta=ramie.core.meta",
)
