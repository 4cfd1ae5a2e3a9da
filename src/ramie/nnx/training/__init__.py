"""The parts of NNX that training loops need besides models and transformations."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {},
    modules="ema metrics optimizer",
)
