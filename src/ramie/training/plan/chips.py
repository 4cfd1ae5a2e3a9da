"""What Google publishes of its chips: the peaks that bound a step from below."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CHIPS", "Chip"]

_GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One device as JAX counts them; a TPU7x has two of them.

    Attributes:
      name: as in names of topologies, ``v5p``.
      kind: what JAX calls it, ``TPU v5``.
      flops: operations a second, by dtype of the operands. Wider floats count as bfloat16, which
        their products take several passes of.
      hbm_bytes: the published size of its memory.
      usable_bytes: what the compiler gives to a program, a little less.
      hbm_bandwidth: bytes a second.
      ici_bandwidth: bytes a second over all links of the chip together, one way.
      devices: how many devices a chip has.
      dimensions: how many numbers the name of a topology has.
      source: where these are published.

    Example:
        >>> from ramie.plan import CHIPS
        >>> CHIPS["v5p"].flops["bfloat16"] / 1e12
        459.0
    """

    name: str
    kind: str
    flops: Mapping[str, float]
    hbm_bytes: int
    usable_bytes: int
    hbm_bandwidth: float
    ici_bandwidth: float
    devices: int
    dimensions: int
    source: str


# Each row is that of Google's page "System architecture" of the chip, which gives bandwidths of
# links in both directions together: half of it is one way. `usable_bytes` is what libtpu 0.0.50
# names when a program does not fit ("exceeds available HBM").
_PAGES = "https://docs.cloud.google.com/tpu/docs/"
CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip(
            name="v5e",
            kind="TPU v5 lite",
            flops={"bfloat16": 197e12, "int8": 393e12},
            hbm_bytes=16 * _GIB,
            usable_bytes=int(15.75 * _GIB),
            hbm_bandwidth=819e9,
            ici_bandwidth=400e9 / 2,
            devices=1,
            dimensions=2,
            source=_PAGES + "v5e",
        ),
        Chip(
            name="v5p",
            kind="TPU v5",
            flops={"bfloat16": 459e12, "float8": 459e12, "int8": 918e12},
            hbm_bytes=95 * _GIB,
            usable_bytes=int(95.73 * _GIB),
            hbm_bandwidth=2765e9,
            ici_bandwidth=1200e9 / 2,
            devices=1,
            dimensions=3,
            source=_PAGES + "v5p",
        ),
        Chip(
            name="v6e",
            kind="TPU v6 lite",
            flops={"bfloat16": 918e12, "float8": 918e12, "int8": 1836e12},
            hbm_bytes=32 * _GIB,
            usable_bytes=int(31.24 * _GIB),
            hbm_bandwidth=1638e9,
            ici_bandwidth=800e9 / 2,
            devices=1,
            dimensions=2,
            source=_PAGES + "v6e",
        ),
        # A chip has 2307 TFLOP/s, 192 GiB and 7380 GB/s, half of it for each of its two devices;
        # both share the links.
        Chip(
            name="tpu7x",
            kind="TPU7x",
            flops={"bfloat16": 2307e12 / 2, "float8": 4614e12 / 2},
            hbm_bytes=96 * _GIB,
            usable_bytes=int(94.74 * _GIB),
            hbm_bandwidth=7380e9 / 2,
            ici_bandwidth=1200e9 / 2,
            devices=2,
            dimensions=3,
            source=_PAGES + "tpu7x",
        ),
    )
}
"""The chips by name."""
