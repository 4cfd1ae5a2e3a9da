"""GraphState: a state that carries the structure it belongs to, so that `merge` needs no other."""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Generic, TypeAlias, TypeVar

import jax

from ramie.nnx.graph.functional import split
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.printing.text import Parts, describe
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.nested import RawMapping, sorted_keys
from ramie.nnx.states.state import State

__all__ = ["GraphState", "PureState", "unpack"]

A = TypeVar("A")
PureState: TypeAlias = tuple[GraphDef[A], State]
"""A model taken apart, as `split` returns it and `call` takes it."""


class GraphState(RawMapping, MutableMapping[Any, Any], Generic[A]):
    """A state together with the structure of the model. `unpack` makes it.

    It is used like the `State`: entries by key or attribute. As a pytree it has the leaves of the
    state at the same paths.

    Args:
      _graphdef: the structure of the model.
      _state: the state, or a part of it.
    """

    __slots__ = ("_graphdef", "_state")

    _graphdef: GraphDef[A]
    _state: State

    def __init__(self, _graphdef: GraphDef[A], _state: State) -> None:
        if not isinstance(_state, State):
            raise ValueError(
                f"Expected a State object, got {type(_state).__name__}: only what has entries by "
                "path can be unpacked, such as a module."
            )
        object.__setattr__(self, "_graphdef", _graphdef)
        object.__setattr__(self, "_state", _state)

    @property
    def raw_mapping(self) -> dict[Any, Any]:
        """The nested dictionary of the state; changing it changes the state."""
        return self._state.raw_mapping

    def __getitem__(self, key: Any) -> Any:
        return self._state[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._state[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._state[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)

    def __getattr__(self, name: str) -> Any:
        if name in GraphState.__slots__:  # asked for before it is there, as `copy` does
            raise AttributeError(name)
        return getattr(self._state, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._state[name] = value

    def __getstate__(self) -> tuple[GraphDef[A], State]:
        return self._graphdef, self._state

    def __setstate__(self, state: tuple[GraphDef[A], State]) -> None:
        object.__setattr__(self, "_graphdef", state[0])
        object.__setattr__(self, "_state", state[1])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GraphState):
            return NotImplemented
        return self._graphdef == other._graphdef and self._state == other._state

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _to_merge(self, others: tuple[Any, ...]) -> tuple[GraphDef[A], tuple[State, ...]]:
        """Return what `merge` works on, after checking that all belong together.

        Raises:
          ValueError: if one is no GraphState, or has another structure.
        """
        for other in others:
            if not isinstance(other, GraphState):
                raise ValueError(
                    f"Expected GraphState object, got {type(other).__name__}: after a first "
                    "GraphState, merge takes more of them only."
                )
            if other._graphdef != self._graphdef:
                raise ValueError(
                    "GraphDef must be the same in all GraphStates that are merged, but these with "
                    f"{self._graphdef.num_leaves} and {other._graphdef.num_leaves} leaves come "
                    "from different models."
                )
        return self._graphdef, (self._state, *(other._state for other in others))

    def _nnx_parts(self) -> Parts:
        entries = [("_graphdef=", self._graphdef), ("_state=", self._state)]
        return f"{type(self).__name__}(", entries, ")"

    def __repr__(self) -> str:
        return describe(self)


def _children(packed: GraphState[Any]) -> tuple[list[Any], tuple[Any, tuple[Any, ...]]]:
    mapping = packed.raw_mapping
    keys = tuple(sorted_keys(mapping))
    return [mapping[key] for key in keys], (packed._graphdef, keys)


def _children_with_keys(packed: GraphState[Any]) -> tuple[list[Any], tuple[Any, tuple[Any, ...]]]:
    values, structure = _children(packed)
    return list(zip(map(jax.tree_util.DictKey, structure[1]), values, strict=True)), structure


def _from_children(structure: tuple[Any, tuple[Any, ...]], values: Iterable[Any]) -> Any:
    graphdef, keys = structure
    return GraphState(graphdef, State(dict(zip(keys, values, strict=True)), _copy=False))


jax.tree_util.register_pytree_with_keys(GraphState, _children_with_keys, _from_children, _children)


def unpack(node: Any, *filters: Filter, graph: bool | None = None) -> Any:
    """Take a model apart into states that carry its structure: `split` without a first result.

    Args:
      node: a Module or other Pytree, or a pytree of them.
      *filters: one for each state; a leaf goes to the first that takes it.
      graph: see `split`.

    Returns:
      One `GraphState`, or a tuple for several filters. `merge` takes all of them.

    Raises:
      ValueError: if no filter takes some leaf, or the model is a single variable.

    Example:
        >>> from ramie import nnx
        >>> params, rest = nnx.unpack(nnx.Dict(a=nnx.Param(1), b=nnx.BatchStat(2)), nnx.Param, ...)
        >>> list(params), sorted(nnx.merge(params, rest))
        (['a'], ['a', 'b'])
    """
    graphdef, *states = split(node, *filters, graph=graph)
    packed = tuple(GraphState(graphdef, state) for state in states)
    return packed[0] if len(packed) == 1 else packed
