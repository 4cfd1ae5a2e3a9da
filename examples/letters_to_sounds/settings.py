"""What can be chosen: the size of the model, of a batch, and of a run."""

import dataclasses
import json

EXAMPLE = "letters_to_sounds"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      embed: features of a letter and of a sound.
      width: features of the memory of the encoder in each direction; the decoder has twice as many.
      longest: letters and sounds of the longest word that is used.
      words: how many words of the dictionary are used; 0 for all.
      held_out: words that are never trained on.
      batch: words of a step.
      steps: steps of the whole run.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate.
      beams: beginnings that the search keeps.
      every: steps between checkpoints, and between looks at held out words.
      seed: of the first parameters, and of the order of the words.
    """

    embed: int = 64
    width: int = 128
    longest: int = 14
    words: int = 0
    held_out: int = 4000
    batch: int = 128
    steps: int = 2000
    warmup: int = 100
    rate: float = 3e-3
    beams: int = 4
    every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"words": 0, "warmup": 0, "seed": 0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "rate":
                if not 0 < value < 1:
                    raise ValueError(f"rate is {value}; it has to be between 0 and 1.")
            elif value < least.get(field.name, 1):
                raise ValueError(
                    f"{field.name} is {value}; it has to be at least {least.get(field.name, 1)}."
                )
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it has to end before step {self.steps}.")
        if 0 < self.words <= self.held_out:
            raise ValueError(
                f"{self.words} words leave none to train on when {self.held_out} are held out."
            )

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps({"example": EXAMPLE, **dataclasses.asdict(self)}, indent=2)


PRESETS = {
    "tiny": Settings(
        embed=8, width=8, words=300, held_out=20, batch=8, steps=6, warmup=2, beams=2, every=2
    ),
    "small": Settings(),
}
