"""What a training consists of, one step of it, and how a trained model judges reviews."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from examples.sentiment import model, reviews
from examples.sentiment.settings import Settings

from ramie.training.train_state import TrainState


class State(TrainState):
    """Parameters and optimizer, and the key of all that is drawn while training."""

    key: jax.Array


def create(settings: Settings, characters: int) -> State:
    """Make the first state: parameters, and those of Adam with a warm-up and a decay to zero."""
    judge = model.create(settings, characters)
    first, key = jax.random.split(jax.random.key(settings.seed))
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, settings.warmup, settings.steps)
    init = jax.jit(judge.init)  # one program instead of many small ones
    return State.create(
        apply_fn=judge.apply,
        params=init(first, jnp.ones((1, 2), jnp.int32))["params"],
        tx=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
        key=key,
    )


def step(state: State, characters: jax.Array, good: jax.Array) -> tuple[State, jax.Array]:
    """Change the state by one batch; return the new state and the loss before.

    Args:
      state: parameters, optimizer and key.
      characters: ``[batch, width]``.
      good: labels ``[batch]``.
    """
    # Each step hides other characters, and a run that goes on hides what it would have hidden.
    key = jax.random.fold_in(state.key, state.step)

    def loss_of(params):
        rngs = {"dropout": key}
        logits = state.apply_fn({"params": params}, characters, training=True, rngs=rngs)
        return optax.sigmoid_binary_cross_entropy(logits, good).mean()

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


@jax.jit
def probabilities(state: State, characters: jax.Array) -> jax.Array:
    """Return how likely it is that the writers were content, ``[batch]``."""
    return jax.nn.sigmoid(state.apply_fn({"params": state.params}, characters))


def judge(state: State, rows: list[np.ndarray], size: int = 100) -> np.ndarray:
    """Return `probabilities` of reviews of all lengths; few widths, so that little is compiled.

    Args:
      state: a trained one.
      rows: numbers of characters of each review.
      size: reviews of a batch.
    """
    found = np.zeros(len(rows), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(rows), size):
        numbers = order[start : start + size]
        some = [rows[i] for i in numbers]
        some += [some[-1]] * (min(size, len(rows)) - len(some))  # the last batch is filled up
        width = reviews.width_for(max(map(len, some)))
        known = np.asarray(probabilities(state, reviews.padded(some, width)))
        found[numbers] = known[: len(numbers)]
    return found
