"""Between Linen and NNX: modules of one inside of the other, variables and metadata converted.

`ToNNX` and `ToLinen` wrap modules. `Module`, `compact` and `Scope` are for modules that are written
as in Linen and are modules of NNX.
"""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.bridge.functions": "Functional functional",
        "ramie.nnx.bridge.interop": "linen_in_bridge_mdl nnx_in_bridge_mdl",
        "ramie.nnx.bridge.linen_in_nnx": "ToNNX lazy_init",
        "ramie.nnx.bridge.module": (
            "AttrPriority Module Scope compact current_context current_module"
        ),
        "ramie.nnx.bridge.nnx_in_linen": "ToLinen to_linen",
        "ramie.nnx.bridge.variables": "NNXMeta with_partitioning",
    },
    modules="initializers=ramie.ops.initializers interop module variables wrappers",
)
