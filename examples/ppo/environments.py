"""Several environments at once, in episodes of which each is what its seed and its actions make it.

Gymnasium's vectors of environments begin a new episode by themselves, and there are several ways
in which they tell so. Here an episode that has ended is followed at once by one with a seed of our
own. So no step is a false one, the last observation of an episode is seen, and a run that was
ended comes back into the middle of its episodes by playing their actions again.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from examples.ppo.settings import Settings

FRAMES_A_STEP = 4  # an action is repeated so often in Atari


@dataclasses.dataclass(frozen=True)
class Spaces:
    """What an environment shows and takes.

    Attributes:
      observation: the shape of an observation.
      images: whether it is frames, ``[stack, rows, columns]`` from 0 to 255, or plain numbers.
      actions: how many there are.
      first: the number of the first action.
      threshold: the mean return at which its makers call it solved, or None.
    """

    observation: tuple[int, ...]
    images: bool
    actions: int
    first: int
    threshold: float | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a step has brought, for each environment.

    Attributes:
      observations: after the step, the last of an episode included, ``[envs, ...]``.
      rewards: ``[envs]``, float32.
      terminated: whether the episode has come to its end, so that no reward can follow.
      truncated: whether the episode was only cut, and rewards would have followed.
      returns: sums of the rewards of the episodes that are over, NaN for the others.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    returns: np.ndarray


def make(settings: Settings, count: int) -> Any:
    """Make a vector of environments.

    Args:
      settings: name, and how it is shown.
      count: of environments.

    Raises:
      ValueError: if gymnasium does not know it, or cannot make it.
    """
    import gymnasium

    options: dict[str, Any] = {"vectorization_mode": "sync"}
    if settings.longest:
        options["max_episode_steps"] = settings.longest
    try:
        if settings.atari:
            import ale_py

            # One program in C++ plays all games, and makes frames grey, small and stacked.
            gymnasium.register_envs(ale_py)
            shape = {"img_height": settings.size, "img_width": settings.size}
            options = {"reward_clipping": False, "stack_num": settings.stack, **shape}
            if settings.longest:
                options["max_num_frames_per_episode"] = FRAMES_A_STEP * settings.longest
        return gymnasium.make_vec(settings.env, num_envs=count, **options)
    except (gymnasium.error.Error, ImportError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"gymnasium cannot make an environment {settings.env!r}: {said} It knows those that "
            "`gymnasium.pprint_registry()` lists, and Atari games by names such as ALE/Pong-v5."
        ) from None


def spaces(settings: Settings) -> Spaces:
    """Return what the environment of a run shows and takes.

    Raises:
      ValueError: if it cannot be made, or is of a kind that the model is not for.
    """
    from gymnasium import spaces as kinds

    envs = make(settings, 1)
    shown, taken = envs.single_observation_space, envs.single_action_space
    envs.close()
    if not isinstance(taken, kinds.Discrete):
        raise ValueError(
            f"{settings.env} takes actions of the kind {taken}; this example chooses one of a few "
            "actions, so the kind has to be Discrete."
        )
    if not isinstance(shown, kinds.Box) or len(shown.shape) != (3 if settings.atari else 1):
        raise ValueError(
            f"{settings.env} shows observations of the kind {shown}; this example knows rows of "
            "numbers, and the frames of the Atari games ALE/NAME-v5."
        )
    threshold = envs.spec.reward_threshold
    return Spaces(shown.shape, settings.atari, int(taken.n), int(taken.start), threshold)


class Environments:
    """Environments that are played at once.

    Args:
      settings: of the run.
      count: how many.
      seed_of: the seed of an episode, by the number of the environment and of its episode.

    Attributes:
      observations: what they show now, ``[count, ...]``.
    """

    def __init__(self, settings: Settings, count: int, seed_of: Callable[[int, int], int]) -> None:
        self._envs = make(settings, count)
        self._atari, self._seed_of = settings.atari, seed_of
        self._first = int(self._envs.single_action_space.start)
        self._begin(np.zeros(count, np.int64))

    def _begin(self, episodes: np.ndarray) -> None:
        """Begin in all environments, with the episodes of these numbers."""
        self._episodes = episodes
        self._steps = np.zeros(len(episodes), np.int64)
        self._returns = np.zeros(len(episodes), np.float64)
        self._history: list[np.ndarray] = []  # actions, since the oldest of the episodes began
        self._reset(np.ones(len(episodes), bool))

    def _reset(self, chosen: np.ndarray) -> None:
        seeds = [self._seed_of(i, int(number)) for i, number in enumerate(self._episodes)]
        # Games take a seed for each that begins, the others one for each that there is.
        given = np.array(seeds)[chosen] if self._atari else seeds
        self.observations, _ = self._envs.reset(seed=given, options={"reset_mask": chosen})
        self._steps[chosen], self._returns[chosen] = 0, 0.0

    def step(self, actions: np.ndarray) -> Outcome:
        """Take one action in each environment, ``[count]``; begin anew where an episode is over."""
        outcome = self._played(actions)
        over = outcome.terminated | outcome.truncated
        if over.any():
            self._episodes = self._episodes + over
            self._reset(over)
        del self._history[: len(self._history) - int(self._steps.max())]
        return outcome

    def _played(self, actions: np.ndarray) -> Outcome:
        actions = np.asarray(actions, np.int64)
        self._history.append(actions)
        found = self._envs.step(actions + self._first)
        self.observations, rewards, terminated, truncated = found[:4]
        self._steps += 1
        self._returns += rewards
        returns = np.where(terminated | truncated, self._returns, np.nan)
        rewards = np.asarray(rewards, np.float32)
        return Outcome(self.observations, rewards, terminated, truncated & ~terminated, returns)

    def state(self) -> dict[str, np.ndarray]:
        """Return where they are: episodes, their steps, and actions ``[steps, count]``."""
        actions = np.array(self._history, np.int64).reshape(-1, len(self._steps))
        return {"episodes": self._episodes, "steps": self._steps.copy(), "actions": actions}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go to where they were, by playing the actions again.

        An episode that is younger than the oldest one begins when the others are so far; what its
        environment does until then does not matter.
        """
        steps, actions = np.asarray(state["steps"]), np.asarray(state["actions"])
        self._begin(np.array(state["episodes"]))
        for number, row in enumerate(actions):
            begins = steps == len(actions) - number
            if number and begins.any():
                self._reset(begins)
            self._played(row)
        if (steps == 0).any():
            self._reset(steps == 0)

    def close(self) -> None:
        """Give back what they hold."""
        self._envs.close()


def training_seed(seed: int) -> Callable[[int, int], int]:
    """Return the seeds of the episodes that are trained on, of a run with this seed."""
    return lambda env, episode: _mixed(seed, 0, env, episode)


def held_out_seeds(seed: int, count: int) -> list[int]:
    """Return seeds of episodes that no training of a run with this seed sees."""
    return [_mixed(seed, 1, number) for number in range(count)]


def _mixed(*numbers: int) -> int:
    # Games take seeds below 2**31.
    return int(np.random.SeedSequence(numbers).generate_state(1)[0] >> 1)
