"""What derivatives are taken of, and trees of gradients, cotangents and tangents.

There are two kinds of trees. Where structure may change (graph mode with updates), the gradient of
a module is a State with what was differentiated. Elsewhere it is another module like it.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ramie.nnx.graph.structure import LEAF
from ramie.nnx.graph.walk import has_identity, walk
from ramie.nnx.printing.text import short_text
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.nested import Path, flattened, nested
from ramie.nnx.states.state import State
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.prefixes import FilterPrefix, Mode, Prefixes
from ramie.nnx.transforms.arguments.structures import part_of
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Param
from ramie.typing import MISSING

__all__ = [
    "AnyPrefix",
    "ArgNums",
    "Chosen",
    "DiffState",
    "Selection",
    "gradient_roots",
    "refuse_reduce_axes",
    "roots_like",
    "states_by_root",
    "tangent_leaves",
    "with_argnum",
]


class DiffState(FilterPrefix):
    """An argument, and which part of the modules in it derivatives are taken of.

    Variables and values that are no part of a module are taken, whatever the filter.

    Args:
      argnum: the position of the argument.
      filter: takes what is differentiated.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(jnp.array(2.0)), b=nnx.BatchStat(jnp.array(3.0)))
        >>> grads = nnx.grad(lambda m: m.a * m.b, argnums=nnx.DiffState(0, nnx.BatchStat))(model)
        >>> list(grads)
        ['b']
    """

    def __init__(self, argnum: int, filter: Filter) -> None:
        super().__init__(((filter, True), (..., False)))
        self.argnum = argnum
        self.filter = filter

    def place(self, path: Path, variable: Any) -> int:
        """Return 0 for what is differentiated, else 1."""
        return super().place(path, variable) if path else 0

    def __repr__(self) -> str:
        return f"DiffState(argnum={self.argnum}, filter={short_text(self.filter)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DiffState) and (
            (self.argnum, self.filter) == (other.argnum, other.filter)
        )

    def __hash__(self) -> int:
        return hash((DiffState, self.argnum, self.filter))


ArgNum: TypeAlias = int | DiffState
ArgNums: TypeAlias = ArgNum | Sequence[ArgNum]


def with_argnum(entry: ArgNum, count: int) -> tuple[int, ArgNum]:
    """Return the position that an entry of `argnums` means among `count` arguments."""
    number = entry.argnum if isinstance(entry, DiffState) else operator.index(entry)
    return (number + count if number < 0 else number), entry


def refuse_reduce_axes(reduce_axes: Any, name: str) -> None:
    """Say that JAX has no such option any more.

    Raises:
      NotImplementedError: if it is used.
    """
    if reduce_axes:
        raise NotImplementedError(
            f"The argument reduce_axes of nnx.{name} is gone from JAX; sum the gradients over "
            "these axes with jax.lax.psum."
        )


class AnyPrefix:
    """A prefix of outputs that goes with whatever prefix the same variable has as an argument."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class Chosen(NamedTuple):
    """A selection for one number of arguments.

    Attributes:
      edge: the boundary whose groups tell apart what is differentiated.
      numbers: positions of the arguments, in the order asked for.
      is_taken: for each group whether it is differentiated.
    """

    edge: Boundary
    numbers: tuple[int, ...]
    is_taken: tuple[bool, ...]

    def dealt(self, groups: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return groups that are differentiated, and the others."""
        taken = [group for group, is_taken in zip(groups, self.is_taken, strict=True) if is_taken]
        rest = [
            group for group, is_taken in zip(groups, self.is_taken, strict=True) if not is_taken
        ]
        return taken, rest

    def joined(self, taken: Iterable[Any], rest: Iterable[Any]) -> list[Any]:
        """Return the groups in their order: `dealt` backwards."""
        first, second = iter(taken), iter(rest)
        return [next(first) if is_taken else next(second) for is_taken in self.is_taken]


class Selection:
    """Which arguments derivatives are taken of.

    Args:
      argnums: positions, or DiffStates; one, or several.
      name: the transformation, without ``nnx.``.
      graph: see `Boundary`.
      graph_updates: see `Boundary`.

    Attributes:
      numbers: the positions, as they were given.

    Raises:
      ValueError: if something among `argnums` cannot be there, or is there twice.
    """

    def __init__(
        self, argnums: ArgNums, name: str, graph: bool | None, graph_updates: bool | None
    ) -> None:
        self._options = name, graph, graph_updates
        mode: Mode = Boundary(*self._options).mode
        Prefixes(argnums, "argnums", mode)  # says what may not be there
        self.is_single = isinstance(argnums, int | DiffState) or not isinstance(argnums, Sequence)
        entries: Any = (argnums,) if self.is_single else argnums
        self._entries: tuple[ArgNum, ...] = tuple(entries)
        self.numbers = tuple(with_argnum(entry, 0)[0] for entry in self._entries)
        self.mode = mode
        self._known: dict[int, Chosen] = {}

    def among(self, count: int) -> Chosen:
        """Return the selection for a number of arguments.

        Raises:
          TypeError: if there are too few.
          ValueError: if an argument is selected twice.
        """
        known = self._known.get(count)
        if known is None:
            known = self._known[count] = self._chosen(count)
        return known

    def _chosen(self, count: int) -> Chosen:
        prefixes: list[Any] = [False] * count
        numbers = []
        for number, entry in (with_argnum(entry, count) for entry in self._entries):
            if not 0 <= number < count:
                raise TypeError(
                    f"differentiating with respect to argnums={entry!r} requires at least "
                    f"{number + 1} positional arguments to be passed by the caller, but got only "
                    f"{count} positional arguments."
                )
            if number in numbers:
                raise ValueError(
                    f"argnum {number} is repeated in argnums={self._entries}. Ask for each "
                    "argument once; a DiffState takes several filters as a tuple."
                )
            numbers.append(number)
            prefixes[number] = True
            if self.mode.updates:
                is_state = isinstance(entry, DiffState)
                prefixes[number] = entry if is_state else DiffState(number, Param)
        edge = Boundary(*self._options)
        edge.set_prefixes(argnums=(tuple(prefixes), False), out=AnyPrefix())
        return Chosen(edge, tuple(numbers), tuple(value is True for value in edge.inputs.values))

    def gradients(self, chosen: Chosen, operands: Operands, grads: Iterable[Any]) -> Any:
        """Put gradients together.

        Args:
          chosen: what `among` gave.
          operands: what it is about.
          grads: for each group that was differentiated a list of gradients.

        Returns:
          One tree, or a tuple of them if several arguments were asked for.
        """
        outline = operands.outline
        rest = ([MISSING] * len(group) for group in chosen.dealt(operands.groups)[1])
        leaves = outline.joined(chosen.joined(grads, rest))
        roots = gradient_roots(outline, leaves, self.mode.updates)
        found = tuple(part_of(outline.treedef, roots, 0, number) for number in chosen.numbers)
        return found[0] if self.is_single else found


# --- trees ----------------------------------------------------------------------------------------


def _boxed(value: Any, kind: Any) -> Any:
    return value if kind is LEAF else kind.type._make(value, kind.metadata)


def states_by_root(outline: Outline, leaves: Sequence[Any]) -> list[Any]:
    """Return for each root a State with its leaves, or its one leaf if it is a variable or value.

    Args:
      outline: the structure.
      leaves: values; `MISSING` is left out. What is shared is in the State of the first root.
    """
    pairs: list[dict[Path, Any]] = [{} for _ in range(outline.treedef.num_leaves)]
    for (root, path, kind), value in zip(outline.leaves_by_root(), leaves, strict=True):
        if value is not MISSING:
            pairs[root][path] = _boxed(value, kind)
    return [
        found[()] if () in found else State(nested(found.items()), _copy=False) for found in pairs
    ]


def gradient_roots(outline: Outline, leaves: Sequence[Any], as_states: bool) -> list[Any]:
    """Return the roots of a tree like the one that was taken apart.

    Args:
      outline: its structure.
      leaves: what stands in it; `MISSING` for nothing.
      as_states: whether States stand for modules.
    """
    if as_states:
        return states_by_root(outline, leaves)
    return outline.roots([None if x is MISSING else x for x in leaves])


def roots_like(treedef: Any, tree: Any, name: str) -> list[Any]:
    """Return the roots of a tree of tangents or cotangents that a user gave.

    Args:
      treedef: the structure to match.
      tree: the tree; a State may stand for a module.
      name: what the tree is called.

    Raises:
      TypeError: if the structure is another one.
    """
    try:
        return list(treedef.flatten_up_to(tree))
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"The {name} must have the same tree structure as what they belong to: {error}"
        ) from None


def tangent_leaves(
    roots: Sequence[Any],
    outline: Outline,
    name: str,
    values: Sequence[Any],
    needed: Sequence[bool] | None = None,
) -> list[Any]:
    """Return the leaves of a tree of tangents or cotangents that a user gave.

    Args:
      roots: its roots, as `roots_like` gives them.
      outline: the structure to match.
      name: what the tree is called.
      values: those that the tangents are of; integers get trivial ones.
      needed: for each leaf whether it has to be there; None stands for zeros then, as for leaves
        that need not be there. By default all have to be, and None stands for nothing.

    Raises:
      TypeError: if the structure is another one.
    """
    if outline.shared and not any(isinstance(root, State) for root in roots):
        graphdef, leaves = walk(roots, several=True)
        pairs = zip(graphdef.paths, leaves, strict=True)
        found: dict[Any, Any] = {(path[0], path[1:]): leaf for path, leaf in pairs}
    else:
        found = {
            (number, path): leaf
            for number, root in enumerate(roots)
            for path, leaf in _leaves_of(root)
        }
    tangents: list[Any] = []
    for number, ((root, path, _), value) in enumerate(
        zip(outline.leaves_by_root(), values, strict=True)
    ):
        leaf = found.get((root, path))
        if needed is not None and (not needed[number] or roots[root] is None):
            tangents.append(None)
        elif not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
            tangents.append(np.zeros(np.shape(value), jax.dtypes.float0))
        elif leaf is None:
            raise TypeError(
                f"The {name} must have the same tree structure as what they belong to, but there "
                f"is nothing at {_place(root, path, len(roots))}."
            )
        else:
            tangents.append(leaf.get_raw_value() if isinstance(leaf, Variable) else leaf)
    return tangents


def _place(root: int, path: Path, count: int) -> str:
    where = f"path {path}" if path else "its place"
    return where if count == 1 else f"{where} of module, variable or value number {root}"


def _leaves_of(root: Any) -> Iterable[tuple[Path, Any]]:
    if isinstance(root, State):
        return zip(*flattened(root), strict=True)
    if not has_identity(root) or isinstance(root, Variable):
        return [((), root)]
    graphdef, leaves = walk(root)
    return zip(graphdef.paths, leaves, strict=True)
