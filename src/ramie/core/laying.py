"""First values of variables, made where they are to lie on a mesh."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

__all__ = ["laid", "made", "target"]


def target(mesh: Any, spec: Sequence[Any] | None) -> NamedSharding | None:
    """Say how the first value of a variable is to lie, if that can be said.

    Args:
      mesh: the mesh that the variable names; None stands for that of the `jax.set_mesh` around.
      spec: the mesh axes of each dimension.

    Returns:
      The sharding; or None without a mesh, without mesh axes, and for names that are none of it.
    """
    if spec is None or not any(axes is not None for axes in spec):
        return None
    if mesh is None:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty or mesh.manual_axes:
            return None
        with contextlib.suppress(ValueError):  # in a trace, where the axes are enough
            mesh = jax.sharding.get_mesh()
    try:
        return NamedSharding(mesh, PartitionSpec(*spec))
    except (ValueError, TypeError):  # where the variable is placed, JAX says what is wrong
        return None


def made(
    init_fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    sharding: NamedSharding | None,
) -> Any:
    """Return `init_fn(*args, **kwargs)`, laid out from the beginning where that is possible.

    Where it is not, as for functions of a user, the value is as the function returns it.

    Args:
      init_fn: the initializer. One that can draw in place has a method `laid_out`.
      args: its arguments.
      kwargs: see above.
      sharding: how the result is to lie, or None.
    """
    if sharding is not None and not kwargs and 2 <= len(args) <= 3:
        laid_out = getattr(init_fn, "laid_out", None)
        value = None if laid_out is None else laid_out(sharding, *args)
        if value is not None:
            return value
    return init_fn(*args, **kwargs)


def laid(value: Any, sharding: NamedSharding | None) -> Any:
    """Lay a first value out, unless a compiler will do so.

    Args:
      value: an array, or anything else, which stays as it is.
      sharding: how it is to lie, or None.
    """
    if sharding is None or not isinstance(value, jax.Array | np.ndarray):
        return value
    kinds = set(sharding.mesh.axis_types)
    if len(sharding.spec) > value.ndim or len(kinds) != 1:
        return value
    if kinds == {AxisType.Explicit}:
        return jax.sharding.reshard(value, sharding)
    if isinstance(value, jax.core.Tracer) or isinstance(sharding.mesh, jax.sharding.AbstractMesh):
        return value
    return jax.device_put(value, sharding)
