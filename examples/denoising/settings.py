"""What can be chosen."""

import dataclasses


class UsageError(Exception):
    """Something that whoever started the program can mend; it is shown in one line."""


# Deviation of the noise that a network was trained with, for grey values from 0 to 1.
LEVELS = {"L": 0.06, "M": 0.10, "H": 0.20}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The choices of a run.

    Attributes:
      picture: ``parrots``, which scico ships, ``china`` or ``flower``, which scikit-learn ships,
        or an image file.
      size: rows and columns of the part of the picture, around its middle, that is used at most.
      seed: of the noise.
      style: ``linen`` or ``nnx``, how the network is written; the results are the same.
    """

    picture: str = "parrots"
    size: int = 512
    seed: int = 0
    style: str = "linen"

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.size < 32:
            raise UsageError(f"--size is {self.size}; it has to be 32 or more.")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed is {self.seed}; it has to be 0 or more.")
        if self.style not in ("linen", "nnx"):
            raise UsageError(f"--style is {self.style}; it can be linen or nnx.")
