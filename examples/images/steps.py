"""What a training consists of, one step of it, and a test."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from examples.images.model import ResNet
from examples.images.settings import Settings

from ramie import traverse_util
from ramie.training import train_state


class TrainState(train_state.TrainState):
    """Parameters and optimizer, with what else changes from step to step.

    Attributes:
      batch_stats: means and variances that layers of batch norm remember.
      averaged: a moving average of parameters and batch statistics, which is what is tested.
    """

    batch_stats: Any
    averaged: Any


def create(model: ResNet, settings: Settings, shape: tuple[int, ...], steps: int) -> TrainState:
    """Make the state before the first step.

    Args:
      model: the model.
      settings: seed, and what the optimizer needs.
      shape: of an image.
      steps: of the whole run.
    """
    variables = model.init(jax.random.key(settings.seed), jnp.zeros((1, *shape)), train=False)
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, steps // 10 + 1, steps + 1)
    return TrainState.create(
        apply_fn=model.apply,
        params=variables["params"],
        tx=optax.chain(
            optax.add_decayed_weights(settings.decay, mask=kernels),
            optax.sgd(rate, momentum=0.9, nesterov=True),
        ),
        batch_stats=variables["batch_stats"],
        averaged=jax.tree.map(jnp.copy, variables),
    )


def kernels(params: Any) -> Any:
    """Say which parameters shrink: kernels, but no biases and no scales."""
    return traverse_util.path_aware_map(lambda path, _: path[-1] == "kernel", params)


def make(settings: Settings, brightness: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
    """Make the functions of a step and of a test.

    Args:
      settings: what they need of it.
      brightness: mean and deviation of each channel.

    Returns:
      ``step(state, batch) -> (state, loss)`` and ``test(apply, variables, batch) -> sums``.
    """
    mean, deviation = brightness

    def seen(images):
        return (images.astype(jnp.float32) - mean) / deviation

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, jax.Array]:
        def loss_of(params):
            variables = {"params": params, "batch_stats": state.batch_stats}
            images = seen(batch["image"])
            logits, new = state.apply_fn(variables, images, train=True, mutable=["batch_stats"])
            wanted = jax.nn.one_hot(batch["label"], logits.shape[-1])
            wanted = optax.smooth_labels(wanted, settings.smoothing)
            return optax.softmax_cross_entropy(logits, wanted).mean(), new["batch_stats"]

        (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        state = state.apply_gradients(grads=grads, batch_stats=batch_stats)
        # At first the average follows quickly, or it would remember the parameters of the start.
        kept = jnp.minimum(settings.average, (1 + state.step) / (10 + state.step))
        now = {"params": state.params, "batch_stats": state.batch_stats}
        averaged = optax.incremental_update(now, state.averaged, 1 - kept)
        return state.replace(averaged=averaged), loss

    def test(apply: Any, variables: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        logits = apply(variables, seen(batch["image"]), train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        found, mask = logits.argmax(-1), batch["mask"]
        sums = {"right": found == batch["label"], "loss": losses}
        sums = {name: jnp.sum(value, where=mask) for name, value in sums.items()}
        return sums | {"count": mask.sum(), "found": found}

    return step, jax.jit(test, static_argnums=0)
