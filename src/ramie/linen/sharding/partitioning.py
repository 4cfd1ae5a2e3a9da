"""Logical axis names kept beside variables: the older of two ways to shard Linen models.

A parameter made with `param_with_axes` lies in ``params`` as a plain array, and the names of its
axes in the collection ``params_axes``. New code rather boxes the values themselves, see
`ramie.linen.with_logical_partitioning`.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

from ramie.core.filters import Filter
from ramie.core.lift.compilation import remat as core_remat_static
from ramie.core.scope.variables import Holder, Variable
from ramie.core.sharding import get_logical_axis_rules as get_axis_rules
from ramie.core.sharding import logical_axis_rules as axis_rules
from ramie.core.sharding import set_logical_axis_rules as set_axis_rules
from ramie.linen.machinery.context import context
from ramie.linen.module import Module
from ramie.linen.sharding.spmd import RulesFallback as RulesFallback
from ramie.linen.sharding.spmd import (
    is_logical_spec,
    with_logical_constraint,
    with_mesh_constraint,
)
from ramie.linen.sharding.spmd import logical_to_mesh as logical_to_mesh
from ramie.linen.sharding.spmd import logical_to_mesh_axes as logical_to_mesh_axes
from ramie.linen.transforms import mapping
from ramie.linen.transforms.targets import lift_target, lifted_by
from ramie.linen.transforms.views import map_variables
from ramie.trees import struct as struct
from ramie.trees.frozen import FrozenDict
from ramie.trees.frozen import freeze as freeze
from ramie.trees.frozen import unfreeze as unfreeze
from ramie.trees.nested import flatten_dict as flatten_dict
from ramie.trees.nested import unflatten_dict as unflatten_dict
from ramie.typing import In as ScanIn
from ramie.typing import Out as ScanOut

__all__ = [
    "AxisMetadata",
    "PartitionedVariable",
    "RulesFallback",
    "ScanIn",
    "ScanOut",
    "axis_rules",
    "core_remat_static",
    "get_axis_names",
    "get_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "param_with_axes",
    "remat",
    "scan_with_axes",
    "set_axis_rules",
    "variable_with_axes",
    "vmap_with_axes",
    "with_sharding_constraint",
]

Target = TypeVar("Target")

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})
_with_sharding_constraint = with_mesh_constraint  # a name that tests of other projects replace

with_sharding_constraint = with_logical_constraint


@struct.dataclass
class AxisMetadata:
    """The logical axis names of a variable: a pytree without leaves.

    Attributes:
      names: a name or None for each axis; a tree of such tuples for a variable that is a tree.
    """

    names: Any = struct.field(pytree_node=False)


# Variables with names ------------------------------------------------------------------------


class PartitionedVariable(Variable[Any]):
    """A handle on a variable whose value is constrained to its sharding when read and written.

    Args:
      scope: where the variable lies.
      collection: its collection.
      name: its name.
      axes: the logical names of its axes; None for no constraint.
      fallback: what to do with a name that no rule mentions.
    """

    __slots__ = ("axes", "fallback")

    def __init__(
        self,
        scope: Holder,
        collection: str,
        name: str,
        axes: tuple[str | None, ...] | None = None,
        fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
    ) -> None:
        super().__init__(scope, collection, name)
        self.axes = axes
        self.fallback = fallback

    def _constrained(self, value: Any) -> Any:
        if self.axes is None:
            return value
        return with_logical_constraint(value, self.axes, fallback=self.fallback)

    @property
    def value(self) -> Any:
        """The present value. Assigning needs a mutable collection."""
        return self._constrained(Variable.value.fget(self))  # type: ignore[attr-defined]

    @value.setter
    def value(self, value: Any) -> None:
        Variable.value.fset(self, self._constrained(value))  # type: ignore[attr-defined]


def _running_module(module: Module | None, name: str) -> Module:
    found = context.stack[-1] if module is None else module
    if found is None:
        raise ValueError(
            f"No module is running whose variable {name!r} this could be: call it in setup() or in "
            "a compact method, or pass the module as module=."
        )
    return found


def _spelled_out(names: Any) -> Any:
    """Drop names at the end that say nothing, since it depends on the shape how many there are."""

    def trimmed(spec: Any) -> Any:
        if not is_logical_spec(spec):
            return spec
        end = len(spec)
        while end and spec[end - 1] is None:
            end -= 1
        return tuple(spec[:end])

    return jax.tree.map(trimmed, names, is_leaf=is_logical_spec)


def _same_names(held: Any, new: Any) -> Any:
    """Join the names that a collection has for a variable with those given now."""
    if not isinstance(new, AxisMetadata) or (held is not None and type(held) is not AxisMetadata):
        raise TypeError(f"Axis names come as AxisMetadata; found {held!r} and {new!r}.")
    if held is not None and _spelled_out(held.names) != _spelled_out(new.names):
        raise ValueError(
            "If axis names are sown twice, expected them to match. Got "
            f"{held} and {new}: use one set of names for a variable."
        )
    return new if held is None else held


def _keep_names(module: Module, col: str, name: str, axes: Any) -> None:
    module.sow(
        f"{col}_axes",
        f"{name}_axes",
        AxisMetadata(axes),
        reduce_fn=_same_names,
        init_fn=lambda: None,
    )


def param_with_axes(
    name: str,
    init_fn: Callable[..., Any],
    *init_args: Any,
    axes: Any = None,
    module: Module | None = None,
    **init_kwargs: Any,
) -> Any:
    """Define a parameter of the running module, with logical names for its axes.

    The names are kept in the collection ``params_axes``, if that may be written, and constrain the
    value's sharding where rules and a mesh are in force.

    Args:
      name: its name.
      init_fn: called in `init` as ``init_fn(key, *init_args, **init_kwargs)``.
      *init_args: usually a shape and a dtype.
      axes: a name or None for each axis; for a parameter that is a tree, a tree of such tuples.
        None keeps no names.
      module: the module, if not the one whose method is running.
      **init_kwargs: see above.

    Returns:
      The value.

    Raises:
      ValueError: if no module is running, or the module was given other names before.

    Example:
      >>> import jax, ramie.linen as nn
      >>> from ramie.linen import partitioning
      >>> class Scale(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         init = nn.initializers.ones_init()
      ...         return x * partitioning.param_with_axes("w", init, (3,), axes=("embed",))
      >>> variables = Scale().init(jax.random.key(0), jax.numpy.ones(3))
      >>> partitioning.get_axis_names(variables["params_axes"])["w"]
      P('embed',)
    """
    owner = _running_module(module, name)
    value = owner.param(name, init_fn, *init_args, **init_kwargs)
    if axes is None:
        return value
    value = with_logical_constraint(value, axes)
    _keep_names(owner, "params", name, axes)
    return value


def variable_with_axes(
    collection: str,
    name: str,
    init_fn: Callable[..., Any],
    *init_args: Any,
    axes: Any = None,
    module: Module | None = None,
    fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
    **init_kwargs: Any,
) -> PartitionedVariable:
    """Define a variable of the running module, with logical names for its axes.

    The names are kept in the collection `collection` with ``_axes`` after its name.

    Args:
      collection: its collection.
      name: its name.
      init_fn: called in `init` as ``init_fn(*init_args, **init_kwargs)``.
      *init_args: see above.
      axes: see `param_with_axes`.
      module: the module, if not the one whose method is running.
      fallback: what to do with a name that no rule mentions.
      **init_kwargs: see above.

    Returns:
      A handle whose `value` is constrained to its sharding.

    Raises:
      ValueError: if no module is running, or the module was given other names before.
    """
    owner = _running_module(module, name)
    held = owner.variable(collection, name, init_fn, *init_args, **init_kwargs)
    variable = PartitionedVariable(held.scope, collection, name, axes, fallback)
    if axes is not None:
        if variable.is_mutable():
            variable.value = held.value
        _keep_names(owner, collection, name, axes)
    return variable


def get_axis_names(axes_metadata: Mapping[str, Any]) -> FrozenDict[str, Any]:
    """Turn a collection of axis names into a `PartitionSpec` of logical names for each variable.

    Args:
      axes_metadata: a collection such as ``variables["params_axes"]``.

    Returns:
      The specs, nested like the variables themselves.

    Raises:
      TypeError: if something else than names lies in the collection.
    """
    specs = {}
    for path, metadata in flatten_dict(unfreeze(axes_metadata)).items():  # type: ignore[arg-type]
        if not isinstance(metadata, AxisMetadata):
            raise TypeError(
                f"A collection of axis names holds AxisMetadata, but at {'/'.join(path)} it has "
                f"{metadata!r}. Pass one whose name ends in _axes."
            )
        names = jax.tree.map(
            lambda spec: PartitionSpec(*spec), metadata.names, is_leaf=is_logical_spec
        )
        specs[*path[:-1], path[-1].removesuffix("_axes")] = names
    return freeze(unflatten_dict(specs))


# Transformations -----------------------------------------------------------------------------


def _with_axis(position: int, name: str | None, spec: tuple[Any, ...]) -> tuple[Any, ...]:
    """Insert a name so that it stands at `position` afterwards."""
    names = list(spec)
    if position < 0:
        position += len(names) + 1
    names.extend([None] * (position - len(names)))
    names.insert(position, name)
    return tuple(names)


def _without_axis(position: int, name: str | None, spec: tuple[Any, ...]) -> tuple[Any, ...]:
    """Take a name away from `position`: `_with_axis` backwards."""
    names = list(spec)
    if not -len(names) <= position < len(names) or names[position] != name:
        raise ValueError(
            f"Expected the axis {name!r} at position {position} of the axis names {spec}, as this "
            "transformation would have put it there. Were the variables made by another one?"
        )
    del names[position]
    return tuple(names)


def _map_names(change: Callable[[tuple[Any, ...]], tuple[Any, ...]], tree: Any) -> Any:
    def changed(leaf: Any) -> Any:
        if not isinstance(leaf, AxisMetadata):
            return leaf
        return AxisMetadata(jax.tree.map(change, leaf.names, is_leaf=is_logical_spec))

    return jax.tree.map(changed, tree, is_leaf=lambda leaf: isinstance(leaf, AxisMetadata))


def _name_axis(target: Target, position: Any, name: str | None, collection: str) -> Target:
    """Let the names in a collection have one axis more outside of a transformed module."""
    if isinstance(position, ScanIn | ScanOut):
        position = position.axis
    if not isinstance(position, int):  # all copies share the variables, which have no new axis
        return target
    return map_variables(
        target,
        mapped_collections=collection,
        trans_in_fn=functools.partial(_map_names, functools.partial(_without_axis, position, name)),
        trans_out_fn=functools.partial(_map_names, functools.partial(_with_axis, position, name)),
        mutable=True,
    )


def _named_over(
    transform: Callable[..., Any],
    target: Target,
    variable_axes: Mapping[Any, Any],
    names: Mapping[Any, str],
    axis_of_names: int | None,
    **options: Any,
) -> Target:
    """Transform a target, and name the new axis of collections in their collections of names."""
    beside = {f"{col}_axes": axis_of_names for col in names}
    named: Target = transform(target, variable_axes={**variable_axes, **beside}, **options)
    for col, name in names.items():
        if col in variable_axes:
            named = _name_axis(named, variable_axes[col], name, f"{col}_axes")
    return named


def scan_with_axes(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    axis_name: str = "layers",
    axes_collections: tuple[str, ...] = ("params",),
    data_transform: Callable[..., Any] | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.lax.scan` to modules, and name the new axis in the collections of axis names.

    Args:
      target: a module class, or a function of a module.
      variable_axes: see `ramie.linen.scan`.
      variable_broadcast: see `ramie.linen.scan`.
      variable_carry: see `ramie.linen.scan`.
      split_rngs: see `ramie.linen.scan`.
      in_axes: see `ramie.linen.scan`.
      out_axes: see `ramie.linen.scan`.
      length: see `ramie.linen.scan`.
      reverse: see `ramie.linen.scan`.
      unroll: see `ramie.linen.scan`.
      axis_name: the logical name of the scanned axis.
      axes_collections: the collections whose variables have names that are to be kept.
      data_transform: see `ramie.linen.scan`.
      methods: see `ramie.linen.scan`.

    Differs from Flax: a negative axis counts from the end of the grown shape.
    """
    return _named_over(
        mapping.scan,
        target,
        variable_axes,
        dict.fromkeys(axes_collections, axis_name),
        0,
        variable_broadcast=variable_broadcast,
        variable_carry=variable_carry,
        split_rngs=split_rngs,
        in_axes=in_axes,
        out_axes=out_axes,
        length=length,
        reverse=reverse,
        unroll=unroll,
        data_transform=data_transform,
        methods=methods,
    )


def vmap_with_axes(
    target: Target,
    variable_axes: Mapping[Any, Any],
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    partitioning_axis_names: Mapping[Any, str] = _NOTHING,
    spmd_axis_name: str | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.vmap` to modules, and name the new axis in the collections of axis names.

    Args:
      target: a module class, or a function of a module.
      variable_axes: see `ramie.linen.vmap`.
      split_rngs: see `ramie.linen.vmap`.
      in_axes: see `ramie.linen.vmap`.
      out_axes: see `ramie.linen.vmap`.
      axis_size: see `ramie.linen.vmap`.
      axis_name: see `ramie.linen.vmap`.
      partitioning_axis_names: the logical name of the mapped axis, for each collection whose
        variables have names that are to be kept.
      spmd_axis_name: see `ramie.linen.vmap`.
      methods: see `ramie.linen.vmap`.

    Differs from Flax: a negative axis counts from the end of the grown shape, and a collection that
    all copies share may be named.
    """
    return _named_over(
        mapping.vmap,
        target,
        variable_axes,
        {c: name for c, name in partitioning_axis_names.items() if c in variable_axes},
        None,
        split_rngs=split_rngs,
        in_axes=in_axes,
        out_axes=out_axes,
        axis_size=axis_size,
        axis_name=axis_name,
        spmd_axis_name=spmd_axis_name,
        methods=methods,
    )


def remat(
    target: Target,
    variables: Filter = True,
    rngs: Filter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | Iterable[int] = (),
    policy: Callable[..., bool] | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.checkpoint` to modules, counting static arguments without the module.

    Args:
      target: a module class, or a function of a module.
      variables: see `ramie.linen.remat`.
      rngs: see `ramie.linen.remat`.
      concrete: see `ramie.linen.remat`.
      prevent_cse: see `ramie.linen.remat`.
      static_argnums: the positions of arguments that are not traced; the first argument after the
        module has position 0.
      policy: see `ramie.linen.remat`.
      methods: see `ramie.linen.remat`.
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "concrete": concrete,
        "prevent_cse": prevent_cse,
        "static_argnums": static_argnums,
        "policy": policy,
    }
    lifter = functools.partial(lifted_by, core_remat_static)
    return lift_target(target, "Core_remat_static", lifter, options, methods)
