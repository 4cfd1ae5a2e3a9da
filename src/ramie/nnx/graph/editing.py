"""Models changed in place: values taken over, variables removed, metadata set."""

from collections.abc import Mapping
from typing import Any

import jax

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.functional import as_states
from ramie.nnx.graph.walk import is_object, members
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter, filters_to_predicates, to_predicate
from ramie.nnx.states.nested import Path, named_paths, nested, raw
from ramie.nnx.states.state import FlatState, State
from ramie.nnx.variable.base import Variable

__all__ = ["pop", "set_metadata", "update"]


def update(node: Any, state: Any, /, *states: Any) -> None:
    """Change a model in place: take values over from states.

    Variables that are there get the value and the metadata of those in the state, or a plain
    value; other attributes are replaced, and what is not there yet is added.

    Args:
      node: the model.
      state: a State or nested dictionary of variables or plain values, for some or all paths.
      *states: more of them.

    Raises:
      TraceContextError: under another transformation than a variable was made under.
      ValueError: if a path leads into something that cannot be changed.
    """
    trace = trace_token()
    for one in (state, *states):
        if isinstance(one, FlatState):
            one = one.to_nested_state()
        elif isinstance(one, Pytree):
            one = as_states(*flatten(one), ())[0]
        if isinstance(node, Variable):
            if not (isinstance(one, State) and not one):
                _assign(node, one, trace)
        else:
            _update(node, raw(one), (), trace)


def _assign(variable: Variable[Any], value: Any, trace: Any) -> None:
    if value is variable:
        return
    if variable._var_metadata.is_cell:
        if isinstance(value, Variable):
            variable.update_from_state(value)
        else:
            variable.set_raw_value(value)
        return
    if variable._trace_state is not trace:
        variable._check_can_update()
    if isinstance(value, Variable):
        if value._var_metadata.is_cell:
            variable.update_from_state(value)
            return
        if value._var_metadata is not variable._var_metadata:
            object.__setattr__(variable, "_var_metadata", value._var_metadata)
        value = value._raw_value
    object.__setattr__(variable, "_raw_value", value)


def _update(node: Any, mapping: Any, path: Path, trace: Any) -> None:
    if mapping.__class__ is not dict and not isinstance(mapping, Mapping):
        raise ValueError(
            f"The state has {mapping!r} at {named_paths([path])!r}, but the model has a "
            f"{type(node).__name__} there, with entries of its own."
        )
    is_node = is_object(node)
    inside = node.__dict__ if is_node else dict(members(node))
    for key, value in mapping.items():
        name = str(key) if is_node else key
        child = inside.get(name)
        if isinstance(child, Variable):
            _assign(child, State(value) if value.__class__ is dict else value, trace)
        elif isinstance(raw(value), dict) and name in inside and not isinstance(child, jax.Array):
            _update(child, raw(value), (*path, key), trace)
        elif is_node:
            setattr(node, name, State(value) if isinstance(value, dict) else value)
        elif isinstance(node, list | dict):
            node[key] = value
        else:
            raise ValueError(
                f"The {type(node).__name__} at {named_paths([path])!r} cannot be changed, so it "
                f"does not take {value!r} as its entry {key!r}."
            )


def pop(node: Any, *filters: Filter) -> Any:
    """Remove variables and arrays from a model, in place, and return them.

    Args:
      node: a Module or other Pytree.
      *filters: one for each state to return; what none takes stays.

    Returns:
      One state, or a tuple for several filters.

    Raises:
      ValueError: without filters, or if what is taken is in a list or the like.
    """
    if not filters:
        raise ValueError(f"Expected at least one filter that says what to pop from {node!r}.")
    predicates = filters_to_predicates(filters)
    found: list[list[tuple[Path, Any]]] = [[] for _ in predicates]
    seen: set[int] = set()

    def visit(x: Any, path: Path) -> None:
        if id(x) in seen:
            return
        seen.add(id(x))
        for key, value in list(members(x)):
            inner = (*path, key)
            if not isinstance(value, Variable | jax.Array):
                visit(value, inner)
                continue
            taken = next((i for i, p in enumerate(predicates) if p(inner, value)), None)
            if taken is None or id(value) in seen:
                continue
            if not isinstance(x, Pytree | dict) or getattr(x, "_pytree__as_index", False):
                raise ValueError(
                    f"Cannot pop key {key!r} from node of type {type(x).__name__}: only "
                    "attributes of Pytrees and entries of dictionaries can be removed."
                )
            seen.add(id(value))
            found[taken].append((inner, value))
            if isinstance(x, dict):
                del x[key]
            else:
                delattr(x, key)

    visit(node, ())
    states = tuple(State(nested(items), _copy=False) for items in found)
    return states[0] if len(filters) == 1 else states


def set_metadata(node: Any, /, *, only: Filter = Variable, **metadata: Any) -> None:
    """Set metadata of the variables of a model, in place.

    Args:
      node: the model.
      only: which variables.
      **metadata: the entries.
    """
    graphdef, leaves = flatten(node)
    wanted = to_predicate(only)
    for path, leaf in zip(graphdef.paths, leaves, strict=True):
        if isinstance(leaf, Variable) and wanted(path, leaf):
            leaf.set_metadata(**metadata)
