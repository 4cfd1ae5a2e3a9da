"""What `ramie demo` does: train a small CNN on real handwritten digits, safely and in the open.

A complete training program, split so that each file answers one question of a newcomer. Copy what
you need:

| file | question |
|---|---|
| `settings.py` | what can be chosen, and what is nonsense |
| `data.py` | where the images come from, and in which order they are shown |
| `with_linen.py`, `with_nnx.py` | what the network is, what one training step does: twice |
| `metrics.py` | how loss and accuracy are measured |
| `program.py` | what the loop asks of either |
| `resume.py` | what a checkpoint holds, and when it may be continued |
| `loop.py` | how the parts make a training that can be killed and resumed |
| `report.py` | what the terminal shows |
| `pictures.py` | what the pictures show |
"""

import importlib
from typing import TYPE_CHECKING, Any

from ramie.cli.demo.settings import Settings as Settings
from ramie.cli.demo.settings import SettingsError as SettingsError

if TYPE_CHECKING:
    from ramie.cli.demo.loop import Results as Results
    from ramie.cli.demo.loop import run as run

__all__ = ["Results", "Settings", "SettingsError", "run"]


def __getattr__(name: str) -> Any:
    # The settings can be checked, and help be printed, without waiting for JAX to load.
    if name in {"Results", "run"}:
        return getattr(importlib.import_module("ramie.cli.demo.loop"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
