"""First values of variables, made where they are to lie on a mesh."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

__all__ = ["check_axes", "laid", "made", "sharding_at", "target"]

REMEDY = (
    "The names of nn.with_partitioning are mesh axes. nn.with_logical_partitioning and "
    "nn.with_logical_constraint take logical names: rules translate these into mesh axes, or into "
    "None for an axis that is not divided."
)
"""What to do about names of Linen."""


def check_axes(spec: Iterable[Any], mesh: Any, what: str, remedy: str = REMEDY) -> None:
    """Refuse names that are no axes of a mesh.

    Args:
      spec: the mesh axes of each dimension.
      mesh: the mesh.
      what: what is laid out, to begin a sentence with.
      remedy: what to do about it.

    Raises:
      ValueError: if there is such a name.
    """
    for names in spec:
        if names is None or names is PartitionSpec.UNCONSTRAINED:
            continue
        for name in names if isinstance(names, tuple) else (names,):
            if name not in mesh.axis_names:
                raise ValueError(
                    f"Resource axis: {name} of {PartitionSpec(*spec)} is not found in mesh: "
                    f"{mesh.axis_names}. {what} is to be divided over {name!r}, which is no axis "
                    f"of the mesh. {remedy}"
                )


def sharding_at(path: Any, mesh: Any, spec: PartitionSpec, remedy: str = REMEDY) -> NamedSharding:
    """Return a sharding for the leaf of a tree.

    Args:
      path: where it stands, as JAX says it.
      mesh: the mesh.
      spec: the mesh axes of each dimension.
      remedy: what to do about a name that is none of them.

    Raises:
      ValueError: if there is such a name.
    """
    place = jax.tree_util.keystr(path, simple=True, separator="/")
    check_axes(spec, mesh, f"The leaf at /{place}", remedy)
    return NamedSharding(mesh, spec)


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
    if len(sharding.spec) > value.ndim:
        return value
    if set(sharding.mesh.axis_types) == {AxisType.Explicit}:
        return jax.sharding.reshard(value, sharding)
    if isinstance(value, jax.core.Tracer) or isinstance(sharding.mesh, jax.sharding.AbstractMesh):
        return value
    return jax.device_put(value, sharding)
