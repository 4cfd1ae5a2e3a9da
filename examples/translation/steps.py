"""What a training consists of, one step of it, and how a trained model translates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from examples.translation.model import Translator
from examples.translation.packing import Packed
from examples.translation.settings import Settings
from examples.translation.tokens import EDGE, PADDING, Tokens

from ramie import nnx


class Training(nnx.Module):
    """The model, and the optimizer that knows its parameters; all that a checkpoint holds."""

    def __init__(self, sources: int, targets: int, settings: Settings):
        rngs = nnx.Rngs(settings.seed)
        self.model = Translator(sources, targets, settings, rngs=rngs)
        self.optimizer = nnx.Optimizer(self.model, optimizer(settings), wrt=nnx.Param)


@functools.cache  # with one optimizer for the same settings, a step compiles once
def optimizer(settings: Settings) -> optax.GradientTransformation:
    """Return Adam with a warm-up, a decay to zero, and clipped gradients."""
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.rate, settings.warmup, settings.steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.98))


def logits_of(model: Translator, batch: Packed, training: bool = False) -> jax.Array:
    """Return the logits of each next token, ``[rows, length, tokens]``."""
    memory = model.encode(
        batch.source, batch.source_segments, batch.source_positions, training=training
    )
    return model.decode(
        memory,
        batch.source_segments,
        batch.before,
        batch.segments,
        batch.positions,
        training=training,
    )


def step(training: Training, batch: Packed) -> jax.Array:
    """Change the training by one batch, and return the loss before, in nats a token."""

    def loss_of(model):
        logits = logits_of(model, batch, training=True)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.target)
        return jnp.mean(losses, where=batch.segments != 0)

    loss, gradients = nnx.value_and_grad(loss_of)(training.model)
    training.optimizer.update(training.model, gradients)
    return loss


compiled_step = nnx.jit(step, donate="auto")


@nnx.jit
def written(model: Translator, source: jax.Array) -> jax.Array:
    """Translate greedily: of ``[phrases, length]`` tokens, padded, one phrase in each row.

    The whole of what is written so far runs through the decoder for each token, which is simple. A
    cache of keys and values, as in the example of the language model, would save most of it.
    """
    there = (source != PADDING).astype(jnp.int32)  # all real tokens of a row are one segment
    count, length = source.shape
    positions = jnp.broadcast_to(jnp.arange(length + 1), (count, length + 1))
    memory = model.encode(source, there, positions[:, :-1])
    segments = jnp.ones((count, length + 1), jnp.int32)

    def more(state):
        place, _, ended = state
        return (place < length) & ~ended.all()

    def one(state):
        place, tokens, ended = state
        logits = model.decode(memory, there, tokens, segments, positions)
        token = jnp.where(ended, EDGE, logits[:, place].argmax(-1))
        return place + 1, tokens.at[:, place + 1].set(token), ended | (token == EDGE)

    tokens = jnp.full((count, length + 1), EDGE)
    start = (0, tokens, jnp.zeros(count, bool))
    return jax.lax.while_loop(more, one, start)[1][:, 1:]


def translate(
    model: Translator,
    texts: list[str],
    sources: Tokens,
    targets: Tokens,
    longest: int,
    size: int = 100,
) -> list[str]:
    """Translate texts, a batch of one size at a time, so that it compiles once.

    Raises:
      ValueError: if a text is empty or too long.
    """
    rows = np.zeros((-(-len(texts) // size) * size, longest), np.int32)
    for row, text in zip(rows, texts, strict=False):
        tokens = sources.row(text)
        if not 0 < len(tokens) <= longest:
            raise ValueError(
                f"{text!r} has {len(tokens)} tokens; the model was made for 1 to {longest}."
            )
        row[: len(tokens)] = tokens
    rows[len(texts) :] = rows[0]
    found = [np.asarray(written(model, rows[i : i + size])) for i in range(0, len(rows), size)]
    return [targets.text(row) for row in np.concatenate(found)[: len(texts)].tolist()]
