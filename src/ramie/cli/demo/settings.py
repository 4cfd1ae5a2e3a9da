"""What can be chosen for a run, checked once, in the only place where it is stated."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from ramie import errors
from ramie.cli.command import command_line

__all__ = ["APIS", "Settings", "SettingsError"]

APIS = ("linen", "nnx")
"""In what the demo is written: twice, for comparison."""


class SettingsError(errors.RamieError, ValueError):
    """A setting cannot be used.

    Args:
        name: The field of `Settings`.
        problem: What is wrong and what was expected, to be read after the name.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class Settings:
    """Everything that decides how a run goes.

    Args:
        workdir: Directory of checkpoints and pictures; made when it is missing.
        epochs: How often all training images are shown, over all runs in `workdir` together.
        batch_size: Images per optimizer step.
        learning_rate: Step size of the optimizer.
        seed: Decides the initial parameters and the order of the images.
        api: "linen" or "nnx": in which of the two the network and its training step are written.

    Raises:
        SettingsError: A value is out of range.

    Example:
        >>> from ramie.cli.demo.settings import Settings
        >>> Settings(epochs=3, api="nnx").command().partition("ramie demo ")[2]
        '--workdir demo-run --epochs 3 --batch-size 16 --learning-rate 0.05 --seed 0 --api nnx'
    """

    workdir: Path = Path("demo-run")
    epochs: int = 15
    batch_size: int = 16
    learning_rate: float = 0.05
    seed: int = 0
    api: str = "linen"

    def __post_init__(self) -> None:
        self._check("epochs", self.epochs >= 1, "a whole number of at least 1")
        self._check("batch_size", self.batch_size >= 1, "a whole number of at least 1")
        positive = math.isfinite(self.learning_rate) and self.learning_rate > 0
        self._check("learning_rate", positive, "a finite number above 0")
        self._check("seed", 0 <= self.seed < 2**32, "a whole number from 0 to 4294967295")
        self._check("api", self.api in APIS, " or ".join(APIS))
        workdir = Path(self.workdir)
        nearest = next((p for p in (workdir, *workdir.parents) if p.exists()), None)
        self._check(
            "workdir", nearest is None or nearest.is_dir(), "a directory or a path for a new one"
        )

    def _check(self, name: str, fine: bool, expected: str) -> None:
        if not fine:
            raise SettingsError(name, f"must be {expected}, but it is {getattr(self, name)}")

    @property
    def checkpoint_dir(self) -> Path:
        """Where the checkpoints of the run are."""
        return Path(self.workdir) / "checkpoints"

    def saved_checkpoints(self) -> list[Path]:
        """List the checkpoints of the run, oldest first."""
        found = (path.name.rpartition("_") for path in self.checkpoint_dir.glob("checkpoint_*"))
        epochs = sorted(int(epoch) for _, _, epoch in found if epoch.isdecimal())
        return [self.checkpoint_dir / f"checkpoint_{epoch}" for epoch in epochs]

    def command(self) -> str:
        """Return the shell command that starts, or resumes, the run with these settings."""
        words = ["demo"]
        for field in fields(self):
            words += [f"--{field.name.replace('_', '-')}", str(getattr(self, field.name))]
        return command_line(*words)
