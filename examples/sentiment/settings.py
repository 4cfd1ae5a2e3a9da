"""What can be chosen: the size of the model, of a batch, and of a run."""

import dataclasses
import json

EXAMPLE = "sentiment"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      embed: features of a character.
      width: features of the LSTM in each direction.
      longest: characters that are read of a review; 32, or 32 doubled some times.
      rarest: how often a character has to be there to have a number of its own.
      forget: how many of the characters are hidden while training (word dropout).
      dropout: how many of the features of a review are hidden while training.
      reviews: how many reviews are used; 0 for all.
      held_out: reviews that are never trained on.
      batch: reviews of a step.
      steps: steps of the whole run.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate.
      every: steps between checkpoints, and between looks at held out reviews.
      seed: of the first parameters, what is hidden, and the order of the reviews.
    """

    embed: int = 64
    width: int = 64
    longest: int = 128
    rarest: int = 3
    forget: float = 0.15
    dropout: float = 0.3
    reviews: int = 0
    held_out: int = 2000
    batch: int = 64
    steps: int = 1500
    warmup: int = 100
    rate: float = 3e-3
    every: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"reviews": 0, "warmup": 0, "seed": 0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float):
                if not 0 <= value < 1:
                    raise ValueError(f"{field.name} is {value}; it has to be from 0 to below 1.")
            elif value < least.get(field.name, 1):
                raise ValueError(
                    f"{field.name} is {value}; it has to be at least {least.get(field.name, 1)}."
                )
        if self.longest not in [32 * 2**n for n in range(10)]:
            raise ValueError(
                f"longest is {self.longest}; it has to be 32, or 32 doubled some times."
            )
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it has to end before step {self.steps}.")
        if 0 < self.reviews <= self.held_out:
            raise ValueError(
                f"{self.reviews} reviews leave none to train on when {self.held_out} are held out."
            )

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps({"example": EXAMPLE, **dataclasses.asdict(self)}, indent=2)


PRESETS = {
    "tiny": Settings(
        embed=8,
        width=8,
        longest=32,
        reviews=300,
        held_out=20,
        batch=8,
        steps=6,
        warmup=2,
        every=2,
    ),
    "small": Settings(),
}
