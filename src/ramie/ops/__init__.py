"""Pure functions on arrays: no state, no names, randomness only through an explicit key."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {},
    modules=(
        "activations attention conv dtypes fp8 initializers linear moments norm pooling recurrent "
        "stochastic weight_norm"
    ),
)
