"""JAX transformations of module classes and of their methods."""

from ramie.foundation.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    {
        "ramie.core.scope.collections": "Variable",
        "ramie.core.scope.tree": "Scope",
        "ramie.linen.transforms.fingerprint": "_HashableProxy=ModuleKey",
        "ramie.linen.transforms.lifted_calls": (
            "cond custom_vjp grad jvp switch value_and_grad vjp while_loop"
        ),
        "ramie.linen.transforms.lifting": "fork_rngs",
        "ramie.linen.transforms.transformations": (
            "add_metadata_axis checkpoint fold_rngs jit map_variables named_call remat remat_scan "
            "scan vmap"
        ),
    },
    modules="meta=ramie.core.meta",
)
