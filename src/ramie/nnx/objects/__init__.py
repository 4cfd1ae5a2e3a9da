"""Objects whose attributes are the children of a pytree, and what decides which of them are."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.objects.marks": (
            "Data Static data dataclass has_data is_data register_data_type static"
        ),
        "ramie.nnx.objects.pytree": "Object Pytree PytreeMeta PytreeState check_pytree",
    },
)
