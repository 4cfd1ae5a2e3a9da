"""Compiled programs are memory maps, and Linux gives a process 65 530 of them.

A program that JAX compiles for CPUs takes a few maps, and has them for as long as JAX's caches hold
it. Thousands of tests in one process use up what there is, and the next compilation crashes.
"""

import itertools
from pathlib import Path

__all__ = ["count", "drop_programs", "look_now_and_then"]

_MAPS = Path("/proc/self/maps")
_ENOUGH = 40_000
_FILES = itertools.count(1)
_A_LOOK = (
    16  # files of tests between looks: to count takes a tenth of a second where there are many
)


def count() -> int:
    """Return how many memory maps this process has: 0 where no file tells."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def drop_programs(above: int = _ENOUGH) -> None:
    """Empty JAX's caches where the process has more memory maps than `above`."""
    if count() > above:
        import jax  # only tests that have compiled come here

        jax.clear_caches()


def look_now_and_then() -> None:
    """Drop programs where it is time to look, and they are too many."""
    if next(_FILES) % _A_LOOK == 0:
        drop_programs()
