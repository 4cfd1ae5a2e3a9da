"""Tables that show what a model is made of: `tabulate`."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from ramie.core.inspection.cost import shape_of, split_arrays
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
from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.walk import build, iter_graph, members, walk
from ramie.nnx.inspection.program_parts import Parts
from ramie.nnx.modules.containers import Dict, List
from ramie.nnx.modules.intercept import watched
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.randomness.rng import RngStream
from ramie.nnx.states.nested import Path
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.metadata import HOOKS

__all__ = ["Row", "tabulate"]


@dataclasses.dataclass
class Row:
    """One line of a table: a module, and the first call of one of its methods.

    Attributes:
      path: the place of the module, and the name of the method unless it is `__call__`.
      type: the class of the module.
      inputs: the lines about the arguments.
      outputs: what was returned, as `summary_text.describe` has it.
      variables: the variables of the module that belong to no other module, by kind, as a tree.
      sizes: number of elements and bytes of all variables inside, by kind.
      flops: the cost of the call, None if it was not asked for.
      vjp_flops: the cost of the call and its gradient, None if it was not asked for.
    """

    path: Path
    type: type
    inputs: list[Line]
    outputs: Any
    variables: dict[str, Any]
    sizes: dict[str, tuple[int, int]]
    flops: int | None = None
    vjp_flops: int | None = None


def _is_no_stream(row: Row) -> bool:
    return not issubclass(row.type, RngStream)


def tabulate(
    obj: Any,
    *input_args: Any,
    depth: int | None = None,
    method: str = "__call__",
    row_filter: Callable[[Row], bool] = _is_no_stream,
    table_kwargs: Mapping[str, Any] | None = None,
    column_kwargs: Mapping[str, Any] | None = None,
    console_kwargs: Mapping[str, Any] | None = None,
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    **input_kwargs: Any,
) -> str:
    """Show a model as a table, without computing anything.

    Each method of a module that runs has a row, in the order of the calls: path, class, inputs,
    outputs, and per kind of variable those of the module with their sizes. A second call of the
    same method of the same module with the same shapes has none. A variable that is met at several
    places is counted at the first, and marked at the others. Totals stand at the foot. The table is
    as wide as the console at most, shapes and sizes stay whole. The model does not change.

    Args:
      obj: the model. What has no such method gets a row for each object inside, without calls.
      *input_args: what the method is called with; arrays may be `jax.ShapeDtypeStruct`.
      depth: how many keys the paths of shown rows have at most, None for any.
      method: the method.
      row_filter: tells whether to show a row; by default random streams are left out.
      table_kwargs: arguments of `rich.table.Table`.
      column_kwargs: arguments of `rich.table.Table.add_column`, for all columns.
      console_kwargs: arguments of `rich.console.Console`, for example ``{"width": 120}``. Without
        `force_terminal` there are colours if the standard output is a terminal or a notebook.
      compute_flops: add a column with the estimated floating-point operations of each call. The
        model is traced once all the same, but a program is lowered per row.
      compute_vjp_flops: add such a column for each call together with its gradient.
      **input_kwargs: see `input_args`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Linear(9, 4, rngs=nnx.Rngs(0))
        >>> text = nnx.tabulate(model, jnp.ones((1, 9)), console_kwargs={"no_color": True})
        >>> "Total Parameters: 40" in text
        True

    Differs from Flax: `table_kwargs` may hold a title; text of the user is never read as markup;
    objects without the method have a table, too. Shapes and sizes are never cut, and where columns
    have no room they stand one below the other. Tied variables are marked, the last line tells the
    kinds apart, and there are no colours in files and pipes.
    """
    if callable(getattr(obj, method, None)) and not isinstance(obj, Variable):
        costs = {"flops": compute_flops, "vjp_flops": compute_vjp_flops}
        rows = _called(obj, method, input_args, input_kwargs, costs)
    else:
        costs = {}
        rows = _listed(obj)
    rows = [r for r in rows if row_filter(r) and (depth is None or len(r.path) <= depth)]
    shown = [name for name, wanted in costs.items() if wanted]
    totals = dict(sorted(_sizes(obj, {}, ()).items()))
    summary = Summary(
        f"{type(obj).__name__} Summary",
        ["path", "type", "inputs", "outputs", *shown],
        totals,
        [list(_cells(row, shown, list(totals))) for row in rows],
    )
    return draw(summary, console_kwargs, table_kwargs, column_kwargs)


# --- rows -----------------------------------------------------------------------------------------


def _called(
    obj: Any,
    method: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    costs: Mapping[str, bool],
) -> list[Row]:
    """Trace a call, and return a row for each method that runs."""
    graphdef, leaves = walk(obj)
    values = [leaf.get_raw_value() if isinstance(leaf, Variable) else leaf for leaf in leaves]
    arrays, rebuild = split_arrays((values, args, dict(kwargs)))
    parts = Parts()
    rows: list[Row | None] = []

    def run(arrays: list[Any]) -> Any:
        values, args, kwargs = rebuild(arrays)
        model = build(graphdef, values)
        places = _places(model)
        nodes = {
            id(node): path
            for path, node in iter_graph(model, graph=True)
            if isinstance(node, Module | RngStream) and type(node) not in (List, Dict)
        }
        classes = {type(node) for _, node in iter_graph(model, graph=True) if id(node) in nodes}
        seen: set[tuple[int, str, str]] = set()
        trace, kept = trace_token(), []

        def record(
            node: Any, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Any:
            inputs = _inputs(args, kwargs)
            call = (id(node), name, str(inputs))
            if id(node) not in nodes or call in seen:
                return method(*args, **kwargs)
            seen.add(call)
            place = len(rows)
            rows.append(None)  # a call that fails, and is caught, leaves no row
            path = nodes[id(node)] + (() if name == "__call__" else (name,))
            own, sizes = _own(node, nodes[id(node)], places), _sizes(node, places, nodes[id(node)])
            with parts.part(place):
                output = method(*args, **kwargs)
            if trace_token() is trace:  # it costs what it costs, even if nobody reads the result
                kept.append(split_arrays(output)[0])
            rows[place] = Row(path, type(node), inputs, describe(output), own, sizes)
            return output

        with watched(classes, record):
            output = getattr(model, method)(*args, **kwargs)
        return [split_arrays(output)[0], kept]

    program = jax.make_jaxpr(run)([shape_of(array) for array in arrays])
    for place, row in enumerate(rows):
        for name, wanted in costs.items():
            if row is not None and wanted:
                setattr(row, name, parts.flops(program, place, backward=name == "vjp_flops"))
    return [row for row in rows if row is not None]


def _listed(obj: Any) -> list[Row]:
    """Return a row for each object inside a model, the model first."""
    nodes = [(path, x) for path, x in iter_graph(obj, graph=True) if isinstance(x, Pytree)]
    if not isinstance(obj, Pytree):
        nodes.append(((), obj))
    found = sorted(nodes, key=lambda pair: [str(key) for key in pair[0]])
    places = _places(obj)
    return [
        Row(path, type(x), [], {}, _own(x, path, places), _sizes(x, places, path))
        for path, x in found
    ]


def _inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Line]:
    shown = describe(args[0]) if len(args) == 1 and not kwargs else describe(list(args))
    lines = outline(shown) if shown not in ({}, []) else []
    if not lines and len(args) == 1:
        lines = [[(repr(args[0]), "")]]
    return lines + (outline(describe(dict(kwargs))) if kwargs else [])


def _kind(leaf: Any) -> str:
    """Return the name of the kind that a variable is counted under: the most general one."""
    if not isinstance(leaf, Variable):
        return "Array"
    kinds = [c for c in type(leaf).__mro__ if issubclass(c, Variable) and c is not Variable]
    return (kinds[-1] if kinds else Variable).__name__


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Variable | jax.Array)


def _places(obj: Any) -> dict[int, Path]:
    """Return where each object inside is met first: there it is counted."""
    met = iter_graph(obj, graph=True)
    return {id(x): path for path, x in met if isinstance(x, Variable | Pytree)}


def _sizes(node: Any, places: Mapping[int, Path], at: Path) -> dict[str, tuple[int, int]]:
    """Count elements and bytes of the variables inside by kind, without what is counted elsewhere.

    Args:
      node: the object.
      places: where each object is met first.
      at: where this one is.
    """
    sums: dict[str, tuple[int, int]] = {}
    for _, leaf in iter_graph(node, graph=True):
        if _is_leaf(leaf) and places.get(id(leaf), at)[: len(at)] == at:
            raw = leaf.get_raw_value() if isinstance(leaf, Variable) else leaf
            size, num_bytes = size_and_bytes(raw)
            before = sums.get(_kind(leaf), (0, 0))
            sums[_kind(leaf)] = before[0] + size, before[1] + num_bytes
    return sums


def _own(node: Any, at: Path, places: Mapping[int, Path]) -> dict[str, Any]:
    """Return the variables that belong to no other module inside, by kind, as nested mappings.

    What is met at another place first is marked with that place: a variable, or all that a module
    holds.
    """
    own: dict[str, dict[Any, Any]] = {}
    for path, leaf in _outside_of_modules(node, ()):
        first = places.get(id(leaf), at + path)
        if isinstance(leaf, Pytree):
            note = f"tied to {_text(first)}"
            shown = {kind: ShownObject(note) for kind in _sizes(leaf, {}, ()) if first != at + path}
        else:
            shown = {_kind(leaf): _shown(leaf, "" if first == at + path else _text(first))}
        for kind, value in shown.items():
            tree = own.setdefault(kind, {})
            for key in path[:-1]:
                tree = tree.setdefault(key, {})
            if path:
                tree[path[-1]] = value
    return own


def _text(path: Path) -> str:
    return "/".join(map(str, path))


def _outside_of_modules(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """List variables of a node, and the modules right below it."""
    for key, value in members(node):
        is_module = isinstance(value, Pytree) and type(value) not in (List, Dict)
        if _is_leaf(value) or is_module:
            yield (*path, key), value
        else:
            yield from _outside_of_modules(value, (*path, key))


def _shown(leaf: Any, first: str) -> Any:
    """Return what is shown of a variable: its value, among the metadata if there is any.

    Args:
      leaf: the variable, or an array.
      first: where it was met first, if that was elsewhere.
    """
    if not isinstance(leaf, Variable):
        return describe(leaf)
    value = describe(leaf.get_raw_value())
    if first:
        note = f"tied to {first}"
        is_array = isinstance(value, ShownArray)
        return dataclasses.replace(value, note=note) if is_array else ShownObject(note)
    metadata = leaf.get_metadata(exclude_required=True)
    told = {name: describe(entry) for name, entry in metadata.items() if name not in HOOKS}
    return dict(sorted({**told, "value": value}.items())) if told else value


# --- what the table says --------------------------------------------------------------------------


def _cells(row: Row, costs: Sequence[str], kinds: Sequence[str]) -> Iterator[list[Line]]:
    yield [[(_text(row.path), "")]]
    yield [[(row.type.__name__, "")]]
    yield row.inputs
    yield outline(row.outputs)
    for name in costs:
        yield [[(str(getattr(row, name)), "")]]
    for kind in kinds:
        own = outline(row.variables.get(kind, {}))
        size = size_pieces(*row.sizes.get(kind, (0, 0)))
        bold = [(piece, f"bold {style}".strip()) for piece, style in size]
        yield [*own, [], bold] if own and size else own or [bold]
