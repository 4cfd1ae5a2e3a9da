"""Lifted transformations that leave values as they are: pack, jit, remat, and renaming state."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax

from ramie.core.filters import Filter, in_filter, normal_form, subtract_filters
from ramie.core.lift.crossing import Crossing, Group, Lift, Scopes, map_rngs
from ramie.core.scope.rng import LazyRng

__all__ = [
    "StaticResult",
    "checkpoint",
    "fold_rngs",
    "id_fn",
    "jit",
    "map_variables",
    "pack",
    "remat",
    "swap_collection",
]


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


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class StaticResult:
    """A hashable value that leaves a compiled function beside arrays, with every call."""

    value: Any


class _Calls(threading.local):
    """The crossing that a compiled function is being called for, should it be traced."""

    crossing: Crossing | None = None

    @contextlib.contextmanager
    def during(self, crossing: Crossing) -> Iterator[None]:
        outer, self.crossing = self.crossing, crossing
        try:
            yield
        finally:
            self.crossing = outer


def _without_paths(groups: Sequence[Group]) -> tuple[Group, ...]:
    return tuple(map_rngs(LazyRng.clear_suffix, group) for group in groups)


def _trace_key(crossing: Crossing) -> Hashable:
    """Return what a trace depends on beside values; where the scopes lie is not part of it."""
    of_roots = tuple(
        (
            normal_form(scope.mutable),
            tuple(sorted(scope.flags.items(), key=lambda item: item[0])),
        )
        for scope in crossing.roots
    )
    return crossing.layout, crossing.counts(), of_roots


def _as_tuple(argnums: int | Iterable[int] | None) -> tuple[int, ...]:
    if argnums is None:
        return ()
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def jit(
    fn: Callable[..., Any],
    variables: Filter = True,
    rngs: Filter = True,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] = (),
    device: Any = None,
    backend: str | None = None,
) -> Callable[..., Any]:
    """Lift `jax.jit` to functions of a scope.

    A trace is used again for any scope with equally shaped variables, equal rules of what may be
    written, and equal counts of random draws, whatever its path. For this the path is left out of
    the derivation of random keys inside.

    Args:
      fn: called as ``fn(scope, hash_key, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.
      static_argnums: the positions of arguments that are compile-time constants; the scope has
        position 0, the hash key is not counted.
      static_argnames: the names of keyword arguments that are compile-time constants.
      donate_argnums: the positions, counted likewise, of arguments whose memory may be re-used.
      device: passed on to `jax.jit`.
      backend: passed on to `jax.jit`.

    Returns:
      A function ``(scope, hash_key, *args, **kwargs)``. The hash key stands for everything that
      a trace of `fn` depends on beside its arguments: it has to be hashable and comparable.

    Differs from Flax: a second call in the same scope draws new random numbers.
    """
    lift = Lift((variables,), (variables,), (rngs,), "jit")
    calls = _Calls()

    def traced(
        key: Hashable, hash_key: Any, variables: Any, rngs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        crossing = calls.crossing
        assert crossing is not None
        inner = crossing.enter(variables, rngs)
        y = fn(inner, hash_key, *args, **kwargs)
        return y, crossing.leave(inner), StaticResult(crossing.counts())

    traced.__name__ = getattr(fn, "__name__", "lifted")
    placement = {"device": device, "backend": backend}
    compiled = jax.jit(
        traced,
        static_argnums=(0, 1, *(i + 3 for i in _as_tuple(static_argnums) if i > 0)),
        static_argnames=static_argnames,
        donate_argnums=tuple(i + 3 for i in _as_tuple(donate_argnums) if i > 0),
        **{name: value for name, value in placement.items() if value is not None},
    )

    def jitted(scopes: Scopes, hash_key: Hashable, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing, calls.during(crossing):
            key = _trace_key(crossing)
            state = crossing.variables, _without_paths(crossing.rngs)
            y, written, counts = compiled(key, hash_key, *state, *args, **kwargs)
            crossing.set_counts(counts.value)
            crossing.commit(written)
            return y

    return jitted


def remat(
    fn: Callable[..., Any],
    variables: Filter = True,
    rngs: Filter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | Iterable[int] = (),
    policy: Callable[..., bool] | None = None,
) -> Callable[..., Any]:
    """Lift `jax.checkpoint` to functions of a scope: recompute in the backward pass, do not store.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.
      concrete: JAX no longer supports True and says so.
      prevent_cse: keep the compiler from merging the recomputation with the first computation.
      static_argnums: the positions of arguments that are not traced; the first argument after the
        scope has position 0.
      policy: which intermediate values to store after all, from `jax.checkpoint_policies`.

    Returns:
      A function ``(scope, *args, **kwargs)``.
    """
    lift = Lift((variables,), (variables,), (rngs,), "remat")
    static = tuple(i + 2 if i >= 0 else i for i in _as_tuple(static_argnums))
    options: dict[str, Any] = {"concrete": concrete} if concrete else {}

    def rematted(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing:

            def traced(variables: Any, rngs: Any, *args: Any, **kwargs: Any) -> Any:
                inner = crossing.enter(variables, rngs)
                y = fn(inner, *args, **kwargs)
                return y, crossing.leave(inner)

            recomputed = jax.checkpoint(
                traced, prevent_cse=prevent_cse, policy=policy, static_argnums=static, **options
            )
            y, written = recomputed(crossing.variables, crossing.rngs, *args, **kwargs)
            crossing.commit(written)
            return y

    return rematted


checkpoint = remat


def fold_rngs(
    fn: Callable[..., Any], variables: Filter = True, rngs: Filter = True
) -> Callable[..., Any]:
    """Derive random keys as `jit` does, without compiling.

    Args:
      fn: called as ``fn(scope, hash_key, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      A function ``(scope, hash_key, *args, **kwargs)``.
    """
    lift = Lift((variables,), (variables,), (rngs,), "fold_rngs")

    def folded(scopes: Scopes, hash_key: Hashable, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing:
            inner = crossing.enter(crossing.variables, _without_paths(crossing.rngs))
            y = fn(inner, hash_key, *args, **kwargs)
            crossing.commit(crossing.leave(inner))
            return y

    return folded


def id_fn(x: Any) -> Any:
    """Return what it is given: the mapping that changes nothing."""
    return x


def map_variables(
    fn: Callable[..., Any],
    mapped_collections: Filter,
    map_in_fn: Callable[[Any], Any] = id_fn,
    map_out_fn: Callable[[Any], Any] = id_fn,
    init: bool = False,
    mutable: bool = False,
    rngs: Filter = True,
    variables: Filter = True,
) -> Callable[..., Any]:
    """Let a function of a scope see collections through a mapping.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      mapped_collections: the collections to map.
      map_in_fn: from a dictionary of the collections outside to the one that `fn` sees.
      map_out_fn: from what `fn` leaves behind to what is stored outside.
      init: while the collections may be written, run `fn` once without the mapping to make its
        variables, store them through `map_out_fn`, and run it again.
      mutable: whether `fn` may write the mapped collections.
      rngs: the random streams that `fn` may use.
      variables: the other collections that `fn` may use.

    Returns:
      A function ``(scope, *args, **kwargs)``.
    """
    writable = mutable or init
    others = subtract_filters(variables, mapped_collections)
    lift = Lift(
        (mapped_collections, others),
        (mapped_collections if writable else False, others),
        (rngs,),
        "map_variables",
    )

    def mapped(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing:
            seen, rest = crossing.variables
            if init and any(_any_mutable(scope, mapped_collections) for scope in crossing.roots):
                inner = crossing.enter((_copy(seen), _copy(rest)), crossing.rngs)
                fn(inner, *args, **kwargs)
                seen = tuple(map_out_fn(part) for part in crossing.leave(inner)[0])
            seen = tuple(map_in_fn(part) for part in seen)
            inner = crossing.enter((seen, rest), crossing.rngs)
            y = fn(inner, *args, **kwargs)
            left, written = crossing.leave(inner)
            if writable:
                stored = [map_out_fn(part) for part in left]
                left = tuple(
                    {col: v for col, v in part.items() if scope.is_mutable_collection(col)}
                    for scope, part in zip(crossing.roots, stored, strict=True)
                )
            crossing.commit((left, written))
            return y

    return mapped


def _any_mutable(scope: Any, collections: Filter) -> bool:
    names = scope._tree.variables
    if any(in_filter(collections, col) and scope.is_mutable_collection(col) for col in names):
        return True
    complement, listed = normal_form(collections)
    return complement or any(scope.is_mutable_collection(col) for col in listed)


def _copy(group: Group) -> Group:
    return jax.tree.map(id_fn, group)


def swap_collection(fn: Callable[..., Any], col_a: str, col_b: str) -> Callable[..., Any]:
    """Let a function of a scope see two collections under each other's name.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      col_a: one collection.
      col_b: the other.

    Returns:
      A function ``(scope, *args, **kwargs)``. It may write a collection if that is allowed under
      both names.
    """
    names = {col_a: col_b, col_b: col_a}

    def swap(collections: Mapping[str, Any]) -> dict[str, Any]:
        return {names[col]: part for col, part in collections.items()}

    return map_variables(fn, (col_a, col_b), swap, swap, mutable=True)
