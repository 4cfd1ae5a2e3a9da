"""What can be chosen: the environment, the model, and how it is trained."""

import dataclasses
import json

EXAMPLE = "ppo"
ATARI = "ALE/"  # what names of Atari games begin with
SMALLEST = 36  # rows of the smallest frame that the convolutions take
FRACTIONS = ("rate", "clip", "gamma", "lam")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of a run.

    Attributes:
      env: name of the environment, as gymnasium knows it.
      envs: environments that are played at once.
      length: steps in each of them before an update.
      updates: of the whole run.
      epochs: how often an update sees each step.
      batch: steps of a minibatch, out of all environments.
      rate: the first learning rate; it falls to zero.
      scale: what rewards are multiplied by; best if values are then between -1 and 1 or so.
      gamma: what a reward is worth a step later.
      lam: lambda of the estimated advantages: 0 trusts the values, 1 the rewards.
      clip: how far an update may move the probability of an action, as a fraction.
      entropy: weight of the entropy in the loss, which keeps actions random.
      value: weight of the error of the values in the loss.
      norm: to which gradients are clipped.
      width: features of the hidden layers.
      size: rows and columns of a frame (Atari).
      stack: frames of an observation (Atari).
      longest: steps after which an episode is cut; 0 for what the environment says.
      every: updates between checkpoints, and between looks at how it plays.
      looked: episodes of such a look.
      episodes: episodes that are played at the end.
      seed: of the first parameters, the episodes, the actions and the minibatches.
    """

    env: str = "CartPole-v1"
    envs: int = 8
    length: int = 64
    updates: int = 200
    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    scale: float = 0.01
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    value: float = 0.5
    norm: float = 0.5
    width: int = 64
    size: int = 84
    stack: int = 4
    longest: int = 0
    every: int = 20
    looked: int = 10
    episodes: int = 100
    seed: int = 0

    @property
    def atari(self) -> bool:
        """Whether the environment is a game that is seen as frames."""
        return self.env.startswith(ATARI)

    @property
    def steps_an_update(self) -> int:
        """Steps in all environments before an update."""
        return self.envs * self.length

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        least = {"longest": 0, "seed": 0, "size": SMALLEST}
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in FRACTIONS:
                if not 0 < value <= 1:
                    raise ValueError(f"{name} is {value}; it has to be above 0 and at most 1.")
            elif isinstance(value, float):
                if not 0 <= value < float("inf"):
                    raise ValueError(f"{name} is {value}; it has to be 0 or more.")
            elif isinstance(value, int) and value < least.get(name, 1):
                raise ValueError(f"{name} is {value}; it has to be at least {least.get(name, 1)}.")
        if self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it has to be below 2**32.")
        if self.batch < 2 or self.steps_an_update % self.batch:
            raise ValueError(
                f"batch is {self.batch}; it has to be at least 2, and to divide the "
                f"{self.steps_an_update} steps of {self.envs} environments before an update."
            )

    def text(self) -> str:
        """Return the settings as JSON, for the folder of a run."""
        return json.dumps({"example": EXAMPLE, **dataclasses.asdict(self)}, indent=2)


PRESETS = {
    "tiny": Settings(
        envs=2,
        length=16,
        updates=6,
        epochs=2,
        batch=16,
        width=8,
        size=SMALLEST,
        stack=2,
        longest=20,
        every=2,
        looked=2,
        episodes=4,
    ),
    "small": Settings(),
    "atari": Settings(
        env=f"{ATARI}Pong-v5",
        length=128,
        updates=10_000,
        epochs=4,
        batch=256,
        rate=2.5e-4,
        scale=1.0,
        clip=0.1,
        entropy=0.01,
        width=512,
        longest=4500,
        every=100,
        looked=4,
        episodes=10,
    ),
}
