"""What queries, keys, values and rates of attention have to be."""

from ramie.typing import Array

__all__ = ["check_dropout_rate", "check_inputs"]


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
