"""Continuing a text: the prompt fills the cache at once, then one byte at a time."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from examples.llm import meshes
from examples.llm.model import Transformer
from examples.llm.settings import VOCABULARY, Settings, UsageError
from jax.sharding import PartitionSpec

from ramie import nnx

MANY = 1_000_000


def with_cache(settings: Settings, model: Transformer, sequences: int) -> Transformer:
    """Return a model with the same parameters and an empty cache.

    Args:
      settings: the sizes.
      model: the trained one.
      sequences: how many are sampled together.
    """
    with nnx.logical_axis_rules(meshes.RULES):
        sampler = nnx.eval_shape(lambda: Transformer(settings, rngs=nnx.Rngs(0), cached=sequences))
    graphdef, _, cache = nnx.split(sampler, nnx.Param, nnx.Cache)
    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)
    return nnx.merge(graphdef, nnx.state(model, nnx.Param), empty)


def chosen(logits: jax.Array, key: jax.Array, temperature: jax.Array, highest: int) -> jax.Array:
    """Choose a byte for each sequence.

    Args:
      logits: ``[sequences, 256]``.
      key: for the choice.
      temperature: 0 takes the likeliest byte.
      highest: how many of the likeliest are chosen from.

    Returns:
      Bytes, ``[sequences, 1]``.
    """
    best, candidates = jax.lax.top_k(logits, highest)
    drawn = jax.random.categorical(key, best / jnp.maximum(temperature, 1e-6))
    choice = jnp.where(temperature > 0, drawn, 0)
    return jnp.take_along_axis(candidates, choice[:, None], 1)


@partial(nnx.jit, static_argnames=("settings", "count", "highest"))
def _continue(model, seen, seed, done, temperature, *, settings, count, highest):
    """Return `count` more bytes for each row; on every device, so that each process can read."""
    sampler = with_cache(settings, model, seen.shape[0])
    logits = sampler(seen, 0, sampling=True)[:, -1]  # prefill: the whole prompt at once

    def decode(sampler, carry, position):
        logits, key = carry
        key, now = jax.random.split(key)
        token = chosen(logits, now, temperature, highest)
        return (sampler(token, position, sampling=True)[:, -1], key), token[:, 0]

    positions = seen.shape[1] + jnp.arange(count)
    run = nnx.scan(decode, in_axes=(nnx.StateAxes({...: nnx.Carry}), nnx.Carry, 0))
    key = jax.random.fold_in(jax.random.key(seed), done)
    _, tokens = run(sampler, (logits, key), positions)
    if jax.sharding.get_abstract_mesh().empty:
        return tokens.T
    return jax.lax.with_sharding_constraint(tokens.T, PartitionSpec())


def check(
    prompt: bytes, size: int, count: int, temperature: float, highest: int, seed: int
) -> None:
    """Refuse what cannot be sampled; the arguments are those of `sample`.

    Raises:
      UsageError: says which of them, and what is expected.
    """
    if not prompt:
        raise UsageError("the prompt is empty; give at least one byte, such as 'def '.")
    for name, number, least, most in (
        ("number of bytes", size, 1, MANY),
        ("number of samples", count, 1, MANY),
        ("top-k", highest, 1, VOCABULARY),
        ("seed of the sample", seed, 0, 2**32 - 1),
    ):
        if not least <= number <= most:
            raise UsageError(f"the {name} is {number}; give a whole number from {least} to {most}.")
    if not 0 <= temperature < math.inf:
        raise UsageError(f"the temperature is {temperature}; give a number from 0 on.")


def sample(
    settings: Settings,
    model: Transformer,
    prompt: bytes,
    *,
    size: int | None = None,
    count: int = 1,
    temperature: float = 0.8,
    highest: int = 40,
    seed: int = 0,
) -> list[bytes]:
    """Continue a text.

    The model sees at most ``settings.length`` bytes. Of a prompt that is longer it sees the last
    half of that; when its window is full, it goes on with the last half of what it has seen.

    In a run of several processes each of them has to call this, with the same arguments.

    Args:
      settings: the sizes.
      model: the trained one.
      prompt: the beginning, at least one byte.
      size: how many bytes are added; None for as many as fill the window.
      count: how many continuations.
      temperature: below 1 the likely bytes are preferred, above 1 the unlikely ones; with 0 the
        likeliest is taken.
      highest: how many of the likeliest bytes are chosen from.
      seed: of the choices.

    Returns:
      The prompt with each continuation.

    Raises:
      UsageError: an argument that cannot be.
    """
    half = settings.length // 2
    seen = prompt if len(prompt) < settings.length else prompt[-half:]
    size = settings.length - len(seen) if size is None else size
    check(prompt, size, count, temperature, highest, seed)
    rows = np.tile(np.frombuffer(prompt, np.uint8), (count, 1))
    window = len(seen)
    while rows.shape[1] < len(prompt) + size:
        more = _continue(
            model,
            rows[:, -window:].astype(np.int32),
            np.uint32(seed),
            rows.shape[1] - len(prompt),
            np.float32(temperature),
            settings=settings,
            count=settings.length - window,
            highest=highest,
        )
        rows = np.concatenate([rows, np.asarray(more).astype(np.uint8)], 1)
        window = half
    return [row.tobytes() for row in rows[:, : len(prompt) + size]]


def from_checkpoint(
    folder: Path, settings: Settings, mesh: str, prompt: bytes, **choices: Any
) -> list[bytes]:
    """Continue a text by the model of a run's last checkpoint, however many devices saved it.

    Args:
      folder: of the run; it holds a checkpoint.
      settings: the sizes.
      mesh: how the devices of this process are divided.
      prompt: the beginning.
      **choices: as for `sample`.

    Returns:
      The prompt with each continuation.
    """
    from examples.llm import checks, saving, steps

    number = checks.newest(folder)
    with jax.set_mesh(meshes.make(meshes.sizes(mesh, jax.device_count()))):
        training = saving.restore_training(folder, number, steps.abstract(settings))
        return sample(settings, training.model, prompt, **choices)


def printable(text: bytes) -> str:
    """Return text that the terminal can show; what it cannot becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.decode(errors="replace").encode(encoding, "replace").decode(encoding)
