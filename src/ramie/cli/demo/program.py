"""What the training loop asks of the part that is written in Linen or in NNX."""

import importlib
from typing import Any, Protocol, cast

from ramie.cli.demo.metrics import Metrics
from ramie.typing import Array

__all__ = ["Program", "load"]


class Program(Protocol):
    """The functions of `with_linen` and `with_nnx`.

    A state is whatever the module takes for one. A function that returns a state may have changed
    the one that it was given.
    """

    def create(self, seed: int, sample: Any, learning_rate: float) -> Any:
        """Return the state before the first step."""

    def start_epoch(self, state: Any) -> Any:
        """Return the state with empty metrics."""

    def train_step(self, state: Any, images: Any, labels: Any) -> Any:
        """Return the state after one more step."""

    def metrics_of(self, state: Any) -> Metrics:
        """Return the metrics of the epoch so far."""

    def evaluate(self, state: Any, images: Any, labels: Any) -> Metrics:
        """Return the metrics of other examples."""

    def predict(self, state: Any, images: Any) -> Array:
        """Return the digit seen in each image."""

    def to_state_dict(self, state: Any) -> Any:
        """Return all that a checkpoint must hold."""

    def from_state_dict(self, fresh: Any, saved: Any) -> Any:
        """Return the state that was saved, or raise ValueError."""


def load(api: str) -> Program:
    """Import the program that is written in `api`: "linen" or "nnx"."""
    return cast(Program, importlib.import_module(f"ramie.cli.demo.with_{api}"))
