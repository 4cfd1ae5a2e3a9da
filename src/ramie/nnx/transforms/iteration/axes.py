"""Axes as prefixes: which axis of each value a transformation goes along, and who is told of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ramie.nnx.sharding.axes import add_axis, remove_axis
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.state import State
from ramie.nnx.transforms.arguments.checks import met
from ramie.nnx.transforms.arguments.inside import Inside
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.prefixes import Edge, FilterPrefix, Prefixes
from ramie.nnx.variable.base import Variable

__all__ = [
    "AxisMetadata",
    "Carry",
    "StateAxes",
    "axis_length",
    "check_count",
    "is_axis",
    "path_in",
    "variables_with_axes",
]


class Carry:
    """Marks, among the axes of `scan`, what goes from one iteration to the next."""


class StateAxes(FilterPrefix):
    """Axes of the variables of a module by filter, for `vmap`, `scan` and `pmap`.

    It needs graph mode with updates, which ``nnx.compat.vmap`` and the like switch on.

    Args:
      filter_axes: a mapping of filters to axes, pairs of these, or a State of axes. An axis is a
        number, None for what is the same everywhere, or, in `scan`, `Carry`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(jnp.arange(3)), b=nnx.BatchStat(jnp.array(2)))
        >>> axes = nnx.StateAxes({nnx.Param: 0, ...: None})
        >>> nnx.vmap(lambda model: model.a * model.b, in_axes=(axes,))(model)
        Array([0, 2, 4], dtype=int32)
    """

    noun = "axis"

    def __init__(
        self, filter_axes: State | Mapping[Filter, Any] | Iterable[tuple[Filter, Any]], /
    ) -> None:
        super().__init__(filter_axes)

    @property
    def axes(self) -> tuple[Any, ...]:
        """The axes, in the order of the filters."""
        return self._prefixes

    def keys(self) -> tuple[Filter, ...]:
        """Return the filters."""
        return self._filters

    def values(self) -> tuple[Any, ...]:
        """Return the axes."""
        return self._prefixes

    def items(self) -> Iterator[tuple[Filter, Any]]:
        """List filters and axes."""
        return zip(self._filters, self._prefixes, strict=True)

    def get(self, filter: Filter, default: Any = None) -> Any:
        """Return the axis of a filter that is among the filters."""
        return dict(self.items()).get(filter, default)


def is_axis(x: Any) -> bool:
    """Tell whether a prefix is the number of an axis."""
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def path_in(path: Sequence[Any]) -> str:
    """Write a path through (args, kwargs) as one would in Python.

    Example:
        >>> path_in((0, 1, "linear", "kernel")), path_in((1, "x"))
        ("args[1]['linear']['kernel']", "kwargs['x']")
    """
    start, *rest = path
    return ("kwargs" if start else "args") + "".join(f"[{key!r}]" for key in rest)


def check_count(args: tuple[Any, ...], in_axes: Any, name: str) -> None:
    """Check that there are as many arguments as axes.

    Raises:
      ValueError: if not.
    """
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ValueError(
            f"nnx.{name} got {len(args)} arguments, but in_axes={in_axes!r} has {len(in_axes)} "
            "entries. Write one for each argument, or one for all of them, not in a tuple."
        )


def axis_length(operands: Operands, prefixes: Prefixes, name: str) -> int | None:
    """Check that all values have the axes they are to be taken along, equally long.

    Args:
      operands: the values.
      prefixes: their axes.
      name: the transformation, for messages.

    Returns:
      The length, or None if there is no axis.

    Raises:
      ValueError: if lengths differ, or values have too few axes.
    """
    found: dict[int, tuple[int, int, tuple[int, ...]]] = {}
    for group, axis in enumerate(prefixes.values):
        if not is_axis(axis):
            continue
        for number, value in enumerate(operands.groups[group]):
            for part in (value,) if hasattr(value, "shape") else jax.tree.leaves(value):
                shape = np.shape(part)
                if not -len(shape) <= axis < len(shape):
                    where = path_in(operands.paths(group)[number])
                    raise ValueError(
                        f"nnx.{name} was told by `{prefixes.name}` to go along axis {axis} of the "
                        f"value at {where}, but the value has the shape {shape}. Use the axis "
                        "None for what is no stack, or make one: of random streams, with "
                        "nnx.split_rngs."
                    )
                found.setdefault(shape[axis], (group, number, shape))
    if len(found) > 1:
        lines = "".join(
            f"\n  * axis {prefixes.values[group]} of the value at "
            f"{path_in(operands.paths(group)[number])}, of shape {shape}: {size}"
            for size, (group, number, shape) in found.items()
        )
        raise ValueError(
            f"nnx.{name} got values whose axes have different sizes:{lines}\nThe axes in "
            f"`{prefixes.name}` must all be equally long."
        )
    return next(iter(found), None)


def variables_with_axes(prefixes: Prefixes, tree: Any) -> Iterator[tuple[Variable[Any], Any]]:
    """List the variables in a tree with their prefixes, each once."""
    seen: set[int] = set()
    for leaf, prefix in _with_axes(prefixes, tree):
        if isinstance(leaf, Variable) and id(leaf) not in seen:
            seen.add(id(leaf))
            yield leaf, prefix


def _with_axes(prefixes: Prefixes, tree: Any) -> Iterator[tuple[Any, Any]]:
    if not prefixes.goes_inside:
        yield from ((leaf, prefix) for leaf, _, prefix in met(prefixes, tree))
        return
    for slot, subtree in zip(prefixes.slots, prefixes.subtrees(tree), strict=True):
        for leaf in jax.tree.leaves(subtree, is_leaf=lambda x: isinstance(x, Variable)):
            yield leaf, prefixes.values[slot.first]


class AxisMetadata:
    """Tells variables inside of a transformation that an axis of their values is not there.

    Args:
      edge: the boundary, with axes as prefixes.
      metadata: what to tell; see `nnx.spmd.add_axis`. If empty, nothing is told.
    """

    def __init__(self, edge: Edge, metadata: Mapping[str, Any]) -> None:
        self._edge = edge
        self._metadata = metadata

    def enter(self, inside: Inside) -> None:
        """Take the axis away from the arguments."""
        if self._metadata:
            for group, axis in enumerate(self._edge.inputs.values):
                if is_axis(axis):
                    remove_axis(_variables(inside.leaves(group)), axis, self._metadata)

    def leave(self, inside: Inside, out: Any) -> None:
        """Give it back to the arguments, and to what is new, in them and in the output."""
        if not self._metadata:
            return
        told: dict[int, tuple[Variable[Any], Any]] = {}
        for group, axis in enumerate(self._edge.inputs.values):
            for variable in _variables(inside.leaves(group)):
                told[id(variable)] = (variable, axis)
        if self._edge.mode.updates:
            for variable, axis in variables_with_axes(self._edge.inputs, inside.tree):
                told.setdefault(id(variable), (variable, axis))
        for variable, axis in variables_with_axes(self._edge.outputs, out):
            told.setdefault(id(variable), (variable, axis))
        for variable, axis in told.values():
            if is_axis(axis):
                add_axis(variable, axis, self._metadata)


def _variables(leaves: Iterable[Any]) -> list[Variable[Any]]:
    return [leaf for leaf in leaves if isinstance(leaf, Variable)]
