"""Laying arrays out on a mesh whose axes the compiler chooses, or types say, or both."""

import functools
import itertools
import warnings
from collections.abc import Iterable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramie.core import laying
from ramie.core.tracing.trace import in_deprecated_mesh

__all__ = ["constrained", "has_mesh"]

_UNCONSTRAINED = PartitionSpec.UNCONSTRAINED


def has_mesh(mesh: Mesh | None = None) -> bool:
    """Tell whether arrays can be laid out: by a mesh that is given, or by a surrounding one.

    Inside of `with mesh:`, which is none of these, a warning says so once.

    Args:
      mesh: the mesh, if one is given.
    """
    if mesh is not None or not jax.sharding.get_abstract_mesh().empty:
        return True
    if in_deprecated_mesh():
        _say_that_nothing_happens()
    return False


def constrained(x: Any, spec: PartitionSpec, mesh: Mesh | None = None) -> Any:
    """Lay arrays out by mesh axes.

    Of a mesh with automatic axes this constrains what the compiler chooses; where axes are
    explicit, arrays are moved. Without a mesh nothing happens.

    Args:
      x: an array, or a tree of arrays.
      spec: mesh axes for each dimension.
      mesh: the mesh; by default the one of the surrounding `jax.set_mesh`.

    Raises:
      ValueError: if the spec names what is no axis of the mesh.

    Example:
      >>> import jax.numpy as jnp
      >>> constrained(jnp.ones(2), PartitionSpec("data")).shape
      (2,)
    """
    if not has_mesh(mesh):
        return x
    around: Any = jax.sharding.get_abstract_mesh() if mesh is None else mesh
    laying.check_axes(spec, around, "An array")
    if not around.explicit_axes:
        target = spec if mesh is None else NamedSharding(mesh, spec)
        return jax.lax.with_sharding_constraint(x, target)
    return jax.tree.map(lambda leaf: _moved(leaf, spec, around), x)


def _moved(x: Any, spec: PartitionSpec, mesh: Any) -> Any:
    present = jax.typeof(x).sharding
    known = tuple(present.spec) if present.mesh.explicit_axes else ()
    pairs = itertools.zip_longest(spec, known)
    wanted = [now if names is _UNCONSTRAINED else names for names, now in pairs]
    explicit = PartitionSpec(*(_only(names, mesh.explicit_axes) for names in wanted))
    x = jax.sharding.reshard(x, NamedSharding(mesh, explicit))
    automatic = [
        _UNCONSTRAINED if names is _UNCONSTRAINED else _only(names, mesh.auto_axes)
        for names in spec
    ]
    if not any(names is not None and names is not _UNCONSTRAINED for names in automatic):
        return x
    if not isinstance(x, jax.core.Tracer):  # outside of jit the constraint forgets explicit axes
        return _kept_to(x, mesh, explicit, PartitionSpec(*automatic))
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*automatic)))


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _kept_to(x: Any, mesh: Any, explicit: PartitionSpec, automatic: PartitionSpec) -> Any:
    x = jax.lax.with_sharding_constraint(x, NamedSharding(mesh, automatic))
    return jax.sharding.reshard(x, NamedSharding(mesh, explicit))


def _only(names: Any, axes: Iterable[str]) -> Any:
    """Return those of a dimension's mesh axes that are among some; None if there is none."""
    kept = tuple(name for name in (names if isinstance(names, tuple) else (names,)) if name in axes)
    return kept[0] if len(kept) == 1 else kept or None


@functools.cache
def _say_that_nothing_happens() -> None:
    warnings.warn(
        "Constraints by axis names have no effect inside `with mesh:`, which JAX has deprecated. "
        "Write `with jax.set_mesh(mesh):` in its place.",
        UserWarning,
        stacklevel=3,
    )
