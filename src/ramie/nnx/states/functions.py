"""Functions on states, which may be nested dictionaries, too."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ramie.nnx.states.filters import Filter, PathIn
from ramie.nnx.states.nested import Path, flattened, nested, pure_dict, replaced
from ramie.nnx.states.state import FlatState, State

__all__ = [
    "create_path_filters",
    "diff",
    "filter_state",
    "from_flat_state",
    "map_state",
    "merge_state",
    "replace_by_pure_dict",
    "split_state",
    "to_flat_state",
    "to_pure_dict",
]


def _as_state(state: Any) -> State:
    return state if isinstance(state, State) else State(state, _copy=False)


def to_flat_state(state: Any) -> FlatState:
    """Return the leaves of a nested mapping with their paths, sorted.

    Example:
        >>> to_flat_state({"b": {"c": 2}, "a": 1}).paths
        (('a',), ('b', 'c'))
    """
    return _as_state(state).flat_state()


def from_flat_state(
    flat_state: Mapping[Path, Any] | Iterable[tuple[Path, Any]], *, cls: Any = State
) -> Any:
    """Build a nested mapping from paths and leaves.

    Args:
      flat_state: a mapping by path, or pairs.
      cls: what to make of the nested dictionary: `State`, or `dict`.
    """
    items: Any = flat_state.items() if isinstance(flat_state, Mapping) else flat_state
    tree = nested(items)
    return tree if cls is dict else cls(tree)


def map_state(f: Callable[[Path, Any], Any], state: Any) -> Any:
    """Return a state with ``f(path, leaf)`` in place of each leaf."""
    mapped = _as_state(state).map(f)
    return mapped if isinstance(state, State) else mapped.raw_mapping


def split_state(state: Any, first: Filter, /, *filters: Filter) -> Any:
    """Deal the leaves of a state out to one state per filter, each to the first that takes it.

    Returns:
      One state, or a tuple for several filters.

    Raises:
      ValueError: if no filter takes some leaf.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(1), b=nnx.BatchStat(2))
        >>> params, rest = nnx.split_state(nnx.state(model), nnx.Param, ...)
        >>> list(params), list(rest)
        (['a'], ['b'])
    """
    return _as_state(state).split(first, *filters)


def filter_state(state: Any, first: Filter, /, *filters: Filter) -> Any:
    """Like `split_state`, but leaves that no filter takes are left out."""
    return _as_state(state).filter(first, *filters)


def merge_state(state: Any, /, *states: Any, cls: Any = State) -> Any:
    """Join states; of several values at one path, the last counts.

    Args:
      state: the first.
      *states: others.
      cls: what the result is: `State`, or `dict`.

    Raises:
      ValueError: if a value stands where another state has further names.
    """
    joined = State.merge(state, *states)
    return joined.raw_mapping if cls is dict else joined


def to_pure_dict(state: Any, extract_fn: Callable[[Any], Any] | None = None) -> dict[Any, Any]:
    """Return nested dictionaries of plain values, to be written to files for example.

    Args:
      state: the state.
      extract_fn: what to take of each leaf; by default the value of a variable.

    Example:
        >>> from ramie import nnx
        >>> nnx.to_pure_dict(nnx.state(nnx.List([nnx.Param(1)])))
        {0: 1}
    """
    return pure_dict(state, extract_fn)


def replace_by_pure_dict(
    state: Any,
    pure_dict: Mapping[Any, Any],
    replace_fn: Callable[[Any, Any], Any] | None = None,
) -> None:
    """Put the values of nested dictionaries into a state, in place.

    The state gets new variables; a model it was taken from changes with `update` only.

    Args:
      state: what is changed.
      pure_dict: values at some of its paths; keys that are integers may be strings of digits.
      replace_fn: makes the new leaf from the old one and the value; by default a variable of the
        same kind with that value.

    Raises:
      ValueError: if there is a path that the state does not have.
    """
    replaced(state, pure_dict, replace_fn)


def diff(state: Any, other: Any) -> State:
    """Return the part of a state at whose paths the other one has nothing."""
    return _as_state(state) - _as_state(other)


def create_path_filters(state: Any) -> dict[PathIn, Any]:
    """Return a filter for each path of a state, with what is there as its value."""
    return {PathIn(path): leaf for path, leaf in zip(*flattened(state), strict=True)}
