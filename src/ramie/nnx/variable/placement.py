"""Where the value of a variable lies on a mesh, as its metadata says."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format
from jax.sharding import AxisType, NamedSharding, PartitionSpec, Sharding

from ramie.core import laying
from ramie.core.constraints import constrained
from ramie.core.sharding import get_logical_axis_rules
from ramie.nnx.modes import use_eager_sharding

__all__ = ["REMEDY", "initial_sharding", "mesh_of", "partition_spec", "placed", "placed_on"]

REMEDY = (
    "Give the name a rule, which says a mesh axis or None: inside `with nnx.logical_axis_rules("
    '[("embed", "data")]):`, or as sharding_rules=... of the variable. A name without a rule is '
    "taken for a mesh axis."
)
"""What to do about a name that is no axis of the mesh."""


def _rules(own: Any) -> dict[Any, Any]:
    """Join the rules in force with those of a variable.

    Raises:
      ValueError: if they contradict one another.
    """
    joined = dict(get_logical_axis_rules() or ())
    for name, axes in own or ():
        if name in joined and joined[name] != axes:
            raise ValueError(
                f"Inconsistent logical axis annotations for {name}: {joined[name]} vs {axes}. The "
                "first is a rule in force here, the second one of the variable's sharding_rules."
            )
        joined[name] = axes
    return joined


def partition_spec(metadata: Mapping[str, Any]) -> PartitionSpec | None:
    """Return the mesh axes of each dimension: `out_sharding`, with logical names translated.

    Args:
      metadata: of a variable. Rules in force and the entry `sharding_rules` translate names; a
        name without a rule is a mesh axis.

    Returns:
      The spec, or None if the metadata says nothing.
    """
    names: Any = metadata.get("out_sharding")
    if names is None:
        return None
    if isinstance(names, Format):
        names = names.sharding
    if isinstance(names, NamedSharding):
        return names.spec
    rules = _rules(metadata.get("sharding_rules"))
    if not rules:
        return names if isinstance(names, PartitionSpec) else PartitionSpec(*names)
    return PartitionSpec(*(_translated(name, rules) for name in names))


def _translated(name: Any, rules: Mapping[Any, Any]) -> Any:
    if not isinstance(name, tuple):
        return rules.get(name, name)
    found: list[Any] = []
    for inner in name:
        part = _translated(inner, rules)
        found += part if isinstance(part, tuple) else () if part is None else (part,)
    return tuple(found)


def mesh_of(metadata: Mapping[str, Any]) -> Any:
    """Return the entry `mesh`, or else the surrounding mesh, or None where there is none.

    Args:
      metadata: of a variable.
    """
    mesh = metadata.get("mesh")
    if mesh is not None:
        return mesh
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return None
    try:  # only the mesh with its devices takes arrays that lie on another one so far
        return jax.sharding.get_mesh()
    except ValueError:  # JAX is tracing
        return mesh


def initial_sharding(metadata: Mapping[str, Any]) -> NamedSharding | None:
    """Return how the first value of a variable will be placed, as far as that is known before.

    Args:
      metadata: of the variable; a value that turns out to lie elsewhere is placed again.
    """
    names = metadata.get("out_sharding")
    if names is None or not metadata.get("eager_sharding", True):
        return None
    if not use_eager_sharding.current_value() or isinstance(names, Format):
        return None
    if isinstance(names, Sharding):
        return names if isinstance(names, NamedSharding) else None
    spec: Any = partition_spec(metadata)
    return laying.target(metadata.get("mesh"), spec)


def placed(value: Any, metadata: Mapping[str, Any], what: str) -> Any:
    """Place a value by the entry `out_sharding`, unless the entry `eager_sharding` is off.

    Args:
      value: an array, or a pytree of arrays; leaves without a shape stay as they are.
      metadata: of the variable. An entry `mesh` is used before the surrounding mesh.
      what: what to call the variable in a message.

    Raises:
      ValueError: if there is no mesh, or none of its axes has a name that no rule translates.
    """
    names = metadata.get("out_sharding")
    if names is None or not metadata.get("eager_sharding", True):
        return value
    target: Any = names
    try:
        if not isinstance(names, Sharding | Format):
            target = _target(metadata, what)
        return jax.tree.map(lambda leaf: placed_on(leaf, target), value)
    except Exception as error:
        error.add_note(f"While laying out {_described(what, names)}")
        raise


def _target(metadata: Mapping[str, Any], what: str) -> NamedSharding:
    """Say where a variable lies whose metadata names axes.

    Raises:
      ValueError: see `placed`.
    """
    names, mesh = metadata["out_sharding"], mesh_of(metadata)
    if mesh is None:
        raise ValueError(
            f"An auto mesh context or metadata is required to make a {what} with "
            f"out_sharding={names!r}: make it inside `with jax.set_mesh(mesh):` (shapes on a "
            "mesh without devices: `with jax.sharding.use_abstract_mesh(mesh):`), give it "
            "mesh=..., or switch the placing off with eager_sharding=False."
        )
    spec = partition_spec(metadata) or PartitionSpec()
    laying.check_axes(spec, mesh, f"A {what} with out_sharding={names!r}", REMEDY)
    return NamedSharding(mesh, spec)


def _described(what: str, names: Any) -> str:
    """Name a variable by its kind, its metadata, and the objects that are being made around it."""
    outer = ", in ".join(_constructed())
    return f"{what} with out_sharding={names!r}{outer and f', in {outer}'}"


def _constructed() -> Iterator[str]:
    """List the classes of objects whose constructors run, the innermost first."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_argcount:
            kind = type(frame.f_locals.get(code.co_varnames[0]))
            if hasattr(kind, "_pytree__declared"):
                yield kind.__name__
        frame = frame.f_back


def placed_on(value: Any, target: Any) -> Any:
    """Place one array.

    Args:
      value: an array, the description of one, or anything else, which stays as it is.
      target: a sharding or format.
    """
    if isinstance(value, jax.ShapeDtypeStruct):
        sharding = target.sharding if isinstance(target, Format) else target
        return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding)
    if not isinstance(value, jax.Array | np.ndarray):
        return value
    if not isinstance(target, NamedSharding):
        # On a CPU device_put keeps a view of host memory, which its owner may write to again.
        return jax.device_put(np.array(value) if isinstance(value, np.ndarray) else value, target)
    kinds = set(target.mesh.axis_types)
    if kinds == {AxisType.Explicit}:
        return jax.sharding.reshard(value, target)
    if AxisType.Explicit in kinds:  # the type says the ones, the compiler is told of the others
        mesh: Any = target.mesh
        return constrained(value, target.spec, mesh)
    return jax.lax.with_sharding_constraint(value, target)
