"""State: the values of a model by path, nested or flat, apart from its structure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Self, overload

import jax

from ramie.nnx.printing.text import Parts, describe
from ramie.nnx.printing.visualization import rendered
from ramie.nnx.states import filters as filterlib
from ramie.nnx.states import nested as nestlib
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.nested import (
    Path,
    RawMapping,
    dealt,
    filled,
    flattened,
    nested,
    none_left,
    raw,
    sorted_keys,
)

__all__ = ["FlatState", "State"]


class State(RawMapping, MutableMapping[Any, Any]):
    """A nested mapping from names to variables or arrays: the part of a model that is no structure.

    Entries are also attributes. As a pytree it is a node over nested dictionaries.

    Args:
      mapping: the entries, or pairs. Nested dictionaries are read as States.

    Example:
        >>> from ramie import nnx
        >>> state = nnx.state(nnx.Dict(a=nnx.Dict(b=nnx.Param(1))))
        >>> state.a.b.get_value(), state.flat_state().paths
        (1, (('a', 'b'),))
    """

    __slots__ = ("__weakref__", "_mapping", "_source")

    _mapping: dict[Any, Any] | None
    _source: tuple[Any, Sequence[Any]] | None

    def __init__(
        self, mapping: Mapping[Any, Any] | Iterable[tuple[Any, Any]], /, *, _copy: bool = True
    ) -> None:
        inner = raw(mapping)
        object.__setattr__(self, "_source", None)
        object.__setattr__(
            self, "_mapping", inner if isinstance(inner, dict) and not _copy else dict(inner)
        )

    @classmethod
    def _lazy(cls, graphdef: Any, leaves: Sequence[Any]) -> Self:
        """Make a state whose nested mapping is built when it is first asked for.

        Args:
          graphdef: has the nesting, as `plan`.
          leaves: in the order of the plan.
        """
        self = object.__new__(cls)
        object.__setattr__(self, "_mapping", None)
        object.__setattr__(self, "_source", (graphdef, leaves))
        return self

    @property
    def raw_mapping(self) -> dict[Any, Any]:
        """The mapping itself, with plain dictionaries inside; changing it changes the state."""
        if self._mapping is None:
            graphdef, leaves = self._source  # type: ignore[misc]
            object.__setattr__(self, "_mapping", filled(graphdef.plan, leaves))
            object.__setattr__(self, "_source", None)  # a change would not reach it
        return self._mapping  # type: ignore[return-value]

    def __getitem__(self, name: Any) -> Any:
        value = self.raw_mapping[name]
        return type(self)(value, _copy=False) if isinstance(value, dict) else value

    def __setitem__(self, name: Any, value: Any) -> None:
        self.raw_mapping[name] = raw(value)

    def __delitem__(self, name: Any) -> None:
        del self.raw_mapping[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.raw_mapping)

    def __len__(self) -> int:
        return len(self.raw_mapping)

    def __getattr__(self, name: str) -> Any:
        if name not in State.__slots__ and name in self.raw_mapping:
            return self[name]
        raise AttributeError(f"No attribute {name!r} in {type(self).__name__}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self.raw_mapping:
            raise AttributeError(f"No attribute {name!r} in {type(self).__name__}")
        del self[name]

    def __getstate__(self) -> dict[str, Any]:
        return {"mapping": self.raw_mapping}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_mapping", state["mapping"])
        object.__setattr__(self, "_source", None)

    def __or__(self, other: "State") -> "State":
        return type(self).merge(self, other)

    def __sub__(self, other: "State") -> "State":
        taken = set(flattened(other)[0])
        paths, leaves = flattened(self)
        pairs = zip(paths, leaves, strict=True)
        return type(self)(nested((p, x) for p, x in pairs if p not in taken), _copy=False)

    def flat_state(self) -> "FlatState":
        """Return paths and leaves as a sequence."""
        source = self._source
        if source is not None:
            return FlatState.from_sorted_keys_values(source[0].paths, source[1])
        return FlatState.from_sorted_keys_values(*flattened(self))

    @classmethod
    def from_flat_path(cls, flat_state: Any, /) -> Self:
        """Build a state from a mapping of paths to values, or from pairs."""
        items = flat_state.items() if isinstance(flat_state, Mapping) else flat_state
        return cls(nested(items), _copy=False)

    def map(self, f: Callable[[Path, Any], Any]) -> Self:
        """Return a state with ``f(path, leaf)`` in place of each leaf."""
        paths, leaves = flattened(self)
        return type(self)(
            nested((path, f(path, x)) for path, x in zip(paths, leaves, strict=True)), _copy=False
        )

    def split(self, first: Filter, /, *filters: Filter) -> Any:
        """Deal the leaves out to one state per filter, each leaf to the first that takes it.

        Returns:
          One state, or a tuple for several filters.

        Raises:
          ValueError: if no filter takes some leaf.
        """
        states, rest = self._dealt((first, *filters))
        none_left(rest)
        return states[0] if not filters else states

    def filter(self, first: Filter, /, *filters: Filter) -> Any:
        """Like `split`, but leaves that no filter takes are left out."""
        states, _ = self._dealt((first, *filters))
        return states[0] if not filters else states

    def _dealt(self, filters: tuple[Filter, ...]) -> Any:
        groups = dealt(*flattened(self), filterlib.filters_to_predicates(filters))
        made = [type(self)(nested(zip(*group, strict=True)), _copy=False) for group in groups[:-1]]
        return tuple(made), groups[-1]

    @classmethod
    def merge(cls, state: Mapping[Any, Any], /, *states: Mapping[Any, Any]) -> "State":
        """Join states; of several values at one path, the last counts.

        Raises:
          ValueError: if a value stands where another state has further names.
        """
        if not states:
            return state if isinstance(state, State) else cls(state)
        joined: dict[Path, Any] = {}
        for one in (state, *states):
            joined.update(zip(*flattened(one), strict=True))
        return cls(nested(joined.items()), _copy=False)

    def to_pure_dict(self, extract_fn: Callable[[Any], Any] | None = None) -> dict[Any, Any]:
        """Return nested dictionaries of plain values; see `to_pure_dict`."""
        return nestlib.pure_dict(self, extract_fn)

    def replace_by_pure_dict(
        self, pure_dict: Mapping[Any, Any], replace_fn: Callable[[Any, Any], Any] | None = None
    ) -> None:
        """Take values over from nested dictionaries; see `replace_by_pure_dict`."""
        nestlib.replaced(self, pure_dict, replace_fn)

    def _nnx_parts(self) -> Parts:
        entries = [(f"{key!r}: ", _inner(x)) for key, x in self.raw_mapping.items()]
        return f"{type(self).__name__}({{", entries, "})"

    def __repr__(self) -> str:
        return describe(self)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        children = {str(key): self[key] for key in self}
        return rendered(self, children, path, subtree_renderer)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _register(cls)


class _Inner:
    """Prints a dictionary inside a state.

    Args:
      mapping: the dictionary.
    """

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self.mapping = mapping

    def _nnx_parts(self) -> Parts:
        return "{", [(f"{key!r}: ", _inner(x)) for key, x in self.mapping.items()], "}"


def _inner(value: Any) -> Any:
    return _Inner(value) if isinstance(value, dict) else value


def _register(cls: type[State]) -> None:
    def children(state: State) -> tuple[list[Any], tuple[Any, ...]]:
        mapping = state.raw_mapping
        keys = tuple(sorted_keys(mapping))
        return [mapping[key] for key in keys], keys

    def children_with_keys(state: State) -> tuple[list[Any], tuple[Any, ...]]:
        values, keys = children(state)
        entries = map(jax.tree_util.DictKey, keys)
        return list(zip(entries, values, strict=True)), keys

    def unflatten(keys: tuple[Any, ...], values: Iterable[Any]) -> State:
        return cls(dict(zip(keys, values, strict=True)), _copy=False)

    jax.tree_util.register_pytree_with_keys(cls, children_with_keys, unflatten, children)


_register(State)


class FlatState(Sequence[tuple[Path, Any]]):
    """A state as a sequence of (path, leaf) pairs.

    Args:
      items: the pairs.
      sort: whether to sort them by path.

    Example:
        >>> from ramie import nnx
        >>> nnx.FlatState([(("b",), 1), (("a",), 2)], sort=True).leaves
        (2, 1)
    """

    __slots__ = ("leaves", "paths")

    paths: tuple[Path, ...]
    leaves: tuple[Any, ...]

    def __init__(self, items: Iterable[tuple[Path, Any]], /, *, sort: bool) -> None:
        pairs = [(tuple(path), leaf) for path, leaf in items]
        if sort:
            order = {path: leaf for path, leaf in pairs}
            pairs = list(zip(*flattened(nested(order.items())), strict=True))
        self.paths = tuple(path for path, _ in pairs)
        self.leaves = tuple(leaf for _, leaf in pairs)

    @classmethod
    def from_sorted_keys_values(cls, keys: Iterable[Path], values: Iterable[Any], /) -> Self:
        """Make one from sorted paths and their leaves."""
        self = object.__new__(cls)
        self.paths, self.leaves = tuple(keys), tuple(values)
        return self

    @overload
    def __getitem__(self, index: int) -> tuple[Path, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> "FlatState": ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.from_sorted_keys_values(self.paths[index], self.leaves[index])
        return self.paths[index], self.leaves[index]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, Any]]:
        return iter(zip(self.paths, self.leaves, strict=True))

    def to_nested_state(self) -> State:
        """Return the same as a State."""
        return State(nested(self), _copy=False)

    def split(self, first: Filter, /, *filters: Filter) -> Any:
        """Deal the pairs out to one FlatState per filter; see `State.split`.

        Raises:
          ValueError: if no filter takes some leaf.
        """
        parts, rest = self._dealt((first, *filters))
        none_left(rest)
        return parts[0] if not filters else parts

    def filter(self, first: Filter, /, *filters: Filter) -> Any:
        """Like `split`, but leaves that no filter takes are left out."""
        parts, _ = self._dealt((first, *filters))
        return parts[0] if not filters else parts

    def _dealt(self, filters: tuple[Filter, ...]) -> Any:
        groups = dealt(self.paths, self.leaves, filterlib.filters_to_predicates(filters))
        return tuple(self.from_sorted_keys_values(*group) for group in groups[:-1]), groups[-1]

    @classmethod
    def merge(
        cls,
        flat_state: Iterable[tuple[Path, Any]],
        /,
        *flat_states: Iterable[tuple[Path, Any]],
    ) -> Self:
        """Join several; of several leaves at one path, the last counts."""
        joined: dict[Path, Any] = {}
        for one in (flat_state, *flat_states):
            joined.update(one)
        return cls(joined.items(), sort=True)

    def _nnx_parts(self) -> Parts:
        return f"{type(self).__name__}([", [(f"{p!r}: ", leaf) for p, leaf in self], "])"

    def __repr__(self) -> str:
        return describe(self)


def _flat_children(flat: FlatState) -> tuple[tuple[Any, ...], tuple[Path, ...]]:
    return flat.leaves, flat.paths


def _flat_children_with_keys(flat: FlatState) -> tuple[tuple[Any, ...], tuple[Path, ...]]:
    entries = map(jax.tree_util.SequenceKey, range(len(flat)))
    return tuple(zip(entries, flat.leaves, strict=True)), flat.paths


jax.tree_util.register_pytree_with_keys(
    FlatState,
    _flat_children_with_keys,
    lambda paths, leaves: FlatState.from_sorted_keys_values(paths, leaves),
    _flat_children,
)
