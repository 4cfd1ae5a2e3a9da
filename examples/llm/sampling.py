"""Continuing a text: the prompt fills the cache at once, then one byte at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from examples.llm import meshes
from examples.llm.model import Transformer
from examples.llm.settings import Settings

from ramie import nnx


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


@partial(nnx.jit, static_argnames=("count", "highest"))
def _continue(model, prompt, key, temperature, *, count, highest):
    logits = model(prompt, 0, sampling=True)[:, -1]

    def one(model, carry, position):
        logits, key = carry
        key, now = jax.random.split(key)
        best, candidates = jax.lax.top_k(logits, highest)
        choice = jax.random.categorical(now, best / temperature)
        token = jnp.take_along_axis(candidates, choice[:, None], 1)
        return (model(token, position, sampling=True)[:, -1], key), token[:, 0]

    positions = prompt.shape[1] + jnp.arange(count)
    run = nnx.scan(one, in_axes=(nnx.StateAxes({...: nnx.Carry}), nnx.Carry, 0))
    _, tokens = run(model, (logits, key), positions)
    return tokens.T


def sample(
    settings: Settings,
    model: Transformer,
    prompt: bytes,
    *,
    count: int = 1,
    temperature: float = 0.8,
    highest: int = 40,
    seed: int = 0,
) -> list[bytes]:
    """Continue a text until the window of the model is full.

    Args:
      settings: the sizes.
      model: the trained one.
      prompt: the beginning; of a long one the end is used.
      count: how many continuations.
      temperature: below 1 the likely bytes are preferred, above 1 the unlikely ones.
      highest: how many of the likeliest bytes are chosen from.
      seed: of the choices.

    Returns:
      The prompt with each continuation.
    """
    if not prompt:
        prompt = b"\n"
    prompt = prompt[-(settings.length // 2) :]
    tokens = jnp.asarray(np.frombuffer(prompt, np.uint8).astype(np.int32))
    tokens = jnp.broadcast_to(tokens, (count, len(prompt)))
    sampler = with_cache(settings, model, count)
    found = _continue(
        sampler,
        tokens,
        jax.random.key(seed),
        temperature,
        count=settings.length - len(prompt),
        highest=highest,
    )
    return [prompt + bytes(np.asarray(row, np.uint8)) for row in found]
