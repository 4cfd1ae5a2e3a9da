"""Lifted functions that see their collections through a mapping: renamed, or computed anew."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from ramie.core.filters import Filter, in_filter, normal_form, subtract_filters
from ramie.core.lift.crossing import Group, Lift, Scopes

__all__ = ["id_fn", "map_variables", "swap_collection"]


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
                copies = _copy(seen), _copy(rest)
                _, (made, _) = crossing.run(fn, copies, crossing.rngs, *args, **kwargs)
                seen = tuple(map_out_fn(part) for part in made)
            seen = tuple(map_in_fn(part) for part in seen)
            y, (left, written) = crossing.run(fn, (seen, rest), crossing.rngs, *args, **kwargs)
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
