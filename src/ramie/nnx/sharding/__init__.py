"""How the values of models lie on meshes: what the metadata of variables says of it."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.meta": "PARTITION_NAME",
        "ramie.core.sharding": "logical_axis_rules",
        "ramie.nnx.sharding.axes": "add_axis remove_axis",
        "ramie.nnx.sharding.specs": (
            "abstract_with_sharding as_abstract get_abstract_model get_named_sharding "
            "get_partition_spec get_var_pspec with_partitioning"
        ),
    },
)
