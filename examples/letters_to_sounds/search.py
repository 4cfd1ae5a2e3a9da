"""Beam search: the likeliest sequence that a decoder can write, or nearly so."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def beam_search(
    step: Callable[[Any, jax.Array], tuple[Any, jax.Array]],
    carry: Any,
    *,
    batch: int,
    beams: int,
    length: int,
    edge: int,
) -> tuple[jax.Array, jax.Array]:
    """Keep the best beginnings of each sequence of a batch, and make all of them longer by one.

    Args:
      step: takes a carry and tokens ``[batch * beams]``, and returns the next carry and the log
        probabilities of the next tokens, ``[batch * beams, vocabulary]``.
      carry: the first carry; a pytree of arrays with the leading axis ``batch * beams``.
      batch: sequences.
      beams: beginnings kept of each. With one, this is the greedy search. With as many as there are
        beginnings, it finds the best of all sequences.
      length: tokens of the longest sequence, its end included.
      edge: the token that starts a sequence and ends it.

    Returns:
      The sequences ``[batch, beams, length]``, the best first, filled up with `edge`; and the log
      probability of each, ``[batch, beams]``.
    """
    first_row = jnp.arange(batch)[:, None] * beams  # of each sequence, among batch * beams rows

    def longer(state, place):
        carry, tokens, written, scores, ended = state
        carry, now = step(carry, tokens.reshape(-1))
        vocabulary = now.shape[-1]
        # What has ended goes on with edges, which cost nothing.
        only_edges = jnp.where(jnp.arange(vocabulary) == edge, 0.0, -jnp.inf)
        now = jnp.where(ended[..., None], only_edges, now.reshape(batch, beams, vocabulary))
        total = (scores[..., None] + now).reshape(batch, beams * vocabulary)
        scores, chosen = jax.lax.top_k(total, beams)
        parent, tokens = chosen // vocabulary, chosen % vocabulary
        rows = (first_row + parent).reshape(-1)
        carry = jax.tree.map(lambda x: x[rows], carry)
        written = jnp.take_along_axis(written, parent[..., None], axis=1)
        written = written.at[:, :, place].set(tokens)
        ended = jnp.take_along_axis(ended, parent, axis=1) | (tokens == edge)
        return (carry, tokens, written, scores, ended), None

    state = (
        carry,
        jnp.full((batch, beams), edge),
        jnp.full((batch, beams, length), edge),
        # At the start all beginnings are the same one: only the first of them counts.
        jnp.full((batch, beams), -jnp.inf).at[:, 0].set(0.0),
        jnp.zeros((batch, beams), bool),
    )
    (_, _, written, scores, _), _ = jax.lax.scan(longer, state, jnp.arange(length))
    return written, scores
