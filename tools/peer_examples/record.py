"""What one run of an example shows: the metrics of each step, and the parameters at the end.

Examples are not changed. Their functions are watched from outside: a module's function is replaced
by one that calls it and notes what came out.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np


class Record:
    """Collects arrays by name, in the order in which they were noted.

    Attributes:
      values: the arrays, under names such as `step/0003/loss` and `params/Dense_0/kernel`.
      steps: how many steps have been noted.
    """

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray[Any, Any]] = {}
        self.steps = 0

    def step(self, metrics: Any) -> None:
        """Note the metrics of one step, any pytree of numbers."""
        self._add(f"step/{self.steps:04d}", metrics)
        self.steps += 1

    def parameters(self, tree: Any) -> None:
        """Note parameters; what was noted before is replaced."""
        self.values = {k: v for k, v in self.values.items() if not k.startswith("params/")}
        self._add("params", tree)

    def save(self, path: Path) -> None:
        """Write all arrays into one file of NumPy."""
        np.savez(path, **{name.replace("/", "|"): value for name, value in self.values.items()})

    def _add(self, prefix: str, tree: Any) -> None:
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
            name = "/".join([prefix, *(_part(key) for key in path)])
            self.values[name] = _as_numpy(leaf)


def load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a file that `Record.save` wrote."""
    with np.load(path) as file:
        return {name.replace("|", "/"): file[name] for name in file.files}


@contextlib.contextmanager
def calls(owner: Any, name: str, note: Callable[[Any, tuple[Any, ...]], None]) -> Iterator[None]:
    """Call `note(result, arguments)` after each call of the function `name` of `owner`."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        note(result, args)
        return result

    with mock.patch.object(owner, name, watched):
        yield


@contextlib.contextmanager
def compiled_calls(
    transformation: str, name: str, note: Callable[[Any, tuple[Any, ...]], None]
) -> Iterator[None]:
    """Do the same for the function `name` after `jax.jit` or `jax.pmap` was applied to it.

    Examples often compile a function inside of another; only what compiles it can be reached.
    """
    original = getattr(jax, transformation)

    def watching(function: Any, *args: Any, **kwargs: Any) -> Any:
        compiled = original(function, *args, **kwargs)
        inner = function
        while isinstance(inner, functools.partial):
            inner = inner.func
        if getattr(inner, "__name__", None) != name:
            return compiled

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = compiled(*args, **kwargs)
            note(result, args)
            return result

        return watched

    with mock.patch.object(jax, transformation, watching):
        yield


def _part(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _as_numpy(leaf: Any) -> np.ndarray[Any, Any]:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.array(leaf)  # a copy: the example may give the memory away
    # NumPy's files know no bfloat16; every one of its numbers is a float32 too.
    return array if array.dtype.kind in "biufcUS" else array.astype(np.float32)


def scalars(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics without those that measure time."""
    return {
        name: value
        for name, value in metrics.items()
        if "per_sec" not in name and "per second" not in name and name != "uptime"
    }
