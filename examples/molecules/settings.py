"""What can be chosen: the size of the network, of a batch, and of a run."""

import dataclasses
import json

EXAMPLE = "molecules"
STYLES = ("linen", "nnx")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      style: ``linen`` or ``nnx``, how the network is written.
      width: features of an atom.
      rounds: how often atoms send messages to those that they are bound to.
      largest: atoms of the largest molecule that is used; hydrogen is not counted.
      molecules: how many molecules are used; 0 for all.
      held_out: molecules that are never trained on.
      batch: molecules of a step at most.
      atoms: room for atoms in a batch; one of them is padding.
      bonds: room for bonds in a batch, both directions counted.
      steps: steps of the whole run.
      warmup: steps until the learning rate is at its highest.
      rate: the highest learning rate.
      decay: of the weights, which keeps them small.
      every: steps between checkpoints, and between looks at held out molecules.
      seed: of the first parameters, and of the order of the molecules.
    """

    style: str = "linen"
    width: int = 64
    rounds: int = 4
    largest: int = 32
    molecules: int = 0
    held_out: int = 600
    batch: int = 64
    atoms: int = 768
    bonds: int = 1600
    steps: int = 5000
    warmup: int = 200
    rate: float = 3e-3
    decay: float = 1e-2
    every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"molecules": 0, "warmup": 0, "seed": 0, "bonds": 4 * self.largest}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("rate", "decay"):
                if not 0 < value < 1:
                    raise ValueError(f"{field.name} is {value}; it has to be between 0 and 1.")
            elif field.name != "style" and value < least.get(field.name, 1):
                raise ValueError(
                    f"{field.name} is {value}; it has to be at least {least.get(field.name, 1)}."
                )
        if self.style not in STYLES:
            raise ValueError(f"style is {self.style}; it can be {' or '.join(STYLES)}.")
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup is {self.warmup}; it has to end before step {self.steps}.")
        if self.atoms <= self.largest:
            raise ValueError(
                f"atoms is {self.atoms}; a molecule of {self.largest} and one atom of padding have "
                f"to find room."
            )
        if 0 < self.molecules <= self.held_out:
            raise ValueError(
                f"{self.molecules} molecules leave none to train on when {self.held_out} are held "
                "out."
            )

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps({"example": EXAMPLE, **dataclasses.asdict(self)}, indent=2)


PRESETS = {
    "tiny": Settings(
        width=8,
        rounds=2,
        largest=12,
        molecules=200,
        held_out=20,
        batch=8,
        atoms=96,
        bonds=200,
        steps=6,
        warmup=2,
        every=2,
    ),
    "small": Settings(),
}
