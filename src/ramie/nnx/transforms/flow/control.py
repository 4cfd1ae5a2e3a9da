"""Branches: cond and switch on modules and variables."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from ramie.nnx.modules.places import noting
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.outline import Result, only_changed
from ramie.nnx.transforms.arguments.repeats import Given, Repeatable, repeated
from ramie.nnx.transforms.arguments.statics import with_cells
from ramie.nnx.variable.base import Variable

__all__ = ["cond", "switch"]


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Call one of two functions, decided when the program runs.

    Changes that they make to the operands reach them. What is changed in one of them only keeps
    its value in the other. Both return the same structure.

    Args:
      pred: a boolean scalar.
      true_fun: is called if it is true.
      false_fun: is called if not.
      *operands: the arguments.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether changes of structure reach the operands, in graph mode; both functions
        make the same ones. By default as `set_graph_updates` says.

    Raises:
      TypeError: if the functions return other structures, shapes or dtypes, or change to such.
      ValueError: if something is shared that the mode refuses.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> count = nnx.Variable(jnp.array(3))
        >>> def halve(x):
        ...     x[...] = x // 2
        >>> def step(x):
        ...     x[...] = 3 * x + 1
        >>> nnx.cond(count % 2 == 0, halve, step, count)
        >>> int(count[...])
        10
    """
    edge = Boundary("cond", graph, graph_updates)

    def run(pure: Sequence[Callable[..., Any]], *values: Any) -> Any:
        return jax.lax.cond(_plain(pred), *pure, *values)

    return _branched(edge, run, (true_fun, false_fun), operands)


def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Call one of several functions, decided when the program runs; see `cond`.

    Args:
      index: which; it is clamped to those there are.
      branches: the functions.
      *operands: their arguments.
      graph: see `cond`.
      graph_updates: see `cond`.

    Raises:
      TypeError: if the functions return other structures, shapes or dtypes, or change to such.
      ValueError: if there are none, or something is shared that the mode refuses.

    Example:
        >>> from ramie import nnx
        >>> int(nnx.switch(1, [lambda x: x + 1, lambda x: x * 10], 4))
        40
    """
    edge = Boundary("switch", graph, graph_updates)

    def run(pure: Sequence[Callable[..., Any]], *values: Any) -> Any:
        return jax.lax.switch(_plain(index), pure, *values)

    return _branched(edge, run, branches, operands)


def _plain(x: Any) -> Any:
    return x.get_value() if isinstance(x, Variable) else x


class _Branches(Repeatable):
    """Several functions, as those that JAX chooses from.

    Attributes:
      pure: functions of what is given and of its values.
      changed: numbers of the leaves that some of them changes, by what was given.
    """

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(edge, functions)
        self.changed: dict[Given, set[int]] = {}
        self._results: dict[str, Result] = {}
        made: dict[int, Callable[..., Any]] = {}
        for number, f in enumerate(functions):
            if id(f) not in made:
                made[id(f)] = self._pure(number, f)
        self.pure = [made[id(f)] for f in functions]

    def _pure(self, number: int, f: Callable[..., Any]) -> Callable[..., Any]:
        @noting
        @functools.wraps(f)  # JAX says in messages where the function is
        def pure(given: Given, values: Any) -> Any:
            self.was_traced = True
            inside = self.edge.enter(given.outline, (with_cells(values, given.cells),))
            out = self.functions[number](*inside.tree)
            self.changed.setdefault(given, set()).update(inside.changed())
            carried = set(range(given.outline.num_leaves)).difference(given.cells)
            left = only_changed(inside.leave(out, complete=True), carried)
            self._results[f"{getattr(f, '__name__', f)} (number {number})"] = left[0]
            _refuse_differences(self.edge.mode.name, self._results)
            return left

        return pure

    def forget(self) -> None:
        """Forget what branches returned in another call."""
        self._results = {}


def _branched(
    edge: Boundary,
    run: Callable[..., Any],
    branches: Sequence[Callable[..., Any]],
    args: tuple[Any, ...],
) -> Any:
    """Run one of several functions.

    Args:
      edge: the boundary.
      run: calls one of several pure functions.
      branches: the functions.
      args: their arguments.
    """
    operands = edge.take_apart(args)
    given = Given(operands)
    chosen_from = repeated(_Branches, edge, tuple(branches), given)
    chosen_from.forget()
    returned = run(chosen_from.pure, given, given.values)
    chosen_from.settle()
    return operands.write_back(only_changed(returned, chosen_from.changed.get(given, ())))


def _refuse_differences(name: str, results: Mapping[str, Result]) -> None:
    """Check that the last branch does the same as the first, but for values.

    Args:
      name: the transformation.
      results: what the branches did, by their names.

    Raises:
      TypeError: if it returns another structure, or leaves another one in the operands.
    """
    (first, one), *_, (last, other) = (*results.items(), *results.items())
    if one == other:
        return
    if one.outline.treedef != other.outline.treedef:
        what = f"{first} returns {one.outline.treedef}, {last} returns {other.outline.treedef}"
    elif one.linked or other.linked:
        what = _structure_difference(first, one.linked, last, other.linked)
    elif one.outline.definitions != other.outline.definitions:
        pairs = zip(one.outline.definitions, other.outline.definitions, strict=False)
        mine, its = next((pair for pair in pairs if pair[0] != pair[1]), ("more", "less"))
        what = f"the output of {first} has {mine}, that of {last} has {its}"
    else:
        what = f"{first} and {last} give variables of the operands other metadata"
    raise TypeError(
        f"The branches of nnx.{name} must return the same structure, and leave the same structure "
        f"in their operands, but {what}."
    )


def _structure_difference(first: str, one: Any, last: str, other: Any) -> str:
    if one is None or other is None:
        which = last if one is None else first
        return f"only {which} changes the structure of the operands, or returns parts of them"
    mine, its = set(one.graphdef.paths), set(other.graphdef.paths)
    if mine != its:
        return (
            f"{first} and {last} leave variables or arrays at other places: only one has "
            f"{sorted(mine ^ its, key=str)}, where the first key is the number of the operand"
        )
    return f"{first} and {last} leave other static attributes, other sharing or other objects"
