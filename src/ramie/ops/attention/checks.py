"""What queries, keys, values and rates of attention have to be."""

import jax.numpy as jnp
import numpy as np

from ramie.typing import Array

__all__ = ["check_dropout_rate", "check_inputs", "check_scores"]


def check_inputs(
    query: Array, key: Array, value: Array | None = None, *, grouped: bool = False
) -> None:
    """Raise `ValueError` unless query, key and value fit together.

    Args:
      query: ``[batch..., q, heads, depth]``.
      key: ``[batch..., k, heads, depth]``.
      value: ``[batch..., k, heads, any]``, if there is one yet.
      grouped: whether keys and values may have fewer heads, each for a group of query heads.
    """
    shapes = [x.shape for x in (query, key) if x is not None]
    if value is not None:
        shapes.append(value.shape)
    listed = ", ".join(f"{name} {shape}" for name, shape in zip("qkv", shapes, strict=False))
    if query.ndim < 3 or any(len(s) != query.ndim for s in shapes):
        raise ValueError(
            "q, k, v must have same rank, at least 3: [batch..., length, heads, depth]. Found "
            f"{listed}."
        )
    if any(s[:-3] != shapes[0][:-3] for s in shapes):
        raise ValueError(f"q, k, v batch dims must match. Found {listed}.")
    heads = [s[-2] for s in shapes]
    if len(set(heads[1:])) > 1 or (not grouped and heads[0] != heads[1]):
        raise ValueError(f"q, k, v num_heads must match. Found {listed}.")
    if not heads[1] or heads[0] % heads[1]:
        raise ValueError(
            "The number of query heads must be a multiple of that of keys and values; got "
            f"{heads[0]} and {heads[1]}."
        )
    if value is not None and value.shape[-3] != key.shape[-3]:
        raise ValueError(f"k, v lengths must match. Found {listed}.")
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"q, k depths must match. Found {listed}.")


def check_scores(
    query: Array, key: Array, *, bias: Array | None, mask: Array | None, wider: bool = False
) -> None:
    """Raise `ValueError` unless bias and mask fit the scores ``[batch..., heads, q, k]``.

    Args:
      query: ``[batch..., q, heads, depth]``; only its shape counts.
      key: ``[batch..., k, heads, depth]``, likewise.
      bias: what is added to the scores, if anything.
      mask: where a query may look, if that is not everywhere.
      wider: whether they may have more batch entries than queries and keys have.
    """
    scores = (*query.shape[:-3], query.shape[-2], query.shape[-3], key.shape[-3])
    for name, x in (("bias", bias), ("mask", mask)):
        if x is None:
            continue
        try:
            together = jnp.broadcast_shapes(scores, np.shape(x))
        except ValueError:
            together = None
        if together is None or (together != scores and not wider):
            raise ValueError(
                f"The {name} of shape {np.shape(x)} does not fit the scores of attention, "
                f"[batch..., heads, q, k] = {scores}. What holds for keys, [batch, k], is passed "
                f"as {name}[:, None, None, :]; for pairs of positions, [batch, q, k], as "
                f"{name}[:, None]."
            )


def check_dropout_rate(rate: float) -> None:
    """Raise `ValueError` unless a rate of dropout leaves some attention weights.

    Args:
      rate: probability of a weight to become zero.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(
            f"dropout_rate must be in the range [0, 1), got {rate}: it is the probability of an "
            "attention weight to become zero, and some weights have to stay."
        )
