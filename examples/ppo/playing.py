"""The model plays: with chance to learn from it, or as well as it can."""

from typing import Any

import jax
import numpy as np
from examples.ppo import model, steps
from examples.ppo.environments import Environments
from examples.ppo.settings import Settings


def rollout(
    params: Any, policy: model.Policy, environments: Environments, settings: Settings, number: int
) -> tuple[steps.Rollout, list[float]]:
    """Play some steps in all environments, from where they are.

    Args:
      params: of the model.
      policy: the model.
      environments: are changed.
      settings: of the run.
      number: of the update that the steps are for.

    Returns:
      The steps, and the returns of the episodes that came to their end.
    """
    rows, returns = [], []
    for step in range(number * settings.length, (number + 1) * settings.length):
        seen = environments.observations
        drawn = steps.act(params, seen, np.int32(step), policy=policy, settings=settings)
        actions, log_probs, values = jax.device_get(drawn)
        outcome = environments.step(actions)
        returns.extend(outcome.returns[~np.isnan(outcome.returns)].tolist())
        cut = np.zeros_like(values)
        if outcome.truncated.any():
            # What an episode that was cut would still have brought is what the model expects.
            *_, expected = steps.act(
                params, outcome.observations, np.int32(step), policy=policy, settings=settings
            )
            cut = np.where(outcome.truncated, expected, 0)
        # Rewards of games are of any size, so only their sign is learned from.
        rewards = np.sign(outcome.rewards) if settings.atari else outcome.rewards
        over = outcome.terminated | outcome.truncated
        rows.append((seen, actions, log_probs, values, settings.scale * rewards, cut, over))
    *_, last = steps.act(
        params, environments.observations, np.int32(0), policy=policy, settings=settings
    )
    seen, actions, log_probs, values, rewards, cut, over = map(np.stack, zip(*rows, strict=True))
    following = np.concatenate([values[1:], np.asarray(last)[None]])
    next_values = np.where(over, cut, following)
    found = steps.Rollout(seen, actions, log_probs, values, rewards, next_values, over)
    return found, returns


def played(params: Any, policy: model.Policy, settings: Settings, seeds: list[int]) -> list[float]:
    """Play one episode with each seed, always with the likeliest action; give the returns.

    Each environment counts once. If the first episodes to end counted, bad ones would prevail.
    """
    environments = Environments(settings, len(seeds), lambda env, _: seeds[env])
    returns = np.full(len(seeds), np.nan)
    while np.isnan(returns).any():
        actions = steps.best(params, environments.observations, policy=policy)
        found = environments.step(np.asarray(actions)).returns
        returns = np.where(np.isnan(returns), found, returns)
    environments.close()
    return returns.tolist()


def episode(
    params: Any, policy: model.Policy, settings: Settings, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Play one episode; give its observations ``[steps, ...]`` and actions ``[steps]``."""
    environments = Environments(settings, 1, lambda env, number: seed)
    seen, actions, over = [], [], False
    while not over:
        action = np.asarray(steps.best(params, environments.observations, policy=policy))
        seen.append(environments.observations[0])
        actions.append(action[0])
        over = not np.isnan(environments.step(action).returns[0])
    environments.close()
    return np.stack(seen), np.stack(actions)
