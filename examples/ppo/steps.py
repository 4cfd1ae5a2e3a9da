"""What a training consists of, advantages, the loss, and one update.

Schulman, Wolski, Dhariwal, Radford and Klimov, *Proximal Policy Optimization Algorithms*, 2017;
advantages: Schulman, Moritz, Levine, Jordan and Abbeel, *High-Dimensional Continuous Control Using
Generalized Advantage Estimation*, 2015.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from examples.ppo import model
from examples.ppo.environments import Spaces
from examples.ppo.settings import Settings

from ramie.training.stepping import Stepper
from ramie.training.train_state import TrainState


class Rollout(NamedTuple):
    """Steps in several environments; all but the observations have the shape ``[length, envs]``.

    Attributes:
      observations: before the step, ``[length, envs, ...]``.
      actions: taken, int32.
      log_probs: of the actions, as the model was then.
      values: of the observations, as the model was then.
      rewards: of the step.
      next_values: of the observations after the step; 0 where the episode has terminated.
      over: whether the episode ended with the step, terminated or truncated.
    """

    observations: Any
    actions: Any
    log_probs: Any
    values: Any
    rewards: Any
    next_values: Any
    over: Any


def create(settings: Settings, spaces: Spaces) -> TrainState:
    """Make the first state: parameters, and those of Adam with a rate that falls to zero."""
    policy = model.create(settings, spaces)
    observations = jnp.zeros((1, *spaces.observation))
    init = jax.jit(policy.init)  # one program instead of many small ones
    rate = optax.linear_schedule(settings.rate, 0.0, settings.updates * steps_of(settings))
    return TrainState.create(
        apply_fn=policy.apply,
        params=init(jax.random.key(settings.seed), observations)["params"],
        tx=optax.chain(optax.clip_by_global_norm(settings.norm), optax.adam(rate, eps=1e-5)),
    )


def steps_of(settings: Settings) -> int:
    """Return the steps of the optimizer in an update."""
    return settings.epochs * (settings.steps_an_update // settings.batch)


def advantages(
    rewards: jax.Array,
    values: jax.Array,
    next_values: jax.Array,
    over: jax.Array,
    gamma: float,
    lam: float,
) -> jax.Array:
    """Return how much better each step was than expected, ``[length, envs]``.

    Where an episode is over nothing of the next one counts; what is expected after an episode that
    was only cut stands in `next_values`.
    """

    def back(later, now):
        surprise, goes_on = now
        advantage = surprise + gamma * lam * goes_on * later
        return advantage, advantage

    surprises = rewards + gamma * next_values - values
    start = jnp.zeros_like(surprises[0])
    return jax.lax.scan(back, start, (surprises, 1.0 - over), reverse=True)[1]


def loss_of(params: Any, apply: Any, settings: Settings, batch: dict[str, jax.Array]) -> Any:
    """Return the loss of a minibatch, and what is measured on the way.

    Args:
      params: of the model.
      apply: the model.
      settings: the weights of the parts.
      batch: of steps: `observations`, `actions`, `log_probs`, `advantages` and `returns`.
    """
    logits, values = apply({"params": params}, batch["observations"])
    log_probs = jax.nn.log_softmax(logits)
    taken = jnp.take_along_axis(log_probs, batch["actions"][:, None], axis=1)[:, 0]
    log_ratio = taken - batch["log_probs"]
    ratio = jnp.exp(log_ratio)
    better = batch["advantages"]
    better = (better - better.mean()) / (better.std() + 1e-8)
    clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    gain = jnp.minimum(ratio * better, clipped * better).mean()
    error = jnp.square(values - batch["returns"]).mean()
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=1).mean()
    loss = -gain + settings.value * error - settings.entropy * entropy
    measured = {
        "loss": loss,
        "value_error": error,
        "entropy": entropy,
        "moved": jnp.mean(ratio - 1 - log_ratio),  # about the Kullback-Leibler divergence
        "clipped": jnp.mean(jnp.abs(ratio - 1) > settings.clip),
    }
    return loss, measured


@partial(jax.jit, static_argnums=0)
def prepared(
    settings: Settings, rollout: Rollout, number: jax.Array
) -> tuple[dict[str, jax.Array], jax.Array]:
    """Return the steps of a rollout in one row, and which of them each minibatch takes.

    Args:
      settings: of the run.
      rollout: what was played.
      number: of the update; with the seed it says how the steps are shuffled.

    Returns:
      What `loss_of` takes, for all steps, and numbers of steps ``[minibatches, batch]``.
    """
    found = advantages(
        rollout.rewards,
        rollout.values,
        rollout.next_values,
        rollout.over,
        settings.gamma,
        settings.lam,
    )
    names = ("observations", "actions", "log_probs")
    steps = {name: getattr(rollout, name) for name in names}
    steps |= {"advantages": found, "returns": found + rollout.values}
    steps = {name: x.reshape(-1, *x.shape[2:]) for name, x in steps.items()}
    keys = jax.random.split(drawn_by(settings, 1, number), settings.epochs)
    shuffled = jax.vmap(jax.random.permutation, (0, None))(keys, settings.steps_an_update)
    return steps, shuffled.reshape(-1, settings.batch)


def step(
    settings: Settings, state: TrainState, steps: dict[str, jax.Array], chosen: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Change the state by one minibatch; return the new state and what was measured.

    It is compiled alone, and called from a loop in Python: inside of `jax.lax.scan`, convolutions
    are many times slower on CPUs.

    Args:
      settings: of the run.
      state: parameters and optimizer.
      steps: all of an update, from `prepared`.
      chosen: the numbers of those of the minibatch, ``[batch]``.
    """
    batch = {name: x[chosen] for name, x in steps.items()}
    find = jax.grad(loss_of, has_aux=True)
    gradients, measured = find(state.params, state.apply_fn, settings, batch)
    return state.apply_gradients(grads=gradients), measured


def update(
    training: Stepper, settings: Settings, rollout: Rollout, number: int
) -> dict[str, float]:
    """Learn from what was played, in some epochs of minibatches.

    Args:
      training: owns the state, and does a `step`.
      settings: of the run.
      rollout: what was played with the parameters of the state.
      number: of the update.

    Returns:
      Means of what was measured.
    """
    steps, minibatches = prepared(settings, rollout, np.int32(number))
    measured = jax.device_get([training(steps, chosen) for chosen in minibatches])
    return {name: float(np.mean([line[name] for line in measured])) for name in measured[0]}


def drawn_by(settings: Settings, kind: int, number: jax.Array) -> jax.Array:
    """Return the key for one purpose and one number."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(settings.seed), kind), number)


@partial(jax.jit, static_argnames=("policy", "settings"))
def act(params, observations, number, *, policy: model.Policy, settings: Settings) -> Any:
    """Draw actions.

    Args:
      params: of the model.
      observations: ``[envs, ...]``.
      number: of the step in the run; with the seed it says what is drawn.
      policy: the model.
      settings: of the run.

    Returns:
      Actions, their log probabilities, and values, all ``[envs]``.
    """
    logits, values = policy.apply({"params": params}, observations)
    actions = jax.random.categorical(drawn_by(settings, 0, number), logits)
    log_probs = jax.nn.log_softmax(logits)
    return actions, jnp.take_along_axis(log_probs, actions[:, None], axis=1)[:, 0], values


@partial(jax.jit, static_argnames="policy")
def best(params, observations: np.ndarray, *, policy: model.Policy) -> jax.Array:
    """Return the likeliest actions ``[envs]``."""
    return policy.apply({"params": params}, observations)[0].argmax(-1)
