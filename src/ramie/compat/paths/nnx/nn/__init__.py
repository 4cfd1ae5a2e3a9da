"""The path ``nnx.nn``: its modules gather the layers and their functions."""

from ramie.foundation.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    {},
    modules=(
        "activations attention dtypes initializers linear lora normalization recurrent stochastic"
    ),
)
