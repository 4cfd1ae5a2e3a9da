"""What runs under `scan`: one iteration, and what goes from it to the next.

Groups of values that are sliced are the slices of `jax.lax.scan`, all others its carry. The groups
that an iteration returns are stacked if they have an axis; the others are found, by identity, among
the values of its carry, and read from the last one.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ramie.core.tracing.trace import is_box
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import has_identity, walk
from ramie.nnx.modules.places import noting
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.inside import Inside
from ramie.nnx.transforms.arguments.outline import Outline, Result
from ramie.nnx.transforms.arguments.prefixes import path_text
from ramie.nnx.transforms.arguments.repeats import Repeatable, found_or_made, has_hash
from ramie.nnx.transforms.iteration.axes import AxisMetadata, Carry, axis_length, is_axis
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.cells import is_ref

__all__ = ["ScanLoop"]


class _Trip(NamedTuple):
    """What one iteration did, but for values; a pytree without leaves.

    Attributes:
      result: of the function.
      sources: for each group that is not stacked, where its values are among those carried: group
        and number. None for groups that are stacked.
    """

    result: Result
    sources: tuple[tuple[tuple[int, int], ...] | None, ...]


def _childless(trip: _Trip) -> tuple[Any, Any]:
    return (), tuple(trip)


jax.tree_util.register_pytree_node(_Trip, _childless, lambda fields, _: _Trip(*fields))


class ScanLoop(Repeatable):
    """A function to be scanned.

    Args:
      f: the function.
      edge: its boundary, so far without prefixes.
      axes: of its arguments and of its output.
      places: of `Carry` in each of the two, or None.
      metadata: what to tell variables.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        edge: Boundary,
        axes: tuple[Any, Any],
        places: tuple[int | None, int | None],
        metadata: Mapping[str, Any],
    ) -> None:
        super().__init__(edge, (f,))
        in_axes, out_axes = axes
        self._settings = axes, places, metadata
        self._is_used = False
        self.carry_in, self.carry_out = places
        self.is_tuple = isinstance(out_axes, tuple)
        self.num_outputs = len(out_axes) if self.is_tuple else 1
        in_axes = (Carry,) if in_axes is Carry else in_axes
        if not edge.mode.updates and self.carry_out is not None:
            # What is carried is put together here, not by the boundary.
            out_axes = self._replaced(out_axes, None) if self.is_tuple else None
        everywhere = is_axis(in_axes) and in_axes == 0
        edge.set_prefixes(in_axes=0 if everywhere else (in_axes, 0), out_axes=out_axes)
        self.own = Boundary("scan", edge.mode.graph, edge.mode.updates)
        self.told = AxisMetadata(edge, metadata)
        self.stacked = tuple(is_axis(axis) for axis in edge.inputs.values)
        self.carried = [n for n, axis in enumerate(edge.inputs.values) if axis is Carry]
        # JAX remembers traces by the identity of the function: it is this one at each call.
        self.body = self.iterate

    def _replaced(self, items: Sequence[Any], new: Any) -> tuple[Any, ...]:
        changed = list(items)
        changed[self.carry_out or 0] = new
        return tuple(changed)

    def __call__(self, run: Callable[..., Any], length: int | None, args: tuple[Any, ...]) -> Any:
        """Run all iterations.

        Args:
          run: `jax.lax.scan` with all that it needs, but for the function and values.
          length: the number of iterations, if it is given.
          args: the arguments.
        """
        edge = self.edge
        operands = edge.take_apart((args, {}))
        found = axis_length(operands, edge.inputs, "scan")
        if found is None and length is None:
            raise ValueError(
                "scan got no values to scan over and `length` not provided: say how many times to "
                f"run the function, or give one of its {len(args)} arguments an axis."
            )
        if length is not None and found not in (None, length):
            raise ValueError(
                f"scan got `length` argument of {length} which disagrees with the size {found} of "
                "the axes in `in_axes`."
            )
        kept, cells = _without_cells(
            [] if is_stacked else group
            for is_stacked, group in zip(self.stacked, operands.groups, strict=True)
        )
        slices = tuple(
            _moved(group, axis, 0) if is_stacked else []
            for is_stacked, group, axis in zip(
                self.stacked, operands.groups, edge.inputs.values, strict=True
            )
        )
        loop = self if cells else self._repeated(operands.outline)
        body = functools.partial(self.iterate, cells=cells) if cells else loop.body
        (_, final), (trip, stacks) = run(body, (operands.outline, kept), slices)
        loop.settle()
        axes = (*edge.inputs.values, *edge.outputs.values)
        groups = [
            _moved(stack, 0, axis) if places is None else [final[g][n] for g, n in places]
            for stack, axis, places in zip(stacks, axes, trip.sources, strict=True)
        ]
        out = operands.write_back((trip.result, *groups))
        if edge.mode.updates or self.carry_in is None:
            return out
        carry = self._carry_with(args[self.carry_in], final[self.carried[0]])
        return self._replaced(out, carry) if self.is_tuple else carry

    def _repeated(self, outline: Outline) -> "ScanLoop":
        """Return a loop like this one that JAX knows already, if there is one."""
        axes, places, metadata = self._settings
        options = ScanLoop, axes, tuple(sorted(metadata.items()))
        (f,), mode = self.functions, self.edge.mode
        if not has_hash(outline) or not has_hash(options):
            return self

        def another() -> ScanLoop:
            if not self._is_used:
                return self
            edge = Boundary("scan", mode.graph, mode.updates)
            return ScanLoop(f, edge, axes, places, metadata)

        loop = found_or_made(another, self.edge, (f,), outline, options) or self
        self._is_used = True
        return loop

    def _carry_with(self, carry: Any, values: Sequence[Any]) -> Any:
        """Return what was carried with new values; variables are those of the caller."""
        operands = self.own.take_apart(carry)
        leaves = [
            leaf if isinstance(leaf, Variable) else value
            for leaf, value in zip(operands.leaves(0), values, strict=True)
        ]
        return operands.outline.tree(operands.outline.roots(leaves))

    # --- one iteration --------------------------------------------------------------------------

    def iterate(self, kept: tuple[Outline, Any], slices: Any, cells: Mapping[Any, Any] = {}) -> Any:
        """Run the function once.

        Args:
          kept: the outline of the arguments, and the groups that are not sliced.
          slices: the groups that are.
          cells: what is missing in `kept`.

        Returns:
          `kept` for the next iteration, and what is stacked: a `_Trip` and groups.
        """
        self.was_traced = True
        outline, kept_groups = kept
        kept_groups = _with_cells(kept_groups, cells)
        edge = self.edge
        groups = [
            one if is_stacked else other
            for is_stacked, one, other in zip(self.stacked, slices, kept_groups, strict=True)
        ]
        inside = edge.enter(outline, groups)
        self.told.enter(inside)
        args = inside.tree[0]
        before = None
        if self.carry_in is not None:
            before = _Carried(self, args[self.carry_in])
        out = noting(self.functions[0])(*args)
        carry, rest = self._split(out)
        if edge.mode.updates:
            self._forget(inside, kept_groups)
            next_groups = self._next_of_graph(inside, kept_groups, args, carry, before)
        else:
            out = rest
            next_groups = self._next_of_tree(inside, carry, before)
        following, next_cells = _without_cells(next_groups)
        changed = {k for k in {*next_cells, *cells} if next_cells.get(k) is not cells.get(k)}
        if changed:
            raise ValueError(
                f"A function under nnx.scan replaced {len(changed)} variables with ref=True or "
                "hijax=True in what is carried. Store other values in them: variable[...] = value."
            )
        self.told.leave(inside, out)
        result, *found = inside.leave(out)
        sources, stacks = self._places(found, next_groups)
        return (outline, following), (_Trip(result, sources), stacks)

    def _split(self, out: Any) -> tuple[Any, Any]:
        """Return what is carried of an output, and the output without it."""
        if self.is_tuple and not (isinstance(out, tuple) and len(out) == self.num_outputs):
            size = f" of {len(out)}" if isinstance(out, tuple | list) else ""
            raise ValueError(
                f"A function under nnx.scan with {self.num_outputs} entries in out_axes has to "
                f"return a tuple of that many, but it returned a {type(out).__name__}{size}."
            )
        if self.carry_out is None:
            return None, out
        if not self.is_tuple:
            return out, None
        return out[self.carry_out], self._replaced(out, None)

    def _forget(self, inside: Inside, kept_groups: Sequence[Sequence[Any]]) -> None:
        """Give variables that are the same in all iterations their values back."""
        for group, axis in enumerate(self.edge.inputs.values):
            if axis is None:
                for leaf, value in zip(inside.leaves(group), kept_groups[group], strict=True):
                    if isinstance(leaf, Variable) and leaf._raw_value is not value:
                        leaf.set_raw_value(value)

    def _next_of_tree(self, inside: Inside, carry: Any, before: "_Carried | None") -> Any:
        """Return the groups for the next iteration, where structure cannot change."""
        groups: list[Any] = []
        for group, is_stacked in enumerate(self.stacked):
            if is_stacked:
                groups.append([])
            elif before is not None and group == self.carried[0]:
                groups.append(before.followed_by(carry))
            else:
                groups.append([_value(leaf) for leaf in inside.leaves(group)])
        return tuple(groups)

    def _next_of_graph(
        self,
        inside: Inside,
        kept_groups: Sequence[Sequence[Any]],
        args: Sequence[Any],
        carry: Any,
        before: "_Carried | None",
    ) -> tuple[Any, ...]:
        """Return the groups for the next iteration, where structure may change."""
        following = list(args)
        if before is not None:
            before.check_references(carry)
            following[self.carry_in or 0] = carry
        again = self.edge.take_apart((tuple(following), {}))
        groups = list(kept_groups)
        for group in self.carried:
            old, new = inside.leaves(group), again.leaves(group)
            if len(old) != len(new):
                paths = {str(path) for path in again.paths(group)}
                raise TypeError(
                    "scan body function carry input and carry output must have the same pytree "
                    f"structure, but {len(old)} values came in with Carry, and {len(new)} went "
                    f"out: those at {', '.join(sorted(paths))}. Make what is carried complete "
                    "before the scan."
                )
            _touch_moved(old, new)
            groups[group] = [_value(leaf) for leaf in new]
        if before is not None:
            before.check_structure(carry)
        return tuple(groups)

    def _places(
        self, found: Sequence[Sequence[Any]], next_groups: Sequence[Any]
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Find values that are carried, not stacked, among those that are."""
        where = {
            id(value): (g, n)
            for g, group in enumerate(next_groups)
            for n, value in enumerate(group)
        }
        sources: list[Any] = []
        stacks: list[Any] = []
        axes = (*self.edge.inputs.values, *self.edge.outputs.values)
        for group, axis in zip(found, axes, strict=True):
            if is_axis(axis):
                sources.append(None)
                stacks.append(group)
                continue
            if any(id(value) not in where for value in group):
                raise ValueError(
                    "A function under nnx.scan made new variables, or replaced arrays, in a part "
                    f"of its arguments with the axis {axis}, so there is one for each iteration. "
                    "Give that part an axis along which to stack them, with a StateAxes for "
                    "example, or make them before the scan."
                )
            sources.append(tuple(where[id(value)] for value in group))
            stacks.append([])
        return tuple(sources), tuple(stacks)


_Cells: TypeAlias = dict[tuple[int, int], Any]


def _without_cells(groups: Iterable[Sequence[Any]]) -> tuple[tuple[list[Any], ...], _Cells]:
    """Take cells out of groups: JAX carries no cell, but all iterations can share one.

    Returns:
      The groups with None in place of cells, and these by group and number.
    """
    cells: _Cells = {}
    rest: list[list[Any]] = []
    for g, group in enumerate(groups):
        found = {(g, n): value for n, value in enumerate(group) if is_ref(value) or is_box(value)}
        rest.append([None if (g, n) in found else value for n, value in enumerate(group)])
        cells.update(found)
    return tuple(rest), cells


def _with_cells(groups: Sequence[Sequence[Any]], cells: Mapping[Any, Any]) -> tuple[list[Any], ...]:
    filled = tuple(map(list, groups))
    for (g, n), cell in cells.items():
        filled[g][n] = cell
    return filled


class _Carried:
    """What is carried into an iteration, as it was before the function ran.

    Args:
      loop: the loop.
      tree: what is carried.
    """

    def __init__(self, loop: ScanLoop, tree: Any) -> None:
        self._own = loop.own
        self._operands = loop.own.take_apart(tree)
        self._objects = _objects(tree)

    def followed_by(self, tree: Any) -> list[Any]:
        """Return the values of what is carried into the next iteration.

        Raises:
          ValueError: if variables in it are other ones.
          TypeError: if it has another structure.
        """
        operands = self._own.take_apart(tree)
        old, new = self._operands.leaves(0), operands.leaves(0)
        others = [
            (one, other)
            for one, other in zip(old, new, strict=False)
            if one is not other and (isinstance(one, Variable) or isinstance(other, Variable))
        ]
        if others and len(old) == len(new):
            names = [tuple(type(x).__name__ for x in pair) for pair in others]
            raise ValueError(
                "scan Variable identity must be preserved across iterations: what the function "
                "returns as the carry has to hold the variables that came in with it, but it has "
                f"others at {len(names)} places (before, after): {names[:4]}. Change their "
                "values, variable[...] = value, in place of making new ones."
            )
        if operands.outline != self._operands.outline:
            raise TypeError(
                "scan body function carry input and carry output must have the same pytree "
                f"structure, but {_difference(self._operands.outline, operands.outline)}."
            )
        return [_value(leaf) for leaf in new]

    def check_structure(self, tree: Any) -> None:
        """Check that containers in what is carried on are those that came in.

        Raises:
          TypeError: if they are not.
        """
        old: Any = self._operands.outline.treedef
        new: Any = jax.tree.structure(tree, is_leaf=has_identity)
        if new != old:
            raise TypeError(
                "scan body function carry input and carry output must have the same pytree "
                f"structure, but {old} came in, and {new} went out."
            )

    def check_references(self, tree: Any) -> None:
        """Check that the modules in what is carried on are those that came in.

        Raises:
          ValueError: if one is not.
        """
        known = {id(x) for x, _ in self._objects}
        now = _objects(tree)
        same = [x for x, _ in now if id(x) in known]
        for number, (old, path) in enumerate(self._objects):
            if number >= len(same) or old is not same[number]:
                raise _new_reference(old, f"carry{path_text(path)}")


def _new_reference(x: Any, where: str) -> ValueError:
    return ValueError(
        "Carry references must be the same between iterations. Got another object than the "
        f"{type(x).__name__} at {where} that came in. Change its variables, in place of "
        "returning another object."
    )


def _difference(old: Outline, new: Outline) -> str:
    """Say what differs between the structures of two trees."""
    if old.treedef != new.treedef or old.shared != new.shared:
        return f"{old.treedef} came in, and {new.treedef} went out"
    pairs = zip(_definitions(old), _definitions(new), strict=False)
    one, other = next(((x, y) for x, y in pairs if x != y), ("less", "more"))
    return f"{one} came in, and {other} went out"


def _definitions(outline: Outline) -> list[Any]:
    nested = [x.nodes if isinstance(x, GraphDef) else (x,) for x in outline.definitions]
    return [x for inner in nested for x in inner]


def _objects(tree: Any) -> list[tuple[Any, Any]]:
    """List the modules in a tree, each with the path of its root."""
    found: list[tuple[Any, Any]] = []
    for path, root in jax.tree_util.tree_flatten_with_path(tree, is_leaf=has_identity)[0]:
        if has_identity(root):
            objects: list[Any] = []
            walk(root, objects)
            found.extend((x, path) for x in objects if isinstance(x, Pytree))
    return found


def _touch_moved(old: Sequence[Any], new: Sequence[Any]) -> None:
    """Let variables that are at other places now count as changed.

    In the end they get what was carried to their place, not what they had.
    """
    known = set(map(id, old))
    for one, other in zip(old, new, strict=True):
        is_moved = isinstance(other, Variable) and other is not one and id(other) in known
        if is_moved and not is_ref(other._raw_value) and not is_box(other._raw_value):
            other.set_raw_value(jax.tree.map(jnp.copy, other.get_raw_value()))


def _value(leaf: Any) -> Any:
    return leaf._raw_value if isinstance(leaf, Variable) else leaf


def _moved(group: Any, source: int, target: int) -> Any:
    if source == target:
        return group
    return jax.tree.map(lambda x: jnp.moveaxis(x, source, target), group)
