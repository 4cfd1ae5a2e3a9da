"""Taking models apart into structure and state, and putting them together again."""

import copy as copying
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import (
    build,
    check_tree_node,
    children,
    iter_graph,
    members,
    walk,
)
from ramie.nnx.modes import set_graph_mode
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter, filters_to_predicates, to_predicate
from ramie.nnx.states.nested import Path, Plan, dealt, named_paths, nested, none_left, raw
from ramie.nnx.states.state import FlatState, State
from ramie.nnx.variable.base import Variable

__all__ = [
    "Caller",
    "as_pure",
    "as_states",
    "call",
    "clone",
    "find_duplicates",
    "graphdef",
    "iter_children",
    "leaves_for",
    "map",
    "merge",
    "pure",
    "split",
    "state",
    "variables",
]

A = TypeVar("A")


def _walked(node: Any, graph: bool | None) -> tuple[GraphDef[Any], Sequence[Any]]:
    """Walk over a model; in tree mode, refuse what is no tree."""
    graphdef, leaves = flatten(node)
    in_graph_mode = set_graph_mode.current_value() if graph is None else graph
    if in_graph_mode:
        return graphdef, leaves
    if not graphdef.is_tree:
        for _ in iter_graph(node, graph=False):  # says what is no tree, and where
            pass
    return walk(node, as_tree=True) if graphdef.has_values else (graphdef, leaves)


def split(node: Any, *filters: Filter, graph: bool | None = None) -> Any:
    """Take a model apart.

    Args:
      node: a Module or other Pytree, a variable, or any pytree of them.
      *filters: one for each state to return; a leaf goes to the first that takes it.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.

    Returns:
      The structure and the state, or as many states as there are filters. The variables in them
      are those of the model, no copies.

    Raises:
      ValueError: if no filter takes some leaf; in tree mode, if a variable is shared.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(1), b=nnx.BatchStat(2))
        >>> graphdef, params, rest = nnx.split(model, nnx.Param, ...)
        >>> list(params), list(rest)
        (['a'], ['b'])
    """
    graphdef, leaves = _walked(node, graph)
    return graphdef, *as_states(graphdef, leaves, filters)


def as_states(graphdef: GraphDef[Any], leaves: Sequence[Any], filters: tuple[Filter, ...]) -> Any:
    """Deal the leaves of a walk out to one state per filter, as `split` returns them."""
    if graphdef.paths == ((),):  # the model is a single leaf, and so is its state
        if len(filters) < 2:
            return (leaves[0],)
        groups = dealt(graphdef.paths, leaves, filters_to_predicates(filters))
        none_left(groups.pop())
        return tuple(found[0] if found else State({}) for _, found in groups)
    if not filters or filters == (...,):
        return (State._lazy(graphdef, leaves),)
    groups = dealt(graphdef.paths, leaves, filters_to_predicates(filters))
    none_left(groups.pop())
    return tuple(State(nested(zip(*group, strict=True)), _copy=False) for group in groups)


def state(node: Any, *filters: Filter, graph: bool | None = None) -> Any:
    """Return the state of a model, or the part of it that each filter takes.

    Args:
      node: a Module or other Pytree, or any pytree of them.
      *filters: one for each state to return. What none takes is left out.
      graph: see `split`.

    Returns:
      One state, or a tuple for several filters.
    """
    graphdef, leaves = _walked(node, graph)
    found = as_states(graphdef, leaves, (*filters, ...) if filters else ())
    return found[0] if len(filters) < 2 else found[:-1]


variables = state


def graphdef(node: Any, /, *, graph: bool | None = None) -> GraphDef[Any]:
    """Return the structure of a model.

    Args:
      node: a Module or other Pytree, or any pytree of them.
      graph: see `split`.
    """
    return _walked(node, graph)[0]


def leaves_for(graphdef: GraphDef[Any], states: tuple[Any, ...]) -> list[Any]:
    """Find the leaf for each path of a structure in the given states."""
    found: list[Any] = [None] * graphdef.num_leaves
    count = 0
    for one in states:
        lazy = one._source if isinstance(one, State) else None
        if lazy is not None and lazy[0] is graphdef and len(states) == 1:
            return list(lazy[1])
        if isinstance(one, FlatState):
            one = one.to_nested_state() if one.paths != ((),) else one.leaves
        mapping = raw(one)
        if isinstance(mapping, Mapping) and graphdef.paths != ((),):
            count += _collect(graphdef.plan, mapping, found, ())
        elif isinstance(mapping, list | tuple) and len(states) == 1:
            found, count = list(mapping), len(mapping)
        elif graphdef.paths == ((),) and not (isinstance(one, State) and not len(one)):
            found, count = [one], count + 1
    if count != graphdef.num_leaves:
        raise ValueError(
            f"Incorrect number of leaves, expected {graphdef.num_leaves} leaves, but got {count}. "
            f"The structure has the paths {named_paths(graphdef.paths)}."
        )
    if dict in {type(leaf) for leaf in found}:
        _refuse_boxes(graphdef, found)
    return found


def _refuse_boxes(graphdef: GraphDef[Any], found: Sequence[Any]) -> None:
    """Refuse the dictionaries in which Orbax keeps what variables hold."""
    boxes = [
        path
        for path, leaf in zip(graphdef.paths, found, strict=True)
        if type(leaf) is dict and leaf.keys() == {"value"}
    ]
    if boxes:
        raise ValueError(
            f"The state has dictionaries of a single `value` at {named_paths(boxes)}, where the "
            "structure has a value. This is how Orbax stores variables: restore its directory, or "
            "what was converted from it, with the target nnx.state(model)."
        )


def _collect(plan: Plan, mapping: Mapping[Any, Any], found: list[Any], path: Path) -> int:
    """Put the leaves of a mapping at their places; return how many there were."""
    count = 0
    for key, place in plan:
        if key not in mapping:
            continue
        value = raw(mapping[key])
        if not isinstance(place, int):
            count += _collect(place, value, found, (*path, key))
        else:
            found[place] = value
            count += 1
    if len(mapping) > len(plan):
        known = {key for key, _ in plan}
        extra = [
            (*path, key) for key, x in mapping.items() if key not in known and not _is_empty(x)
        ]
        if extra:
            raise ValueError(
                f"Incorrect number of leaves: the structure has nothing at {named_paths(extra)}, "
                "where the state has values."
            )
    return count


def _is_empty(value: Any) -> bool:
    return isinstance(raw(value), dict) and not value


def merge(
    graphdef: GraphDef[A], /, *states: Any, copy: bool = False, recreate_variables: bool = True
) -> A:
    """Put a model together: `split` backwards.

    Args:
      graphdef: the structure; or a `GraphState`, which brings it along, as all `states` do then.
      *states: one or several that have all leaves between them: States, nested or flat, or nested
        dictionaries of plain values.
      copy: whether variables in the states are copied. By default the model gets these very
        variables.
      recreate_variables: whether plain values become variables again; else they stay as they are.

    Returns:
      The model, made of new objects.

    Raises:
      TypeError: if the first argument is no structure, or states are missing.
      ValueError: if leaves are missing, or are too many.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(1))
        >>> nnx.merge(*nnx.split(model)).a is model.a
        True
    """
    if not isinstance(graphdef, GraphDef):  # a GraphState brings both
        if not hasattr(graphdef, "_to_merge"):
            raise TypeError(
                f"Expected a GraphDef or GraphState object, got: {graphdef}. Both come from "
                "nnx.split(model)."
            )
        graphdef, states = graphdef._to_merge(states)
    if not states:
        raise TypeError(
            "merge() missing 1 required positional argument: 'state', which fills the structure "
            f"with its {graphdef.num_leaves} leaves."
        )
    leaves = leaves_for(graphdef, states)
    if copy:
        leaves = [leaf.copy() if isinstance(leaf, Variable) else leaf for leaf in leaves]
    built: A = build(graphdef, leaves, recreate_variables)
    return built


def clone(node: A, variables: bool = True, *, arrays: bool = False, graph: bool | None = None) -> A:
    """Copy a model.

    Args:
      node: the model.
      variables: whether variables are copied; else the copy shares them.
      arrays: whether arrays are copied too, so that either can be donated.
      graph: see `split`.
    """
    graphdef, leaves = _walked(node, graph)
    if arrays:
        leaves = [_with_new_array(leaf) for leaf in leaves]
    elif variables:
        leaves = [leaf.copy() if isinstance(leaf, Variable) else leaf for leaf in leaves]
    copied: A = build(graphdef, leaves)
    return copied


def _with_new_array(leaf: Any) -> Any:
    if isinstance(leaf, Variable):
        return leaf.replace(jax.tree.map(_with_new_array, leaf._plain()))
    return jnp.copy(leaf) if isinstance(leaf, jax.Array) else copying.copy(leaf)


def pure(tree: Any) -> Any:
    """Return a pytree with the value of each variable in place of the variable.

    Example:
        >>> from ramie import nnx
        >>> nnx.pure({"a": nnx.Param(1)})
        {'a': 1}
    """
    return jax.tree.map(
        lambda x: x._plain() if isinstance(x, Variable) else x,
        tree,
        is_leaf=lambda x: isinstance(x, Variable),
    )


as_pure = pure


def map(
    f: Callable[[Path, Any], Any],
    node: A,
    /,
    *,
    graph: bool | None = None,
    recreate_variables: bool = True,
) -> A:
    """Copy a model with ``f(path, leaf)`` in place of each variable or array.

    Args:
      f: returns a variable or a plain value.
      node: the model.
      graph: see `split`.
      recreate_variables: whether plain values become variables again; else they stay as they are.
    """
    graphdef, leaves = _walked(node, graph)
    changed = [f(path, x) for path, x in zip(graphdef.paths, leaves, strict=True)]
    copied: A = build(graphdef, changed, recreate_variables)
    return copied


def find_duplicates(node: Any, /, *, only: Filter = ...) -> list[list[Path]]:
    """List, for each module or variable that a model holds at several places, its paths.

    What is inside of a shared module is not listed again.

    Args:
      node: the model.
      only: which modules and variables to look at.

    Example:
        >>> from ramie import nnx
        >>> shared = nnx.Param(1)
        >>> nnx.find_duplicates(nnx.Dict(a=shared, b=shared))
        [[('a',), ('b',)]]
    """
    wanted = to_predicate(only)
    places: dict[int, list[Path]] = {}
    seen: set[int] = set()

    def visit(x: Any, path: Path, again: Any) -> None:  # see `walk`
        if isinstance(x, Pytree | Variable | jax.Ref):
            if wanted(path, x):
                places.setdefault(id(x), []).append(path)
            if id(x) in seen:
                return
            seen.add(id(x))
        for key, value in members(x):
            again(value, (*path, key), again)

    visit(node, (), visit)
    return [paths for paths in places.values() if len(paths) > 1]


def iter_children(node: Any, /, *, graph: bool | None = None) -> Any:
    """List the Pytrees and variables that a node holds directly, with their keys.

    Args:
      node: a Module or other Pytree.
      graph: False refuses classes that are no pytrees.

    Raises:
      ValueError: in tree mode, if the node is no pytree.
    """
    if not (set_graph_mode.current_value() if graph is None else graph):
        check_tree_node(node, (), None)
    return children(node)


class Caller:
    """Stands for a model, or a part of it, whose calls return their output and a new state.

    Args:
      model: the model.
      graph: see `split`.
      target: the part or method of it; by default the model.
    """

    def __init__(self, model: Any, graph: bool | None = None, target: Any = None) -> None:
        self._model = model
        self._graph = graph
        self._target = model if target is None else target

    def __getattr__(self, name: str) -> "Caller":
        return Caller(self._model, self._graph, getattr(self._target, name))

    def __getitem__(self, key: Any) -> "Caller":
        return Caller(self._model, self._graph, self._target[key])

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Call, and return the output and the model after it, taken apart."""
        output = self._target(*args, **kwargs)
        return output, split(self._model, graph=self._graph)


def _apply(self: GraphDef[Any], state: Any, *states: Any, graph: bool | None = None) -> Caller:
    """Build the model and call it, or a method of it; the result comes with its new state.

    Args:
      state: the state.
      *states: the rest of it.
      graph: see `split`.

    Returns:
      What stands for the model: ``graphdef.apply(state).method(x)`` gives the output of the
      method and a pair of structure and state.
    """
    return Caller(merge(self, state, *states), graph)


GraphDef.apply = _apply  # type: ignore[attr-defined]  # it needs both halves of this module


def call(graphdef_state: tuple[GraphDef[Any], Any], /) -> Any:
    """Call a model that is taken apart, or a method of it.

    Args:
      graphdef_state: structure and state.

    Returns:
      What stands for the model: ``nnx.call((graphdef, state)).method(x)`` gives the output of the
      method and a pair of structure and state.
    """
    graphdef, *states = graphdef_state
    return Caller(merge(graphdef, *states))
