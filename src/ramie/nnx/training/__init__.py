"""The parts of NNX that training loops need besides models and transformations."""

from ramie.foundation.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    {},
    modules="ema metrics optimizer",
)
