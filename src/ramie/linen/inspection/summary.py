"""Tables that show what a module is made of: `tabulate`."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ramie.core import meta as meta
from ramie.core.filters import DenyList as DenyList
from ramie.core.filters import Filter
from ramie.core.inspection.summary_table import Summary, draw
from ramie.core.inspection.summary_text import (
    Line,
    ShownArray,
    ShownObject,
    describe,
    outline,
    size_and_bytes,
    size_pieces,
)
from ramie.core.scope.rng import LazyRng as LazyRng
from ramie.linen.inspection.cost import Call
from ramie.linen.inspection.shapes import init_on_shapes
from ramie.linen.machinery.adopt import template_copy
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.entry import INIT_COLLECTIONS
from ramie.linen.machinery.methods import InterceptorContext, wrap_method_once
from ramie.trees.frozen import unfreeze as unfreeze
from ramie.typing import FrozenVariableDict as FrozenVariableDict
from ramie.typing import PRNGKey, RNGSequences, VariableDict

__all__ = ["NO_EXTRAS", "Row", "Table", "tabulate"]

_ObjectRepresentation = ShownObject  # under these names other projects look for them
_ArrayRepresentation = ShownArray

NO_EXTRAS: Mapping[str, Any] = MappingProxyType({})
"""The default of arguments that are passed on to `rich`."""

Path = tuple[str, ...]


@dataclasses.dataclass
class Row:
    """One call of a module's method.

    Attributes:
      path: the place of the module.
      module_copy: the module, unbound.
      method: the name of the method.
      inputs: what it was called with, as `summary_text.describe` shows it: the argument if there is
        one, else the arguments in a tuple, whose last item is a dictionary of those with names.
      outputs: what it returned.
      module_variables: the module's own variables by collection, without those of its submodules.
        Empty if an earlier row shows them.
      counted_variables: `module_variables`, and those of submodules that have no row.
      flops: the cost of the call, 0 if it was not asked for.
      vjp_flops: the cost of the call and its gradient, 0 if it was not asked for.
    """

    path: Path
    module_copy: ModuleBase
    method: str
    inputs: Any
    outputs: Any
    module_variables: dict[str, dict[str, Any]]
    counted_variables: dict[str, dict[str, Any]]
    flops: int
    vjp_flops: int

    def size_and_bytes(self, collections: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return the number of elements and of bytes that this row counts, by collection."""
        return {name: size_and_bytes(self.counted_variables.get(name, {})) for name in collections}


class Table(list[Row]):
    """The rows of a summary.

    Args:
      module: the module that is summarised.
      collections: the names of its collections, in the order of their columns.
      rows: the rows.
    """

    def __init__(self, module: ModuleBase, collections: Sequence[str], rows: Iterable[Row]) -> None:
        super().__init__(rows)
        self.module = module
        self.collections = collections


@dataclasses.dataclass
class _Recorded:
    """A call as the interceptor saw it."""

    path: Path
    module: ModuleBase
    method: str
    inputs: Any
    outputs: Any
    cost: Call


def tabulate(
    module: ModuleBase,
    rngs: PRNGKey | RNGSequences,
    depth: int | None = None,
    show_repeated: bool = False,
    mutable: Filter = INIT_COLLECTIONS,
    console_kwargs: Mapping[str, Any] | None = None,
    table_kwargs: Mapping[str, Any] = NO_EXTRAS,
    column_kwargs: Mapping[str, Any] = NO_EXTRAS,
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    **kwargs: Any,
) -> Callable[..., str]:
    """Make a function that shows a module as a table, without computing anything.

    Each module whose method runs in `init` has a row, in the order of the calls: its path, class
    and, unless it is ``__call__``, method; inputs and outputs; and per collection its own variables
    with their number and bytes. Totals stand at the foot.

    Args:
      module: the module.
      rngs: as for `init`.
      depth: how many levels of submodules have rows, None for all. What lies deeper is counted in
        the row above it, so that the totals stay.
      show_repeated: give every call a row; otherwise only the first call at each path. Variables
        stand in the first row of a path.
      mutable: the collections that `init` creates; by default all but ``intermediates``.
      console_kwargs: arguments of `rich.console.Console`, for example ``{"width": 120}``. Without
        `force_terminal` there are colours if the standard output is a terminal or a notebook.
      table_kwargs: arguments of `rich.table.Table`.
      column_kwargs: arguments of `rich.table.Column`, for all columns.
      compute_flops: add a column with the estimated floating-point operations of each call. It
        lowers a program per row, which takes a while for large models; nothing is executed.
      compute_vjp_flops: add such a column for each call together with its gradient.
      **kwargs: passed to `init`, for example `method`.

    Returns:
      A function ``(*args, **kwargs) -> str`` of the arguments of the module's method; arrays may be
      `jax.ShapeDtypeStruct`.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.ShapeDtypeStruct((16, 9), jax.numpy.float32)
      >>> show = nn.tabulate(nn.Dense(4), jax.random.key(0), console_kwargs={"no_color": True})
      >>> "Total Parameters: 40" in show(x)
      True

    Differs from Flax: collections are in alphabetical order, not in that of a hash; names and text
    of the user are never read as markup; with `show_repeated`, a lifted module has a row per trace
    of its body and none besides. Shapes and sizes are never cut, and where columns have no room
    they stand one below the other. The last line tells the collections apart, and there are no
    colours in files and pipes.
    """

    def show(*call_args: Any, **call_kwargs: Any) -> str:
        make = _get_module_table(module, depth, show_repeated, compute_flops, compute_vjp_flops)
        table = make(rngs, *call_args, mutable=mutable, **call_kwargs, **kwargs)
        costs = {"flops": compute_flops, "vjp_flops": compute_vjp_flops}
        shown = [name for name, wanted in costs.items() if wanted]
        text = draw(_said(table, shown), console_kwargs, table_kwargs, column_kwargs)
        return f"\n{text}\n"

    return show


def _get_module_table(
    module: ModuleBase,
    depth: int | None,
    show_repeated: bool,
    compute_flops: bool,
    compute_vjp_flops: bool,
) -> Callable[..., Table]:
    """Make a function of the arguments of `init` that returns the rows; see `tabulate`."""

    def make(rngs: Any, *args: Any, **kwargs: Any) -> Table:
        calls, variables = _trace(module, rngs, args, kwargs)
        paths = {call.path for call in calls}
        shown = {path for path in paths if depth is None or len(path) <= depth}
        met: set[Path] = set()
        rows = []
        for call in calls:
            is_first = call.path not in met
            if call.path in shown and (is_first or show_repeated):
                own = _below(variables, call.path, paths) if is_first else {}
                counted = _below(variables, call.path, shown) if is_first else {}
                flops = call.cost.flops() if compute_flops else 0
                vjp_flops = call.cost.flops(backward=True) if compute_vjp_flops else 0
                rows.append(
                    Row(
                        call.path,
                        call.module,
                        call.method,
                        call.inputs,
                        call.outputs,
                        own,
                        counted,
                        flops,
                        vjp_flops,
                    )
                )
            met.add(call.path)
        return Table(module, tuple(sorted(variables)), rows)

    return make


def _trace(
    module: ModuleBase, rngs: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[_Recorded], VariableDict]:
    """Run `init` on shapes alone.

    Returns:
      The calls of methods in the order in which they began, and the variables by shape.
    """
    mutable = kwargs.get("mutable", INIT_COLLECTIONS)
    calls: list[_Recorded | None] = []

    def record(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        about: InterceptorContext,
    ) -> Any:
        scope = about.module.scope
        if about.method_name == "setup" or scope is None:
            return next_fun(*args, **kwargs)
        place = len(calls)
        calls.append(None)  # a call that fails, and is caught, leaves no row
        copy = template_copy(about.module)
        rngs = {name: lazy.rng for name, lazy in scope.rngs.items()}
        inputs = describe(_as_one(args, kwargs))
        bound: Any = about.orig_method
        method = wrap_method_once(bound.__func__)  # its name need not be an attribute
        cost = Call(copy, method, rngs, args, kwargs, mutable)
        outputs = next_fun(*args, **kwargs)
        calls[place] = _Recorded(
            scope.path, copy, about.method_name, inputs, describe(outputs), cost
        )
        return outputs

    variables = init_on_shapes(module, record, rngs, args, kwargs)
    return [call for call in calls if call is not None], unfreeze(variables)


def _as_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if args and kwargs:
        return (*args, kwargs)
    if kwargs:
        return kwargs
    return args[0] if len(args) == 1 else args


def _below(variables: VariableDict, path: Path, stops: set[Path]) -> dict[str, dict[str, Any]]:
    """Return the variables at a path by collection, without what belongs to paths below it."""
    found = {}
    for collection, held in variables.items():
        tree: Any = held
        for name in path:
            tree = tree.get(name) if isinstance(tree, Mapping) else None
        if isinstance(tree, Mapping):
            found[collection] = _pruned(tree, path, stops)
    return found


def _pruned(tree: Any, at: Path, stops: set[Path]) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    kept = {name: _pruned(value, (*at, name), stops) for name, value in tree.items()}
    return {
        name: value
        for name, value in kept.items()
        if (*at, name) not in stops and not (value == {} and tree[name])
    }


# What the table says -------------------------------------------------------------------------


def _said(table: Table, costs: Sequence[str]) -> Summary:
    return Summary(
        f"{type(table.module).__name__} Summary",
        ["path", "module", "inputs", "outputs", *costs],
        _totals(table),
        [_cells(row, costs, table.collections) for row in table],
    )


def _totals(table: Table) -> dict[str, tuple[int, int]]:
    sums = {name: (0, 0) for name in table.collections}
    for row in table:
        for name, (size, num_bytes) in row.size_and_bytes(table.collections).items():
            sums[name] = (sums[name][0] + size, sums[name][1] + num_bytes)
    return sums


def _cells(row: Row, costs: Sequence[str], collections: Sequence[str]) -> list[list[Line]]:
    method = "" if row.method == "__call__" else f" ({row.method})"
    lines: list[list[Line]] = [
        [[("/".join(row.path), "")]],
        [[(f"{type(row.module_copy).__name__}{method}", "")]],
        outline(row.inputs),
        outline(row.outputs),
        *([[(str(getattr(row, name)), "")]] for name in costs),
    ]
    sizes = row.size_and_bytes(collections)
    for name in collections:
        own = outline(describe(row.module_variables.get(name, {})))
        size = [(piece, f"bold {style}".strip()) for piece, style in size_pieces(*sizes[name])]
        lines.append([*own, [], size] if own else [size])
    return lines
