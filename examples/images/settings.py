"""What can be chosen: data, model, and how it is trained."""

import dataclasses

MODELS = ("tiny", "small", "resnet18", "resnet50")
PRECISIONS = ("bfloat16", "float32")


class UsageError(Exception):
    """Something that whoever started the program can mend; it is shown in one line."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices of a run; a run that goes on needs the same.

    Attributes:
      data: ``digits``, a folder with one subfolder a class, or ``tfds:NAME``.
      size: rows and columns of the images that the model sees; 0 for what fits the data.
      model: the depth and the width.
      precision: in which layers compute; parameters and sums are in float32.
      epochs: how often all images are seen.
      batch: images of a step, over all devices.
      rate: the highest learning rate.
      decay: of the kernels.
      smoothing: what a label gives to the other classes.
      average: how much of the averaged parameters a step keeps.
      shift: pixels by which an image is moved at most.
      flip: whether left and right are exchanged in every other image, 0 or 1.
      seed: of the first parameters and of the order of the images.
    """

    data: str = "digits"
    size: int = 0
    model: str = "small"
    precision: str = "bfloat16"
    epochs: int = 30
    batch: int = 96
    rate: float = 0.1
    decay: float = 5e-4
    smoothing: float = 0.1
    average: float = 0.99
    shift: int = 1
    flip: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name, known in (("model", MODELS), ("precision", PRECISIONS), ("flip", (0, 1))):
            if getattr(self, name) not in known:
                listed = ", ".join(map(str, known))
                raise UsageError(f"--{name} is {getattr(self, name)}; it can be {listed}.")
        for name in ("epochs", "batch", "rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"--{name} is {getattr(self, name)}; it has to be above 0.")
        for name in ("smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"--{name} is {getattr(self, name)}; it is from 0 to below 1.")
        for name in ("size", "decay", "shift", "seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise UsageError(f"--{name} is {getattr(self, name)}; it has to be 0 or more.")
