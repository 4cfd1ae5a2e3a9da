"""Models changed in place: variables removed, metadata set."""

from typing import Any

import jax

from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.walk import members
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter, filters_to_predicates, to_predicate
from ramie.nnx.states.nested import Path, nested
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable

__all__ = ["pop", "set_metadata"]


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

    def visit(x: Any, path: Path, again: Any) -> None:  # see `walk`
        if id(x) in seen:
            return
        seen.add(id(x))
        for key, value in list(members(x)):
            inner = (*path, key)
            if not isinstance(value, Variable | jax.Array):
                again(value, inner, again)
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

    visit(node, (), visit)
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
