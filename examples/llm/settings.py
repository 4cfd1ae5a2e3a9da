"""What can be chosen: the size of the model, of a batch, and of a run."""

import dataclasses
import json
import math

VOCABULARY = 256  # bytes


class UsageError(ValueError):
    """What was typed cannot be; the message says what to type instead."""


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

    width: int = 128
    depth: int = 4
    heads: int = 4
    groups: int = 2
    hidden: int = 384
    length: int = 256
    batch: int = 8
    steps: int = 1000
    warmup: int = 50
    rate: float = 3e-3
    seed: int = 0
    scan: bool = True
    remat: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that do not go together."""
        for name in SIZES:
            value, least = getattr(self, name), LEAST.get(name, 1)
            if name == "rate" and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"rate {value}: a number above 0 is needed.")
            if name != "rate" and value < least:
                raise UsageError(f"{name} {value}: a whole number from {least} on is needed.")
        if self.warmup >= self.steps:
            raise UsageError(f"warmup {self.warmup} has to be less than steps, {self.steps}.")
        if self.width % (2 * self.heads):
            raise UsageError(f"width {self.width} has to be a multiple of 2 x {self.heads} heads.")
        if self.heads % self.groups:
            raise UsageError(f"{self.heads} heads do not divide into {self.groups} groups.")

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps(dataclasses.asdict(self), indent=2)


def read(text: str) -> Settings:
    """Read what `Settings.text` gave.

    Args:
      text: JSON.

    Returns:
      The settings.

    Raises:
      UsageError: it is no such text.
    """
    try:
        return Settings(**json.loads(text))
    except (TypeError, json.JSONDecodeError) as error:
        raise UsageError(f"these are no settings: {error}") from error


LEAST = {"seed": 0, "warmup": 0, "length": 2}  # for the others it is 1
SIZES = [
    field.name
    for field in dataclasses.fields(Settings)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]
PRESETS = {
    "tiny": Settings(
        width=32, depth=2, heads=2, groups=1, hidden=64, length=32, batch=8, steps=12, warmup=3
    ),
    "small": Settings(),
    "medium": Settings(
        width=384, depth=8, heads=8, groups=4, hidden=1024, batch=16, steps=2000, rate=2e-3
    ),
}
