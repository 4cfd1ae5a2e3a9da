"""Variables: boxes around values, their kinds, and what is known of them."""

from ramie.foundation import doors
from ramie.nnx.variable import hijax as hijax  # `Variable(hijax=True)` makes one of its class

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.modes": "use_eager_sharding using_eager_sharding",
        "ramie.nnx.variable.base": "Variable",
        "ramie.nnx.variable.defaults": "VarDefaults VarDefaultsContext var_defaults",
        "ramie.nnx.variable.hijax": "HijaxVariable",
        "ramie.nnx.variable.metadata": "VariableMetadata",
        "ramie.nnx.variable.kinds": (
            "BatchStat Cache Intermediate Param Perturbation register_variable_name "
            "variable_name_from_type variable_type_from_name with_metadata"
        ),
    },
)
