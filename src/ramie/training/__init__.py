"""Tools around a training loop: state, schedules, stopping rules, loss scaling, checkpoints.

Each module stands alone and is imported on its own, so that reading a checkpoint does not bring in
what a training step needs. The submodules and `TrainState` are also attributes of this package,
loaded when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ramie.training import checkpoints as checkpoints
    from ramie.training import common_utils as common_utils
    from ramie.training import dynamic_scale as dynamic_scale
    from ramie.training import early_stopping as early_stopping
    from ramie.training import lr_schedule as lr_schedule
    from ramie.training import orbax_utils as orbax_utils
    from ramie.training import prefetch_iterator as prefetch_iterator
    from ramie.training import train_state as train_state
    from ramie.training.train_state import TrainState as TrainState

_SUBMODULES = (
    "checkpoints",
    "common_utils",
    "dynamic_scale",
    "early_stopping",
    "lr_schedule",
    "orbax_utils",
    "prefetch_iterator",
    "train_state",
)

__all__ = [
    "TrainState",
    "checkpoints",
    "common_utils",
    "dynamic_scale",
    "early_stopping",
    "lr_schedule",
    "orbax_utils",
    "prefetch_iterator",
    "train_state",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "TrainState":
        return importlib.import_module(f"{__name__}.train_state").TrainState
    raise AttributeError(
        f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
