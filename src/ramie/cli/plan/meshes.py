"""Meshes as they are typed: `data=32,model=8`, and several of them, as in `model=1,2,4,8`."""

import argparse
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["REST", "complete", "described", "mesh", "sweep", "variants"]

REST = -1
"""The size of an axis that takes all devices which the others leave: what `*` stands for, or -1."""


def mesh(text: str) -> dict[str, int]:
    """Read the axes of a mesh with their sizes, in order.

    Example:
      >>> mesh("data=32,model=8"), mesh("data=*,model=8")
      ({'data': 32, 'model': 8}, {'data': -1, 'model': 8})
    """
    axes: dict[str, int] = {}
    for part in text.split(","):
        name, sign, size = (word.strip() for word in part.partition("="))
        if not sign or not name.isidentifier():
            raise argparse.ArgumentTypeError(
                f"must be axes with their sizes, as in data=32,model=8, but it is {text!r}"
            )
        if name in axes:
            raise argparse.ArgumentTypeError(f"names the axis {name!r} twice: {text!r}")
        axes[name] = REST if size in ("*", "-1") else _size(size, name, text)
    if list(axes.values()).count(REST) > 1:
        raise argparse.ArgumentTypeError(f"only one axis can take what is left: {text!r}")
    return axes


def sweep(text: str) -> tuple[str, tuple[int, ...]]:
    """Read an axis and the sizes to try, each once.

    Example:
      >>> sweep("model=1,2,4,8")
      ('model', (1, 2, 4, 8))
    """
    name, sign, sizes = (word.strip() for word in text.partition("="))
    if not sign or not name.isidentifier():
        raise argparse.ArgumentTypeError(
            f"must be an axis and the sizes to try, as in model=1,2,4,8, but it is {text!r}"
        )
    found = [_size(size.strip(), name, text) for size in sizes.split(",")]
    return name, tuple(dict.fromkeys(found))


def _size(word: str, name: str, text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", word):
        raise argparse.ArgumentTypeError(
            f"the axis {name!r} needs a whole number of at least 1, but {text!r} says {word!r}"
        )
    return int(word)


def complete(axes: Mapping[str, int], count: int) -> dict[str, int]:
    """Give the axis of size `REST` the devices that are left.

    Args:
      axes: the axes with their sizes.
      count: how many devices there are.

    Raises:
      ValueError: the sizes do not make that many devices.

    Example:
      >>> complete({"data": REST, "model": 8}, 256)
      {'data': 32, 'model': 8}
    """
    known = math.prod(size for size in axes.values() if size != REST)
    if REST not in axes.values() and known != count:
        raise ValueError(
            f"{described(axes)} makes {known} devices, but the topology has {count}; "
            f"{next(iter(axes))}=* takes as many as there are"
        )
    if count % known:
        raise ValueError(
            f"{described(axes)} cannot be: {known} does not divide the {count} devices of the "
            "topology"
        )
    return {name: size if size != REST else count // known for name, size in axes.items()}


def variants(
    axes: Mapping[str, int], sweeps: Iterable[tuple[str, Sequence[int]]], count: int
) -> list[dict[str, int]]:
    """Return the meshes of a sweep: all combinations of the sizes to try.

    The axis of size `REST`, or else the first one that is not swept, takes what is left. Where all
    are swept, those combinations are taken that make as many devices as there are.

    Args:
      axes: the axes of the mesh in their order; those that are only swept come behind them.
      sweeps: axes with the sizes to try.
      count: how many devices there are.

    Raises:
      ValueError: an axis is swept twice, or sizes do not make that many devices.

    Example:
      >>> variants({"data": 32, "model": 8}, [("model", (4, 8))], 256)
      [{'data': 64, 'model': 4}, {'data': 32, 'model': 8}]
    """
    tried = dict[str, Sequence[int]]()
    for name, sizes in sweeps:
        if name in tried:
            raise ValueError(f"the axis {name!r} is swept twice; say all of its sizes at once")
        tried[name] = sizes
    base = {**axes, **{name: 1 for name in tried if name not in axes}}
    fixed = [name for name in base if name not in tried]
    if fixed and all(base[name] != REST for name in fixed):
        base[fixed[0]] = REST
    meshes = [
        {**base, **dict(zip(tried, sizes, strict=True))}
        for sizes in itertools.product(*tried.values())
    ]
    if not fixed:
        meshes = [axes for axes in meshes if math.prod(axes.values()) == count]
        if not meshes:
            raise ValueError(f"no combination makes the {count} devices of the topology")
    return [complete(axes, count) for axes in meshes]


def described(axes: Mapping[str, int]) -> str:
    """Write a mesh as it is typed.

    Example:
      >>> described({"data": REST, "model": 8})
      'data=*,model=8'
    """
    return ",".join(f"{name}={'*' if size == REST else size}" for name, size in axes.items())
