"""Layers that are stacked, as PyTorch has them: one by one, with numbers in their paths.

What a scan runs has one set of variables with a first axis for its layers. To all that converts
they are layers of a list: the variable ``layers/kernel`` is ``layers/0/kernel`` and so on.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie import errors
from ramie.interop.torch_layers import Leaf
from ramie.interop.torch_tensors import Array, Unfit, as_array

__all__ = ["Towers"]

Path = tuple[str, ...]

_STORED = object()  # in place of a value that is in the array of its tower


class Towers:
    """Where layers are stacked, and the addresses of the single ones.

    Args:
      paths: the modules whose variables have a first axis for layers. Inside of one may be others,
        whose layers are the next axis.
      stacked: all variables of the model by address.

    Raises:
      ValueError: if there are no variables in one, or they have no first axis of one length.

    Example:
      >>> import numpy as np
      >>> from ramie.interop.torch_towers import Towers
      >>> towers = Towers(["layers"], {("params", "layers", "bias"): np.zeros((2, 4))})
      >>> list(towers.shapes), towers.lengths
      ([('params', 'layers', '0', 'bias'), ('params', 'layers', '1', 'bias')], {'layers': 2})
    """

    def __init__(self, paths: Iterable[str], stacked: Mapping[Leaf, Any]) -> None:
        named = dict.fromkeys(paths)
        self._paths: list[Path] = sorted((tuple(p.split("/")) if p else () for p in named), key=len)
        self._lengths = {path: self._length_of(path, stacked) for path in self._paths}
        self._stacked = stacked
        self._origin: dict[Leaf, tuple[Leaf, tuple[int, ...]]] = {}
        self._buffers: dict[Leaf, Array] = {}
        self.shapes: dict[Leaf, Any] = {}
        for at, held in stacked.items():
            depth = len(self._above(at[1:]))
            for steps, path in self._numbered(at[1:]):
                one = (at[0], *path)
                if depth:
                    self._origin[one] = at, steps
                    held = jax.ShapeDtypeStruct(stacked[at].shape[depth:], stacked[at].dtype)
                self.shapes[one] = held
        self.lengths = {
            "/".join(made): self._lengths[path]
            for path in self._paths
            for _, made in self._numbered(path)
        }

    def _above(self, path: Path) -> list[Path]:
        """Return the towers that a path is in, the outer one first; no tower is in itself."""
        return [p for p in self._paths if len(p) < len(path) and path[: len(p)] == p]

    def _length_of(self, tower: Path, stacked: Mapping[Leaf, Any]) -> int:
        inside = {at: held.shape for at, held in stacked.items() if at[1 : 1 + len(tower)] == tower}
        axis = len(self._above(tower))
        lengths = {shape[axis] if len(shape) > axis else None: at for at, shape in inside.items()}
        length = next(iter(lengths), None)
        if len(lengths) == 1 and length:
            return int(length)
        found = [f"{'/'.join(at)} of shape {inside[at]}" for at in lengths.values()]
        raise ValueError(
            f"stacked= names {'/'.join(tower)!r}, so axis {axis} of its variables is the number of "
            f"layers, the same for all of them; found {' and '.join(found) or 'no variables'}. "
            "Name modules whose variables were all stacked, by nn.scan or nnx.vmap."
        )

    def _numbered(self, path: Path) -> Iterator[tuple[tuple[int, ...], Path]]:
        """Return a path once for each layer that it is of, with the numbers in it."""
        above = self._above(path)
        for steps in itertools.product(*(range(self._lengths[tower]) for tower in above)):
            made, done = [], 0
            for tower, step in zip(above, steps, strict=True):
                made += [*path[done : len(tower)], str(step)]
                done = len(tower)
            yield steps, (*made, *path[done:])

    def modules(self, modules: Mapping[str, Any]) -> dict[str, Any]:
        """Return modules by path: one that is stacked once for each of its layers."""
        found = {}
        for path, module in modules.items():
            parts = tuple(path.split("/")) if path else ()
            if parts in self._lengths:  # itself a layer of the tower that it stands for
                for _, above in self._numbered(parts):
                    for step in range(self._lengths[parts]):
                        found["/".join((*above, str(step)))] = module
            else:
                found.update({"/".join(made): module for _, made in self._numbered(parts)})
        return found

    def stacked_at(self, at: Leaf) -> Leaf:
        """Return the address of the variable that holds a layer's."""
        return self._origin[at][0] if at in self._origin else at

    def text(self, at: Leaf) -> str:
        """Return an address as messages show it: that of what is stacked, and the layer."""
        if at not in self._origin:
            return "/".join(at)
        whole, steps = self._origin[at]
        layers = ", ".join(
            f"{step} of {self._lengths[tower]}"
            for tower, step in zip(self._above(whole[1:]), steps, strict=True)
        )
        return f"{'/'.join(whole)} (layer {layers})"

    def layer_of(self, at: Leaf) -> tuple[str, int] | None:
        """Return the innermost tower that a variable is in, and the number of its layer."""
        if at not in self._origin:
            return None
        whole, steps = self._origin[at]
        above = self._above(whole[1:])
        length = len(above[-1]) + len(above) - 1
        return "/".join(at[1 : 1 + length]), steps[-1]

    def divided(self, values: Mapping[Leaf, Any]) -> dict[Leaf, Any]:
        """Return the values of single layers, as views where arrays have such.

        Args:
          values: by address, as the model holds them.

        Raises:
          StateDictMismatchError: if another number of layers is stacked than the module has.
        """
        made: dict[Leaf, Any] = {}
        misshapen = []
        for at, held in values.items():
            depth = len(self._above(at[1:])) if at in self._stacked else 0
            if not depth:
                made[at] = held
                continue
            expected = self._stacked[at].shape[:depth]
            if np.shape(held)[:depth] != expected:
                misshapen.append(
                    f"{'/'.join(at)} of the variables has the shape {np.shape(held)}, but in the "
                    f"module {' times '.join(map(str, expected))} layers are stacked: make it with "
                    "as many"
                )
                continue
            whole = _host(held)
            parts = isinstance(whole, np.ndarray | jax.Array)
            for steps, path in self._numbered(at[1:]):
                made[(at[0], *path)] = whole[steps] if parts else whole
        if misshapen:
            raise errors.StateDictMismatchError(misshapen=misshapen)
        return made

    def stored(self, at: Leaf, value: Array, dtype: Any) -> Any:
        """Copy a value to where it stays.

        Returns:
          A variable; or for a layer a mark, since its value is in the array for all of them now.
        """
        if at not in self._origin:
            return jnp.array(value, dtype)
        whole, steps = self._origin[at]
        if whole not in self._buffers:
            self._buffers[whole] = np.empty(self._stacked[whole].shape, dtype)
        self._buffers[whole][steps] = value
        return _STORED

    def joined(self, values: Mapping[Leaf, Any]) -> dict[Leaf, Any]:
        """Return the values of whole variables.

        Args:
          values: of all single layers; those that were `stored` are in their place already.
        """
        parts: dict[Leaf, list[Any]] = {}
        for at in self.shapes:
            parts.setdefault(self.stacked_at(at), []).append(values[at])
        return {at: self._whole(at, held) for at, held in parts.items()}

    def _whole(self, at: Leaf, parts: list[Any]) -> Any:
        if not self._above(at[1:]):
            return parts[0]
        shape = self._stacked[at].shape
        buffer = self._buffers.pop(at, None)
        if buffer is None:  # all from defaults
            return jnp.stack(parts).reshape(shape)
        places = itertools.product(*map(range, shape[: len(self._above(at[1:]))]))
        for steps, part in zip(places, parts, strict=True):
            if part is not _STORED:
                buffer[steps] = part
        return jax.device_put(buffer)  # one copy, where jnp.asarray makes two


def _host(value: Any) -> Any:
    """Return an array on the host, from which layers are taken without a copy; others as is."""
    try:
        return as_array(value)
    except Unfit:  # keys, which layers are taken from; and what is said to be none where it is used
        return value
