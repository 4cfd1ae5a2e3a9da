"""What a training consists of, one step of it, and how a trained model pronounces words."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from examples.letters_to_sounds import model, search, words
from examples.letters_to_sounds.settings import Settings

from ramie.training.train_state import TrainState


def create(settings: Settings) -> TrainState:
    """Make the first state: parameters, and those of Adam with a warm-up and a decay to zero."""
    pronouncer = model.create(settings)
    letters = jnp.zeros((1, settings.longest), jnp.int32)
    sounds = jnp.zeros((1, settings.longest + 1), jnp.int32)
    init = jax.jit(pronouncer.init)  # one program instead of many small ones
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, settings.warmup, settings.steps)
    return TrainState.create(
        apply_fn=pronouncer.apply,
        params=init(jax.random.key(settings.seed), letters, sounds)["params"],
        tx=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
    )


def step(state: TrainState, letters: jax.Array, sounds: jax.Array) -> tuple[TrainState, jax.Array]:
    """Change the state by one batch; return the new state and the loss before.

    Args:
      state: parameters and optimizer.
      letters: ``[batch, longest]``.
      sounds: ``[batch, longest + 2]``, an edge in front and behind.
    """
    before, wanted = sounds[:, :-1], sounds[:, 1:]

    def loss_of(params):
        logits, _ = state.apply_fn({"params": params}, letters, before)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
        return jnp.mean(losses, where=wanted != words.PADDING)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


@partial(jax.jit, static_argnames=("settings", "beams"))
def best(params, letters, settings: Settings, beams: int) -> jax.Array:
    """Search for the likeliest sounds ``[batch, longest + 1]`` of words ``[batch, longest]``."""
    pronouncer = model.create(settings)
    variables = {"params": params}
    letters = jnp.repeat(letters, beams, axis=0)
    memory, carry = pronouncer.apply(variables, letters, method="encode")

    def one(carry, sound):
        return pronouncer.apply(variables, carry, memory, letters, sound, method="step")

    written, _ = search.beam_search(
        one,
        carry,
        batch=letters.shape[0] // beams,
        beams=beams,
        length=settings.longest + 1,
        edge=words.EDGE,
    )
    return written[:, 0]


def pronounce(
    params, spellings: list[str], settings: Settings, beams: int, size: int = 250
) -> list[list[str]]:
    """Return the sounds of words, a batch of one size at a time, so that it compiles once."""
    letters = words.spelled(spellings, settings.longest)
    size = min(size, len(letters))
    filled = np.pad(letters, [(0, -len(letters) % size), (0, 0)], mode="edge")
    rows = [
        np.asarray(best(params, filled[i : i + size], settings, beams))
        for i in range(0, len(filled), size)
    ]
    return [words.heard(row) for row in np.concatenate(rows)[: len(letters)]]


@partial(jax.jit, static_argnames="settings")
def looked_at(params, letters, sounds, settings: Settings) -> jax.Array:
    """Return how much each letter is looked at for each sound, ``[batch, sounds, letters]``."""
    return model.create(settings).apply({"params": params}, letters, sounds)[1]
