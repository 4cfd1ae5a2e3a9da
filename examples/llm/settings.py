"""What can be chosen: the size of the model, of a batch, and of a run."""

import dataclasses
import json

VOCABULARY = 256  # bytes


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      width: features of a token.
      depth: layers.
      heads: query heads of each layer.
      groups: heads of keys and values; each serves ``heads // groups`` query heads.
      hidden: features inside the gated part of a layer.
      length: bytes that the model sees.
      batch: sequences of a step, over all devices.
      steps: steps of the whole run.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate.
      seed: of the first parameters and of the order of the text.
      scan: whether the layers run as one `scan`, which compiles once for all of them.
      remat: whether the backward pass computes each layer again instead of keeping its insides.
    """

    width: int = 192
    depth: int = 4
    heads: int = 6
    groups: int = 2
    hidden: int = 512
    length: int = 128
    batch: int = 16
    steps: int = 600
    warmup: int = 50
    rate: float = 2e-3
    seed: int = 0
    scan: bool = True
    remat: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that do not go together."""
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} has to be a multiple of 2 x {self.heads} heads.")
        if self.heads % self.groups:
            raise ValueError(f"{self.heads} heads do not divide into {self.groups} groups.")

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps(dataclasses.asdict(self), indent=2)


PRESETS = {
    "tiny": Settings(
        width=32, depth=2, heads=2, groups=1, hidden=64, length=32, batch=8, steps=12, warmup=3
    ),
    "small": Settings(),
    "medium": Settings(width=384, depth=8, heads=8, groups=4, hidden=1024, length=256, steps=2000),
}
