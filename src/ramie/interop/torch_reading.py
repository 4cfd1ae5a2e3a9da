"""From a state dict to variables."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie import errors
from ramie.interop import torch_normalized as normalized
from ramie.interop import torch_parametrized as parametrized
from ramie.interop.torch_layers import Leaf
from ramie.interop.torch_models import Model, Wrapped
from ramie.interop.torch_parametrized import Stored, stored
from ramie.interop.torch_places import NEVER_USED, Layer, Names, numbers_of
from ramie.interop.torch_tensors import Array, StateDict, Unfit, as_array, fitted

__all__ = ["Reading"]

_NUMBER = re.compile(r"(?<![^.])\d+\.")  # the number of a layer, as a part of a name
_ONE_SHAPE = "; layers that are stacked are of one shape, so write out those that differ"


class Reading:
    """What was found in a state dict so far, and what is wrong with it."""

    def __init__(self, model: Model, tensors: StateDict, given: Mapping[Leaf, Any]) -> None:
        self.tensors = tensors
        self.found: dict[Leaf, Any] = {}
        self._model = model
        self._text = model.towers.text
        self._given = given
        self._used: set[str] = set()
        self._missing: dict[Leaf, Sequence[str]] = {}
        self._misshapen: list[str] = []
        self._unfit = list(model.refused)

    def take(self, layer: Layer) -> None:
        """Find the variables of a layer."""
        for tensor, reason in layer.conversion.refused.items():
            name = layer.name_of(tensor, self.tensors)
            if name in self.tensors:
                self._used.add(self.tensors.actual(name))
                self._unfit.append(f"{self.tensors.actual(name)!r} {reason}")
        for leaf, at in layer.variables.items():
            names = [layer.name_of(t, self.tensors) for t in layer.conversion.tensors[leaf]]
            forms = {name: stored(self.tensors, name) for name in names}
            self._used.update(
                self.tensors.actual(part) for form in forms.values() if form for part in form.names
            )
            absent = [name for name, form in forms.items() if form is None]
            if absent:
                self._default(at, absent)
                for kept in layer.wrapped[leaf].kept.values() if leaf in layer.wrapped else ():
                    self._default(kept, absent)
                continue
            try:
                self._read(layer, leaf, [form for form in forms.values() if form])
            except Unfit as error:
                self._unfit.append(f"{self._text(at)} from {', '.join(map(repr, names))}: {error}")

    def _default(self, at: Leaf, names: Sequence[str]) -> None:
        if at in self._given:
            self.found[at] = self._given[at]
            held, shape = np.shape(self._given[at]), self._model.shapes[at].shape
            if held != shape:
                self._misshapen.append(
                    f"{self._text(at)} has the shape {shape}, and {held} in defaults="
                )
        else:
            self._missing[at] = names

    def _read(self, layer: Layer, leaf: Leaf, forms: Sequence[Stored]) -> None:
        """Convert one variable, and what is kept for it if it is normalised."""
        conversion, at = layer.conversion, layer.variables[leaf]
        parts = [[self._array(name) for name in form.names] for form in forms]
        unknown = [form for form in forms if form.kind == parametrized.UNKNOWN]
        if unknown:
            raise Unfit(
                f"{', '.join(unknown[0].names)} are of a parametrisation that is unknown here; "
                "torch.nn.utils.parametrize.remove_parametrizations stores the plain tensor"
            )
        shapes = " and ".join(str(array.shape) for held in parts for array in held)
        sources = [self.tensors.actual(name) for form in forms for name in form.names]

        def turned(*tensors: Array) -> Array:
            try:
                value = conversion.read(leaf, tensors)
            except Unfit:
                raise
            except (ValueError, IndexError):  # NumPy could not order or split such axes
                value = None
            if value is None or value.shape != self._model.shapes[at].shape:
                raise _MisshapenError(
                    f"{self._text(at)} has the shape {self._model.shapes[at].shape}, which "
                    f"{', '.join(map(repr, sources))} of shape {shapes} does not give"
                    f"{_ONE_SHAPE if self._model.towers.layer_of(at) else ''}"
                )
            return value

        try:
            wrapped = layer.wrapped.get(leaf)
            if wrapped is None:
                axis = conversion.output_axis
                pairs = zip(forms, parts, strict=True)
                whole = [parametrized.composed(form.kind, held, axis) for form, held in pairs]
                self._store(at, turned(*whole))
            else:
                self._read_wrapped(turned, forms[0], parts[0], wrapped, conversion.output_axis)
        except _MisshapenError as error:
            self._misshapen.append(str(error))

    def _read_wrapped(
        self,
        turned: Callable[..., Array],
        form: Stored,
        parts: Sequence[Array],
        wrapped: Wrapped,
        axis: int,
    ) -> None:
        if "scale" in wrapped.kept:
            weight, scale = normalized.read_scale(turned, form.kind, parts, wrapped, axis)
            kept = {"scale": scale}
        elif form.kind == parametrized.SPECTRAL_NORM and len(parts) > 1:
            weight, kept = normalized.read_vectors(turned, parts, axis)
        else:
            weight, kept = turned(parametrized.composed(form.kind, parts, axis)), {}
        self._store(wrapped.weight, weight)
        for part, at in wrapped.kept.items():
            if part in kept:
                self._store(at, kept[part])
            else:
                self._default(at, parametrized.names_of(form.names[0], parametrized.SPECTRAL_NORM))

    def _array(self, name: str) -> Array:
        try:
            return as_array(self.tensors[name])
        except Unfit as error:
            raise Unfit(f"{self.tensors.actual(name)!r} {error}") from error

    def _store(self, at: Leaf, value: Array) -> None:
        # A copy: the tensor's memory stays PyTorch's, and may change.
        dtype = self._model.shapes[at].dtype
        if jnp.issubdtype(dtype, jax.dtypes.extended):
            raise Unfit(f"no tensor is of the dtype {dtype}; take the variable from defaults=")
        self.found[at] = self._model.towers.stored(at, fitted(value, dtype), dtype)

    def finish(self, ignore: Iterable[str], names: Names) -> None:
        """Raise what is wrong.

        Args:
          ignore: patterns of names that need not be used.
          names: as users give them.

        Raises:
          StateDictMismatchError: if there is anything.
        """
        allowed = (*NEVER_USED, *ignore)
        unused = [
            name
            for name in self.tensors
            if name not in self._used
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed)
        ]
        tied = self.tensors.tied(unused, self._used)
        unused = [name for name in unused if name not in tied]
        if self._missing or unused or self._misshapen or self._unfit:
            missing = [*self._layers_amiss(unused, names), *self._lines(unused)]
            raise errors.StateDictMismatchError(
                sorted(missing), unused, sorted(self._misshapen), sorted(self._unfit)
            )

    def _layers_amiss(self, unused: Sequence[str], names: Names) -> list[str]:
        """Say of which layers of towers nothing is there, and which are too many."""
        lines, left = [], set(unused)
        lacking: dict[tuple[str, int] | None, list[Leaf]] = {}
        for at in self._missing:
            lacking.setdefault(self._model.towers.layer_of(at), []).append(at)
        for tower, length in self._model.towers.lengths.items():
            there = numbers_of(tower, length, self.tensors, names, self._model.transparent)
            absent = [n for n in range(length) if n not in there and (tower, n) in lacking]
            more = [n for n in there if n >= length and self.tensors.actual(there[n]) in left]
            if absent:
                one = lacking[tower, absent[0]][0]
                lines.append(
                    f"{'/'.join(self._model.towers.stacked_at(one))} stacks {length} layers, but "
                    f"there are no tensors of layer {', '.join(map(str, absent))}, such as "
                    f"{self._missing[one][0]!r}: make the module with as many layers as there "
                    "are, or take them from defaults="
                )
            if more:
                self._misshapen.append(
                    f"{tower or 'the model'} stacks {length} layers, but there are tensors of "
                    f"layer {', '.join(map(str, more))}, too, such as {there[more[0]]!r}: make "
                    "the module with as many layers, or leave the tensors out with ignore="
                )
            for at in (at for n in absent for at in lacking[tower, n]):
                del self._missing[at]
        return lines

    def _lines(self, unused: Sequence[str]) -> Iterator[str]:
        """Say which single variables are missing, and which may have been stacked."""
        numbered = {
            name[: found.start()] + name[found.end() :]: name
            for name in reversed(unused)
            for found in _NUMBER.finditer(name)
        }
        for at, names in self._missing.items():
            line = f"{self._text(at)} needs {', '.join(map(repr, names))}"
            if names[0] in numbered:
                line += (
                    f", but there is {numbered[names[0]]!r}: if its first axis is that of layers, "
                    "name the module that was stacked in stacked="
                )
            yield line


class _MisshapenError(Exception):
    """A tensor has another shape than the variable needs."""
