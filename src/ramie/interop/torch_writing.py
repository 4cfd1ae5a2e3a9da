"""From variables to a state dict."""

import fnmatch
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie import errors
from ramie.interop import torch_normalized as normalized
from ramie.interop import torch_parametrized as parametrized
from ramie.interop.torch_layers import Leaf
from ramie.interop.torch_models import Model
from ramie.interop.torch_parametrized import stored
from ramie.interop.torch_places import NEVER_USED, Layer
from ramie.interop.torch_tensors import Array, StateDict, Unfit, as_array, as_tensor

__all__ = ["Writing"]


class Writing:
    """The tensors made so far, by the names that they will have."""

    def __init__(self, model: Model, values: Mapping[Leaf, Any], like: StateDict | None) -> None:
        absent = [model.towers.stacked_at(at) for at in model.shapes if at not in values]
        if absent:
            raise errors.StateDictMismatchError(["/".join(at) for at in dict.fromkeys(absent)])
        self.like = like
        self._values = values
        self._text = model.towers.text
        self._tensors: dict[str, Array] = {}
        self._unfit = list(model.refused)

    def put(self, layer: Layer) -> None:
        """Make the tensors of a layer."""
        try:
            arrays = {leaf: self._array(at) for leaf, at in layer.variables.items()}
        except Unfit as error:
            self._unfit.append(str(error))
            return
        conversion = layer.conversion
        own: dict[str, Leaf] = {}  # tensors of normalised weights
        for leaf in layer.wrapped:
            (tensor,) = conversion.tensors[leaf]
            if conversion.is_whole or [*conversion.tensors.values()].count((tensor,)) > 1:
                at = self._text(layer.variables[leaf])
                self._unfit.append(f"{at} is normalised, but only a part of {tensor!r}")
                return
            own[tensor] = leaf
        for tensor, array in conversion.write(arrays).items():
            name = layer.name_of(tensor, self.like)
            try:
                if tensor in own:
                    self._put_wrapped(layer, own[tensor], name)
                else:
                    self._put_plain(name, array)
            except Unfit as error:
                self._unfit.append(f"{name!r} {error}")

    def _array(self, at: Leaf) -> Array:
        try:
            return as_array(self._values[at])
        except Unfit as error:
            raise Unfit(f"{self._text(at)} {error}") from error

    def _put_plain(self, name: str, array: Array) -> None:
        form = stored(self.like, name) if self.like is not None else None
        if form is None or form.kind == parametrized.PLAIN:
            self._tensors[name] = array
        elif form.kind == parametrized.WEIGHT_NORM and self.like is not None:
            shape = np.shape(self.like[form.names[0]])
            length = parametrized.lengths(array, np.empty(shape)).astype(array.dtype)
            self._tensors.update(zip(form.names, (length, array), strict=True))
        else:
            raise Unfit(f"is under {form.kind} in like=, and plain here: remove it in PyTorch")

    def _put_wrapped(self, layer: Layer, leaf: Leaf, name: str) -> None:
        wrapped, conversion = layer.wrapped[leaf], layer.conversion
        weight = self._array(layer.variables[leaf])
        kept = {part: self._array(at) for part, at in wrapped.kept.items()}
        (tensor,) = conversion.tensors[leaf]
        to_tensor = lambda array: conversion.write({leaf: array})[tensor]
        kind = parametrized.WEIGHT_NORM if "scale" in kept else parametrized.SPECTRAL_NORM
        form = stored(self.like, name) if self.like is not None else None
        if form is not None and form.kind != kind:
            self._put_plain(name, to_tensor(normalized.effective(weight, kept, wrapped)))
            return
        names = parametrized.names_of(name, kind) if form is None else form.names
        made = (
            normalized.write_scale(to_tensor, weight, kept["scale"], wrapped)
            if kind == parametrized.WEIGHT_NORM
            else normalized.write_vectors(
                to_tensor, weight, kept["u"], wrapped, conversion.output_axis
            )
        )
        self._tensors.update(zip(names, made, strict=True))

    def finish(self, form: str, dtype: Any) -> dict[str, Any]:
        """Return all tensors.

        Args:
          form: arrays or tensors.
          dtype: for those that are floating, if not None.

        Raises:
          StateDictMismatchError: if some cannot be made, or `like` has other ones.
        """
        tensors = self._tensors if self.like is None else self._as_in(self.like)
        made: dict[str, Any] = {}
        for name, array in tensors.items():
            if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
                array = array.astype(np.dtype(dtype))
            try:
                made[name] = as_tensor(array) if form == "torch" else np.array(array, order="C")
            except Unfit as error:
                self._unfit.append(f"{name!r} {error}")
        if self._unfit:
            raise errors.StateDictMismatchError(unfit=self._unfit)
        return made

    def _count(self, tensor: Any, otherwise: Array | None) -> Array:
        """Return how often something was done there: as in `like`, if that has values."""
        try:
            return as_array(tensor)
        except Unfit:
            return np.zeros((), np.int64) if otherwise is None else otherwise

    def _as_in(self, like: StateDict) -> dict[str, Array]:
        """Return the tensors by the names of a state dict, in its order."""
        made = {like.actual(name): array for name, array in self._tensors.items()}
        absent = [name for name in like if name not in made]
        tied = like.tied(absent, [name for name in like if name in made])
        missing, misshapen = [], []
        for name in like:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in NEVER_USED):
                made[name] = self._count(like[name], made.get(name))
            elif name in tied:
                made[name] = made[tied[name]]
            elif name not in made:
                missing.append(f"{name} of like= has no variable")
            shape = np.shape(like[name])
            if name in made and made[name].shape != shape:
                misshapen.append(f"{name} has the shape {made[name].shape}, and {shape} in like=")
        known = set(like)
        unused = [
            name
            for name in made
            if name not in known and not any(fnmatch.fnmatchcase(name, p) for p in NEVER_USED)
        ]
        if missing or unused or misshapen or self._unfit:
            raise errors.StateDictMismatchError(missing, unused, misshapen, self._unfit)
        return {name: made[name] for name in like}
