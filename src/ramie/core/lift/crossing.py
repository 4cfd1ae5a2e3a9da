"""The primitive under every lifted transformation: state crossing the boundary of a JAX transform.

A JAX transformation takes and returns values; a function of a scope reads and writes state. A
`Lift` says which state becomes values: the groups of collections that go in, those that come out,
and the random streams that go along. Opening it on scopes gives a `Crossing`, which holds these
values, rebuilds scopes from them on the inside, collects what was written there, and commits it to
the scopes outside:

    with LIFT.open(scopes) as crossing:

        @jax.some_transformation
        def inside(variables, rngs, args):
            return crossing.run(fn, variables, rngs, *args)

        result, written = inside(crossing.variables, crossing.rngs, args)
        crossing.commit(written)

Running a function inside is three steps: `enter`, the call, `leave`. Each transformation is this,
plus what it does to the values on the way; `pack` offers it for transformations of your own.
"""

import dataclasses
import operator
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

import jax

from ramie import errors
from ramie.core.filters import Filter, group_collections, intersect_filters, union_filters
from ramie.core.scope.rng import KeysInside, LazyRng, keys_inside, see_keys
from ramie.core.scope.scope import Scope
from ramie.core.scope.variables import copied, plain

__all__ = [
    "Crossing",
    "Group",
    "Lift",
    "Scopes",
    "check_carried",
    "count_roots",
    "map_rngs",
    "merged",
    "pack",
    "set_from_dict",
    "tree_map_rngs",
]

Scopes: TypeAlias = Any
"""A scope, or a pytree whose leaves are scopes."""

Group: TypeAlias = tuple[dict[str, Any], ...]
"""Entries by collection or by stream name, one dictionary for each root of the crossing."""


@dataclasses.dataclass(frozen=True)
class Lift:
    """What crosses the boundary of a transformation.

    A collection or stream belongs to the first group whose filter matches it. What no filter
    matches stays outside: on the inside it does not exist.

    Attributes:
      reads: one filter for each group of collections that goes in.
      writes: one filter for each group of collections that comes out. Only these may be written
        inside, and only if they may be written outside.
      rngs: one filter for each group of random streams.
      name: shown around the scope's name in error messages and profiles.
    """

    reads: Sequence[Filter]
    writes: Sequence[Filter]
    rngs: Sequence[Filter]
    name: str | None = None

    def open(self, scopes: Scopes) -> "Crossing":
        """Take the state out of scopes.

        Args:
          scopes: a scope or a pytree of scopes. They may overlap: one may lie inside another.

        Raises:
          InvalidScopeError: if the call that a scope was made for has ended.
        """
        return Crossing(self, scopes)


class Crossing:
    """State on its way through a transformation; see the module's text for how it is used.

    Leaving the `with` block ends the life of the scopes that were made inside.

    Attributes:
      variables: the groups that go in. Collections that may be written are copies.
      rngs: the groups of random streams that go in.
    """

    __slots__ = (
        "_inner",
        "_leaves",
        "_lift",
        "_places",
        "_roots",
        "_seen",
        "_treedef",
        "rngs",
        "variables",
    )

    variables: tuple[Group, ...]
    rngs: tuple[Group, ...]

    def __init__(self, lift: Lift, scopes: Scopes) -> None:
        self._lift = lift
        self._leaves, self._treedef = jax.tree_util.tree_flatten(scopes)
        for scope in self._leaves:
            scope._check_valid()
        self._roots, self._places = _find_roots(self._leaves)
        # Weakly, or the values of a trace that has ended would live until this one ends.
        self._inner: list[weakref.ref[Scope]] = []
        self._seen: list[KeysInside] = []
        outer = [self._leaves[i] for i in self._roots]
        self.variables = _by_group([_contents(scope) for scope in outer], lift.reads)
        self.rngs = _by_group([scope.rngs for scope in outer], lift.rngs)

    @property
    def roots(self) -> list[Scope]:
        """The scopes outside of which none of the others lies."""
        return [self._leaves[i] for i in self._roots]

    @property
    def layout(self) -> tuple[Any, ...]:
        """Something hashable: how the scopes lie in each other and in their pytree."""
        return (self._treedef, *self._places)

    def counts(self) -> tuple[Any, ...]:
        """Something hashable: how often each scope, and each below, drew random keys so far."""
        return tuple(_frozen_counts(scope.rng_counters) for scope in self._leaves)

    def set_counts(self, counts: tuple[Any, ...]) -> None:
        """Go on counting from what `counts` returned, here or for scopes that lie alike."""
        for scope, frozen in zip(self._leaves, counts, strict=True):
            _thaw_counts(scope.rng_counters, frozen)

    def restore_counts(self, counts: tuple[Any, ...]) -> None:
        """Go back to what `counts` returned, as if nothing had been drawn since."""
        for scope, frozen in zip(self._leaves, counts, strict=True):
            _reset_counts(scope.rng_counters, frozen)

    def split_mutable(self, group: Group) -> tuple[Group, Group]:
        """Divide a group of what goes in into what may be written inside and what may not."""
        parts: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
        for scope, collections in zip(self.roots, group, strict=True):
            writable = self._writable(scope)
            dealt = group_collections(collections, (writable, True))
            parts[0].append(dealt[0])
            parts[1].append(dealt[1])
        return tuple(parts[0]), tuple(parts[1])

    def __enter__(self) -> "Crossing":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._seen:  # an error came before `leave`
            see_keys(self._seen[0])
            self._seen.clear()
        for held in self._inner:
            scope = held()
            if scope is not None:
                scope.invalidate()
        self._inner.clear()

    def enter(self, variables: Sequence[Group], rngs: Sequence[Group]) -> Scopes:
        """Rebuild the scopes from values, inside of the transformation.

        Until `leave`, scopes outside that the function captured draw from the keys inside.

        Args:
          variables: groups like `self.variables`.
          rngs: groups like `self.rngs`; plain keys may stand for lazy ones.

        Returns:
          A pytree like the one the crossing was opened on.
        """
        inner_roots = []
        for position, outer in enumerate(self.roots):
            inner = Scope(
                {col: part for group in variables for col, part in group[position].items()},
                {name: rng for group in rngs for name, rng in group[position].items()},
                name=outer.name,
                mutable=self._writable(outer),
                path=outer.path,
                debug_path=self._debug_path(outer),
                flags=outer.flags,
            )
            # Both sides count requests for random keys together: what is drawn inside is not
            # drawn again by the next call, and no count has to be carried out.
            inner._counters = outer.rng_counters
            inner_roots.append(inner)
        self._inner.extend(weakref.ref(scope) for scope in inner_roots)
        scopes = []
        for outer, (position, names) in zip(self._leaves, self._places, strict=True):
            scope = inner_roots[position]
            for name in names:
                scope = scope.push(name, reuse=True)
            if names:
                scope._counters = outer.rng_counters
            scopes.append(scope)
        self._seen.append(keys_inside())
        see_keys((*keys_inside(), self._replaced(inner_roots)))
        return jax.tree_util.tree_unflatten(self._treedef, scopes)

    def leave(self, scopes: Scopes) -> tuple[Group, ...]:
        """Collect what may have been written, inside of the transformation.

        Args:
          scopes: what `enter` returned.

        Returns:
          One group for each filter of `Lift.writes`.
        """
        see_keys(self._seen.pop())
        leaves = jax.tree_util.tree_leaves(scopes)
        return _by_group([_written(leaves[i]) for i in self._roots], self._lift.writes)

    def run(
        self,
        fn: Callable[..., Any],
        variables: Sequence[Group],
        rngs: Sequence[Group],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Any, tuple[Group, ...]]:
        """Call a function of the scopes, inside of the transformation.

        Args:
          fn: called as ``fn(scopes, *args, **kwargs)``.
          variables: as for `enter`.
          rngs: as for `enter`.
          *args: see above.
          **kwargs: see above.

        Returns:
          What `fn` returns, and what it may have written, as `leave` collects it.
        """
        inner = self.enter(variables, rngs)
        y = fn(inner, *args, **kwargs)
        return y, self.leave(inner)

    def commit(self, written: Sequence[Group]) -> None:
        """Write into the scopes outside what came out of the transformation.

        Raises:
          ModifyScopeVariableError: if a collection may not be written.
        """
        for group in written:
            for scope, collections in zip(self.roots, group, strict=True):
                for col, part in collections.items():
                    if not scope.is_mutable_collection(col):
                        raise errors.ModifyScopeVariableError(col, "*", scope.path_text)
                    set_from_dict(scope._mutable_collection(col), plain(part))

    def _replaced(self, inside: Sequence[Scope]) -> dict[tuple[str, int], tuple[Any, Any]]:
        keys = {}
        for outer, inner in zip(self.roots, inside, strict=True):
            known = outer.rngs
            for name, lazy in inner.rngs.items():
                before = known[name].rng if name in known else lazy.rng
                if before is not lazy.rng:
                    keys[name, id(before)] = before, lazy.rng
        return keys

    def _writable(self, outer: Scope) -> Filter:
        writes: Filter = False
        for wanted in self._lift.writes:
            writes = union_filters(writes, wanted)
        return intersect_filters(outer.mutable, writes)

    def _debug_path(self, outer: Scope) -> tuple[str, ...]:
        path = outer.debug_path
        if self._lift.name is None:
            return path
        return (*path[:-1], f"{self._lift.name}({path[-1] if path else ''})")


def pack(
    fn: Callable[..., Any],
    in_variable_filters: Sequence[Filter],
    out_variable_filters: Sequence[Filter],
    rng_filters: Sequence[Filter],
    name: str | None = None,
    enable_kwargs: bool = False,
) -> Callable[..., Any]:
    """Lift a transformation that is given as a function of functions: the general case.

    Args:
      fn: called as ``fn(scope_fn, repack_fn, variable_groups, rng_groups, *args)``. Inside of its
        transformation it calls ``scope_fn(variable_groups, rng_groups)`` for a scope, uses this,
        and turns it into values with ``repack_fn(scope)``. It returns a result and these values.
        A group is a tuple with a dictionary of collections, or of streams, for each root scope.
      in_variable_filters: one filter for each group of collections that goes in.
      out_variable_filters: one filter for each group that comes out.
      rng_filters: one filter for each group of random streams.
      name: shown around the scope's name in error messages.
      enable_kwargs: whether `fn` takes keyword arguments.

    Returns:
      A function ``(scope, *args)`` that returns the result. A pytree of scopes may stand for the
      scope; `scope_fn` returns one like it.

    Example:
        >>> from ramie.core import apply
        >>> def double(scope_fn, repack_fn, variables, rngs):
        ...     doubled = jax.tree.map(lambda x: 2 * x, variables)
        ...     scope = scope_fn(doubled, rngs)
        ...     return scope.get_variable("params", "w"), repack_fn(scope)
        >>> apply(pack(double, ["params"], [], []))({"params": {"w": 3}})
        6
    """
    lift = Lift(in_variable_filters, out_variable_filters, rng_filters, name)

    def packed(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        if kwargs and not enable_kwargs:
            raise TypeError(
                f"This lifted function takes no keyword arguments, but got {sorted(kwargs)}: pass "
                "them by position, or give enable_kwargs=True to pack."
            )
        with lift.open(scopes) as crossing:
            y, written = fn(
                crossing.enter, crossing.leave, crossing.variables, crossing.rngs, *args, **kwargs
            )
            crossing.commit(written)
            return y

    return packed


def count_roots(scopes: Scopes) -> int:
    """Return how many of the scopes lie in none of the others."""
    return len(_find_roots(jax.tree_util.tree_leaves(scopes))[0])


def map_rngs(fn: Callable[[LazyRng], LazyRng], group: Group) -> Group:
    """Apply `fn` to every stream of a group."""
    return tuple({name: fn(rng) for name, rng in streams.items()} for streams in group)


def tree_map_rngs(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Apply a function of keys, such as ``lambda key: jax.random.split(key, 4)``, to streams.

    Args:
      fn: from a key to a key or an array of keys.
      tree: a pytree of keys and of `LazyRng`s, whose paths stay.
    """
    return jax.tree_util.tree_map(fn, tree)


def merged(a: Group, b: Group) -> Group:
    """Join two groups of collections scope by scope."""
    return tuple({**x, **y} for x, y in zip(a, b, strict=True))


def check_carried(before: Group, after: Group) -> None:
    """Refuse variables that came into being inside a loop that only hands them on."""
    made = sorted(set(_names(after)) - set(_names(before)))
    if made:
        raise TypeError(
            f"The variables {made} were made inside a loop that carries them, but the first step "
            "has to receive them: make them before the loop, for example by calling the module "
            "once or by declaring the variables in the scope around it."
        )


def _names(group: Group) -> list[str]:
    return [
        name
        for collections in group
        for col in collections
        for name in _names_below(collections[col], col)
    ]


def _names_below(part: Any, path: str) -> list[str]:
    if not isinstance(part, Mapping):
        return [path]
    return [name for key, value in part.items() for name in _names_below(value, f"{path}/{key}")]


def _by_group(per_scope: Sequence[Mapping[str, Any]], filters: Sequence[Filter]) -> tuple[Any, ...]:
    """Turn dictionaries by scope into groups of dictionaries by scope."""
    dealt = [group_collections(entries, filters) for entries in per_scope]
    return tuple(tuple(groups[i] for groups in dealt) for i in range(len(filters)))


def _frozen_counts(counters: Mapping[Any, Any]) -> tuple[Any, ...]:
    # Counters of the scopes below lie in dictionaries under the key `(name,)`.
    found = []
    for key, count in counters.items():
        frozen = _frozen_counts(count) if isinstance(count, dict) else count
        if frozen:
            found.append((key, frozen))
    return tuple(sorted(found, key=repr))


def _thaw_counts(counters: dict[Any, Any], frozen: tuple[Any, ...]) -> None:
    for key, count in frozen:
        if isinstance(count, tuple):
            _thaw_counts(counters.setdefault(key, {}), count)
        else:
            counters[key] = count


def _reset_counts(counters: dict[Any, Any], frozen: tuple[Any, ...]) -> None:
    before = dict(frozen)
    for key, count in list(counters.items()):
        if isinstance(count, dict):
            _reset_counts(count, before.get(key, ()))
        elif key in before:
            counters[key] = before[key]
        else:
            del counters[key]


def _contents(scope: Scope) -> dict[str, Any]:
    contents = {}
    for col in scope._tree.variables:
        part = scope._collection(col)
        if part:
            contents[col] = copied(part) if scope.is_mutable_collection(col) else plain(part)
    return contents


def _written(scope: Scope) -> dict[str, Any]:
    return {
        col: part
        for col, part in scope._variables.items()
        if part and scope.is_mutable_collection(col)
    }


def _find_roots(leaves: Sequence[Scope]) -> tuple[list[int], list[tuple[int, tuple[str, ...]]]]:
    """Find out how scopes lie in each other.

    Returns:
      The indices of those that lie in none of the others, each place once; and, for each scope,
      which of these it belongs to and the names that lead there.
    """
    first: dict[Any, int] = {}
    for index, scope in enumerate(leaves):
        first.setdefault(_place(scope), index)
    roots: list[int] = []
    places = []
    for scope in leaves:
        top, names, below = first[_place(scope)], (), ()  # type: tuple[int, Any, Any]
        at = scope
        while at.parent is not None:
            below = (at.name, *below)
            at = at.parent
            known = first.get(_place(at))
            if known is not None:
                top, names = known, below
        if top not in roots:
            roots.append(top)
        places.append((roots.index(top), names))
    return roots, places


def _place(scope: Scope) -> tuple[int, tuple[str, ...]]:
    # Two scope objects stand for one place when they lead to the same dictionaries.
    return id(scope._tree.variables), scope.path


def set_from_dict(original: dict[str, Any], updates: Mapping[str, Any]) -> None:
    """Write nested entries into a nested dictionary, in place.

    In place, because child scopes hold on to the nested dictionaries. What is new enters in the
    order of its names, as it does when it comes out of a JAX transformation.

    Args:
      original: the dictionary to write to; entries that `updates` does not name stay.
      updates: the entries.

    Example:
      >>> held = {"layer": {"w": 1, "b": 2}}
      >>> set_from_dict(held, {"layer": {"w": 3}})
      >>> held
      {'layer': {'w': 3, 'b': 2}}
    """
    for name, value in _in_order(updates):
        held = original.get(name)
        if isinstance(value, dict):
            if not isinstance(held, dict):
                held = original[name] = {}
            set_from_dict(held, value)
        else:
            original[name] = value


def _in_order(entries: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    try:
        return sorted(entries.items(), key=operator.itemgetter(0))
    except TypeError:  # a variable may be a dictionary with keys of any kind
        return entries.items()
