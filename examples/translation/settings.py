"""What can be chosen: the size of the model, of a batch, and of a run."""

import dataclasses
import json

EXAMPLE = "translation"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      width: features of a token.
      depth: layers of the encoder, and of the decoder.
      heads: of each attention.
      hidden: features inside the last part of a layer.
      dropout: how many features are hidden while training.
      longest: tokens of the longest phrase that is used.
      length: tokens of a row, into which phrases are packed.
      rarest: how often a word has to be there to be a token of its own.
      phrases: how many phrases are made.
      held_out: phrases that are never trained on.
      batch: rows of a step.
      steps: steps of the whole run.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate.
      every: steps between checkpoints, and between looks at held out phrases.
      seed: of the phrases, the first parameters, dropout, and the order of the phrases.
    """

    width: int = 96
    depth: int = 2
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.05
    longest: int = 32
    length: int = 64
    rarest: int = 5
    phrases: int = 40_000
    held_out: int = 1000
    batch: int = 32
    steps: int = 600
    warmup: int = 60
    rate: float = 3e-3
    every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"warmup": 0, "seed": 0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float):
                if not 0 <= value < 1:
                    raise ValueError(f"{field.name} is {value}; it has to be from 0 to below 1.")
            elif value < least.get(field.name, 1):
                raise ValueError(
                    f"{field.name} is {value}; it has to be at least {least.get(field.name, 1)}."
                )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} has to be a multiple of {self.heads} heads.")
        if self.longest >= self.length:
            raise ValueError(
                f"longest is {self.longest}; with its end a phrase has to fit into a row of "
                f"{self.length}."
            )
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it has to end before step {self.steps}.")
        if self.phrases <= self.held_out:
            raise ValueError(
                f"{self.phrases} phrases leave none to train on when {self.held_out} are held out."
            )

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps({"example": EXAMPLE, **dataclasses.asdict(self)}, indent=2)


PRESETS = {
    "tiny": Settings(
        width=16,
        depth=1,
        heads=2,
        hidden=16,
        phrases=300,
        held_out=20,
        batch=4,
        steps=6,
        warmup=2,
        every=2,
    ),
    "small": Settings(),
}
