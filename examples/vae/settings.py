"""What can be chosen: the size of the model, and how long it is trained."""

import dataclasses


class UsageError(Exception):
    """Something that whoever started the program can mend; it is shown in one line."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      latent: numbers that describe an image.
      width: channels of the first convolution; the later ones have twice as many.
      epochs: how often all images are seen.
      batch: images of a step.
      rate: the highest learning rate.
      decay: of the parameters, in proportion to the learning rate.
      seed: of the first parameters, of the order of the images and of the noise.
    """

    latent: int = 8
    width: int = 32
    epochs: int = 100
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for name in ("latent", "width", "epochs", "batch", "rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"--{name} is {getattr(self, name)}; it has to be above 0.")
        for name in ("decay", "seed"):
            if not 0 <= getattr(self, name) < 2**32:
                raise UsageError(f"--{name} is {getattr(self, name)}; it has to be 0 or more.")
