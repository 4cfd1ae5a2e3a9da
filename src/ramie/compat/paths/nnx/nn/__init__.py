"""The path ``nnx.nn``: its modules gather the layers and their functions."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {},
    modules=(
        "activations attention dtypes initializers linear lora normalization recurrent stochastic"
    ),
)
