"""What Google publishes of its chips: the peaks that bound a step from below."""

from dataclasses import dataclass

__all__ = ["CHIPS", "Chip"]


@dataclass(frozen=True)
class Chip:
    """One device as JAX counts them.

    Attributes:
      name: as in names of topologies, ``v5p``.
      kind: what JAX calls it, ``TPU v5``.
      flops: operations a second by dtype of the operands: ``bfloat16``, ``int8``, ``float8``.
      hbm_bytes: the size of its memory.
      hbm_bandwidth: bytes a second.
      ici_bandwidth: bytes a second over all links together, one way.
      source: where these are published.
    """

    name: str
    kind: str
    flops: dict[str, float]
    hbm_bytes: int
    hbm_bandwidth: float
    ici_bandwidth: float
    source: str


CHIPS: dict[str, Chip] = {}
"""The chips by name."""
