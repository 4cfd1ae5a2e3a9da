"""Meshes with explicit axes: where the result of an operation lies when JAX asks for it.

Under `jax.set_mesh` of a mesh as `jax.make_mesh` makes it, the type of an array says how it is laid
out, and JAX refuses what leaves open how the result would be: a table lookup, a kernel that is
divided over the axis of the batch. The operation then runs with these axes left to the compiler,
and its result is laid out by one rule for all operations (see `laid_out`).
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ramie.typing import Array

__all__ = [
    "GATHERED",
    "Source",
    "explicit_mesh",
    "is_about_sharding",
    "is_explicit",
    "laid_again",
    "laid_by",
    "laid_like",
    "laid_out",
    "made_whole",
    "mentions_sharding",
    "note_remedy",
    "of_product",
    "on_several_axes",
    "spread",
    "whole_along",
]

F = TypeVar("F", bound=Callable[..., Any])

GATHERED = "gathered"
"""Stands for an axis that becomes none of the result and is made whole first."""

Source = tuple[Any, Sequence[int | str | None]]
"""An array, and for each of its axes that of the result which it becomes, or None."""

# A type as JAX writes it: float32[4@data,8].
_DIVIDED = re.compile(r"\w\[[^\]]*@")
_Sources = Iterable[Sequence[Source]]


def is_about_sharding(error: BaseException) -> bool:
    """Tell whether JAX raised an error because of how arrays are laid out."""
    return type(error).__name__ == "ShardingTypeError"  # it has no public name


def mentions_sharding(error: BaseException) -> bool:
    """Tell whether an error is about how arrays are laid out, or names an array that is divided."""
    if is_about_sharding(error):
        return True
    return isinstance(error, TypeError | ValueError) and bool(_DIVIDED.search(str(error)))


def note_remedy(error: BaseException) -> None:
    """Say under an error of JAX about how arrays are laid out what to do.

    Args:
      error: any error; others are left alone.
    """
    if not mentions_sharding(error):
        return
    if "jax.set_mesh" in str(error):
        error.add_note(
            "Arrays on explicit mesh axes came where no mesh was set. Call it inside `with "
            "jax.set_mesh(mesh):`, with the mesh of the arrays."
        )
    else:
        error.add_note(
            "On explicit mesh axes the types of arrays have to say how a result is laid out. Give "
            "the operation out_sharding=PartitionSpec(...), or move an operand before it with "
            "jax.sharding.reshard(x, PartitionSpec(...)); layers of the library do so themselves."
        )


def _sharding(x: Any) -> NamedSharding | None:
    """Return the part of an array's type that says how it lies on explicit axes, if any."""
    if not isinstance(x, jax.Array):
        return None
    sharding = jax.typeof(x).sharding
    return sharding if sharding.mesh.explicit_axes else None


def explicit_mesh(arrays: Any) -> Any:
    """Return the mesh of the first array of a tree that lies on explicit axes; None without one.

    Args:
      arrays: any pytree.
    """
    found = (_sharding(x) for x in jax.tree.leaves(arrays))
    return next((sharding.mesh for sharding in found if sharding is not None), None)


def is_explicit(sharding: Any, *arrays: Any) -> bool:
    """Tell whether a layout can be asked of an operation: whether there are explicit axes.

    Args:
      sharding: the layout; a `NamedSharding` brings its mesh.
      *arrays: the operands, which count where there is no mesh around.
    """
    mesh = getattr(sharding, "mesh", None) or jax.sharding.get_abstract_mesh()
    return bool(mesh.explicit_axes) or explicit_mesh(arrays) is not None


def on_several_axes(*arrays: Any) -> bool:
    """Tell whether there is a mesh that divides arrays along more than one of its axes.

    Args:
      *arrays: whose explicit axes count where there is no mesh around.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        mesh = explicit_mesh(arrays)
    if mesh is None:
        return False
    kinds = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
    return sum(size > 1 and kind is not AxisType.Manual for size, kind in kinds) > 1


def _as_tuple(names: Any) -> tuple[str, ...]:
    if names is None or names is PartitionSpec.UNCONSTRAINED:
        return ()
    return names if isinstance(names, tuple) else (names,)


def _spec(shape: Sequence[int], sources: Sequence[Source], mesh: Any) -> PartitionSpec:
    """Take for each axis of a result the mesh axes of what it comes from: the first sources first.

    A mesh axis is used once, and not where it does not divide the size.
    """
    found: list[Any] = [None] * len(shape)
    used: set[str] = set()
    for array, axes in sources:
        sharding = _sharding(array)
        spec = () if sharding is None else tuple(sharding.spec)
        for axis, names in zip(axes, spec, strict=False):
            wanted = _as_tuple(names)
            if not isinstance(axis, int) or not wanted or found[axis] or used & set(wanted):
                continue
            if shape[axis] % math.prod(mesh.shape[name] for name in wanted) == 0:
                found[axis] = names
                used.update(wanted)
    return PartitionSpec(*found)


def spread(x: Any, ndim: int) -> Source:
    """Return an array that is broadcast to a result of `ndim` axes as one of its sources."""
    missing = ndim - getattr(x, "ndim", 0)
    return x, range(missing, ndim)


def of_product(lhs: Array, rhs: Array, *, dimension_numbers: Any, **_: Any) -> _Sources:
    """Return the sources of a product, for `laid_out`.

    Args:
      lhs: the first factor.
      rhs: the second factor.
      dimension_numbers: see `jax.lax.dot_general`.
    """
    places: list[list[int | None]] = [[None] * lhs.ndim, [None] * rhs.ndim]
    contracted, batched = dimension_numbers
    count = len(batched[0])
    for axes, summed, shared in zip(places, contracted, batched, strict=True):
        for place, axis in enumerate(shared):
            axes[axis] = place
        for axis in range(len(axes)):
            if axis not in summed and axis not in shared:
                axes[axis] = count
                count += 1
    return [[(lhs, places[0]), (rhs, places[1])]]


def _broadcast(*arrays: Any, **_: Any) -> _Sources:
    ndim = max(getattr(x, "ndim", 0) for x in arrays)
    return [[spread(x, ndim) for x in arrays]]


def laid_out(sources: Callable[..., _Sources] = _broadcast) -> Callable[[F], F]:
    """Say where the results of an operation lie on explicit mesh axes, if JAX cannot tell.

    Nothing changes where JAX can. Where it raises, each axis of a result is divided as the axis
    that it comes from: of the first argument that is divided there, as far as no other axis of the
    result has the same mesh axis; what is summed over is whole. Explicit axes of the mesh are left
    to the compiler for as long as the operation runs.

    Args:
      sources: called with the arguments; returns for each result, in the order of a tree's leaves,
        the arrays that it comes from. Results that are left out are whole. By default the
        arguments are broadcast to one result.

    Returns:
      A decorator for functions ``f(*arrays, **settings)``. A setting `out_sharding` of the
      operation takes the place of the rule.

    Example:
      >>> import jax.numpy as jnp
      >>> @laid_out()
      ... def difference(a, b):
      ...     return a - b
      >>> int(difference(jnp.array(3), jnp.array(1)))
      2
    """

    def decorate(fn: F) -> F:
        @functools.wraps(fn)
        def call(*arrays: Any, **settings: Any) -> Any:
            try:
                result = fn(*arrays, **settings)
                wanted = settings.get("out_sharding")
                return result if wanted is None else _as_wanted(result, wanted)
            except Exception as error:
                mesh = explicit_mesh(arrays) if is_about_sharding(error) else None
                if mesh is None:
                    raise
            return _left_to_compiler(fn, sources, mesh, arrays, settings)

        return call  # type: ignore[return-value]

    return decorate


def _left_to_compiler(
    fn: Callable[..., Any],
    sources: Callable[..., _Sources],
    mesh: Any,
    arrays: tuple[Any, ...],
    settings: dict[str, Any],
) -> Any:
    wanted = settings.get("out_sharding")
    rest = {name: value for name, value in settings.items() if name != "out_sharding"}
    parts_of = list(sources(*arrays, **rest))
    leaves, structure = jax.tree.flatten(_gathered(arrays, parts_of))
    places = [i for i, leaf in enumerate(leaves) if _sharding(leaf) is not None]
    divided = [leaves[i] for i in places]

    def run(*parts: Any) -> Any:
        filled = list(leaves)
        for place, part in zip(places, parts, strict=True):
            filled[place] = part
        return fn(*jax.tree.unflatten(structure, filled), **rest)

    def with_result(out_sharding: Any) -> Callable[..., Any]:
        return jax.sharding.auto_axes(run, axes=mesh.explicit_axes, out_sharding=out_sharding)

    if wanted is not None:
        return with_result(_on(mesh, wanted))(*divided)
    shapes = jax.eval_shape(with_result(NamedSharding(mesh, PartitionSpec())), *divided)
    results, form = jax.tree.flatten(shapes)
    parts_of += [()] * (len(results) - len(parts_of))
    layouts = [
        NamedSharding(mesh, _spec(result.shape, parts, mesh))
        for result, parts in zip(results, parts_of, strict=False)
    ]
    return with_result(jax.tree.unflatten(form, layouts))(*divided)


def _gathered(arrays: tuple[Any, ...], parts_of: _Sources) -> tuple[Any, ...]:
    """Make arrays whole along the axes for which sources say so."""
    wanted = {id(x): axes for parts in parts_of for x, axes in parts if GATHERED in axes}

    def whole(x: Any) -> Any:
        sharding, axes = _sharding(x), wanted.get(id(x))
        if sharding is None or axes is None:
            return x
        kept = zip(sharding.spec, axes, strict=False)
        spec = PartitionSpec(*(None if axis == GATHERED else names for names, axis in kept))
        return jax.sharding.reshard(x, NamedSharding(sharding.mesh, spec))

    return tuple(map(whole, arrays))


def _as_wanted(result: Array, wanted: Any) -> Array:
    """Lay a result out as the caller says, where adding a bias has changed that."""
    sharding = _sharding(result)
    return result if sharding is None else jax.sharding.reshard(result, _on(sharding.mesh, wanted))


def _on(mesh: Any, out_sharding: Any) -> Any:
    if isinstance(out_sharding, PartitionSpec):
        return NamedSharding(mesh, out_sharding)
    return out_sharding


def laid_by(x: Array, sources: Sequence[Source]) -> Array:
    """Lay a result out as `laid_out` says, where JAX takes another layout for right.

    Args:
      x: the result.
      sources: what it comes from.
    """
    mesh = explicit_mesh([array for array, _ in sources])
    if mesh is None:
        return x
    return jax.sharding.reshard(x, NamedSharding(mesh, _spec(x.shape, sources, mesh)))


def laid_like(tree: Any, like: Any, axes: Sequence[int]) -> Any:
    """Lay arrays out along their first axes as another one is along some of its own.

    Args:
      tree: a tree of arrays, which begin with these axes. Those that are divided already stay.
      like: the other array. Nothing happens unless it lies on explicit mesh axes.
      axes: axes of the other array.
    """
    sharding = _sharding(like)
    if sharding is None:
        return tree
    spec = PartitionSpec(*(sharding.spec[axis] for axis in axes))
    target = NamedSharding(sharding.mesh, spec)

    def laid(x: Any) -> Any:
        own = _sharding(x)
        stays = own is not None and any(own.spec)
        return x if stays or getattr(x, "ndim", -1) < len(axes) else jax.sharding.reshard(x, target)

    return jax.tree.map(laid, tree)


def laid_again(new: Array, old: Array) -> Array:
    """Return an array laid out on explicit mesh axes as the one was in whose place it comes.

    Args:
      new: an array.
      old: another one, of the same shape.
    """
    before, now = _sharding(old), _sharding(new)
    if before is None or now is None or before.spec == now.spec:
        return new
    return jax.sharding.reshard(new, before)


def made_whole(x: Array) -> Array:
    """Return an array that lies whole on every device along explicit mesh axes.

    Args:
      x: the array, usually a small one.
    """
    sharding = _sharding(x)
    if sharding is None or not any(sharding.spec):
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec()))


def whole_along(x: Array, axis: int) -> Array:
    """Return an array that is whole along an axis, if explicit mesh axes divide it there.

    Args:
      x: the array.
      axis: which axis, from 0.
    """
    sharding = _sharding(x)
    if sharding is None or sharding.spec[axis] is None:
        return x
    spec = (names if number != axis else None for number, names in enumerate(sharding.spec))
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec(*spec)))
