"""Which arrays nobody else can reach, so that their memory may be used for something else.

Two questions are asked of an array. *Does something else hold the object?* A name, a list, another
module, a closure that was compiled, a view of NumPy: each is a reference, and CPython counts them.
*Is there another object over the same memory?* `jax.device_put` to where an array lies already,
its shards, and `jax.make_array_from_single_device_arrays` make such, without a reference to what
they share. JAX lists all arrays that live, so they are found there by their address.

What only borrows the memory, an array of NumPy or of DLPack, needs no answer on the CPU: JAX
refuses to give away what is borrowed and copies instead, and it never writes to memory of others.
"""

import sys
import sysconfig
from collections import deque
from collections.abc import Sequence
from itertools import compress
from operator import attrgetter, methodcaller
from typing import Any

import jax
import jax.numpy as jnp

from ramie.typing import Array, Shape

__all__ = ["can_tell", "copied", "counts", "held", "is_plain"]

_aval = attrgetter("aval")
_address = methodcaller("unsafe_buffer_pointer")
_jax_config: Any = jax.config


def counts(items: Sequence[Any]) -> list[int]:
    """Return how many references there are to each item, that of the sequence among them."""
    return list(map(sys.getrefcount, items))


def _count_of_a_lone_item() -> int | None:
    """Return what `counts` says of an item that only the sequence holds; None if it does not count.

    Python without a global lock keeps counts that lag behind.
    """
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    (alone,) = counts([object()])
    shared = [object()]
    other = shared[0]
    (more,) = counts(shared)
    del other
    return alone if more == alone + 1 else None


_LONE = _count_of_a_lone_item()


def can_tell() -> bool:
    """Tell whether `held` knows anything, here and now.

    Not where references are not counted exactly; nor while NaNs are looked for, since JAX then runs
    a program again with the arguments it had.
    """
    return _LONE is not None and not (
        _jax_config.jax_disable_jit or _jax_config.jax_debug_nans or _jax_config.jax_debug_infs
    )


def is_plain(arrays: Sequence[Any]) -> bool:
    """Tell whether all items are arrays on devices: no tracers, keys, numbers or other trees."""
    kinds = set(map(type, arrays))
    return len(kinds) == 1 and kinds.pop() is _kind_of_arrays()


def _kind_of_arrays() -> type:
    global _kind
    if _kind is None:
        _kind = type(jnp.zeros(()))
    return _kind


_kind: type | None = None


def held(arrays: Sequence[Any], others: int) -> list[int]:
    """Return the positions of the arrays that something else can reach.

    Args:
      arrays: plain arrays, see `is_plain`, none of them deleted. The sequence is one holder.
      others: how many further references the caller knows of, to each array.

    Returns:
      The positions, in order. Where it cannot be told, the position is among them.

    Example:
        >>> kept = jnp.arange(3.0)
        >>> arrays = [jnp.ones(2), kept]
        >>> held(arrays, others=0)
        [1]
    """
    if _LONE is None:
        return list(range(len(arrays)))
    found = counts(arrays)
    expected = _LONE + others
    if found == [expected] * len(arrays):
        return _aliased(arrays)
    lone = [i for i, count in enumerate(found) if count == expected]
    aliased = {lone[i] for i in _aliased([arrays[i] for i in lone])} if lone else set()
    return [i for i, count in enumerate(found) if count != expected or i in aliased]


def _aliased(arrays: Sequence[Any]) -> list[int]:
    """Return the positions of the arrays that share memory with another living array.

    Args:
      arrays: no two are the same.
    """
    live = jax.live_arrays(next(iter(arrays[0].devices())).platform)
    rest = dict(zip(map(id, live), live, strict=True))
    try:
        deque(map(rest.pop, map(id, arrays)), maxlen=0)
    except KeyError:  # not all are listed, so others may be missing as well
        return list(range(len(arrays)))
    others = list(rest.values())
    shares = _shares_on_several if jax.device_count() > 1 else _shares
    return shares(arrays, others)


def _shares(arrays: Sequence[Any], others: Sequence[Any]) -> list[int]:
    """Do the work of `_aliased` where all arrays lie on one device: many at once, in C."""
    # The memory of two arrays is the same or apart, and what shares it has the same form.
    shapes = {x.shape for x in set(map(_aval, arrays))}
    kinds = list(map(_aval, others))
    alike = {x for x in set(kinds) if x.shape in shapes}
    if not alike:
        return []
    suspects = list(compress(others, map(alike.__contains__, kinds)))
    try:
        places = set(map(_address, suspects))
    except RuntimeError:  # one lies in parts
        return _shares_on_several(arrays, suspects)
    own = list(map(_address, arrays))
    if places.isdisjoint(own):
        return []
    return [i for i, place in enumerate(own) if place in places]


def _shares_on_several(arrays: Sequence[Any], others: Sequence[Any]) -> list[int]:
    """Do the work of `_aliased` where arrays may lie on several devices, in parts.

    Where another array has parts of the same shape, the look itself makes JAX remember parts, and
    the next look takes the array for one that is held: it is copied then, which is safe.
    """
    shapes = set(map(_part_shape, arrays))
    suspects = [x for x in others if _part_shape(x) in shapes]
    # JAX remembers the parts of an array that was asked for them, and they are aliases then.
    places: set[int] = set().union(*map(_addresses, suspects))
    if not places:
        return []
    return [i for i, x in enumerate(arrays) if not places.isdisjoint(_addresses(x))]


def _part_shape(array: Any) -> Shape | None:
    """Return the shape of the part of an array on one device; None where parts differ."""
    try:
        return tuple(array.sharding.shard_shape(array.shape))
    except (TypeError, ValueError):
        return None


def _addresses(array: Any) -> set[int]:
    """Return where the parts of an array lie; nowhere if they are gone."""
    try:
        if len(array.devices()) == 1:
            return {array.unsafe_buffer_pointer()}
        return {part.data.unsafe_buffer_pointer() for part in array.addressable_shards}
    except RuntimeError:
        return set()


def copied(array: Array) -> Any:
    """Return a copy of an array in memory of its own, that a compiled program takes in its place.

    It lies where the array lies, and is as free to be moved. Nothing is sent to other processes.

    Example:
        >>> x = jnp.arange(3.0)
        >>> copied(x).unsafe_buffer_pointer() == x.unsafe_buffer_pointer()
        False
    """
    x: Any = array
    # `jnp.array` would compute, and under a mesh everything is computed on the devices of the mesh.
    if len(x.devices()) == 1:
        # Placing commits an array, and a committed one is another argument to a compiled program.
        target = x.sharding if x.committed else None
        return jax.device_put(x, target, may_alias=False)
    parts = [
        jax.device_put(part.data, part.data.sharding, may_alias=False)
        for part in x.addressable_shards
    ]
    return jax.make_array_from_single_device_arrays(x.shape, x.sharding, parts)
