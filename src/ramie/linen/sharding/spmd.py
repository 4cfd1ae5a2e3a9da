"""Logical axis names: layers name what a dimension means, rules say where it lies on the mesh."""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramie.core import laying, meta
from ramie.core.constraints import constrained, has_mesh
from ramie.core.sharding import LogicalRules
from ramie.core.sharding import get_logical_axis_rules as get_logical_axis_rules
from ramie.core.sharding import logical_axis_rules as logical_axis_rules
from ramie.core.sharding import set_logical_axis_rules as set_logical_axis_rules
from ramie.trees import struct

__all__ = [
    "LogicallyPartitioned",
    "RulesFallback",
    "get_logical_axis_rules",
    "logical_axis_rules",
    "logical_to_mesh",
    "logical_to_mesh_axes",
    "logical_to_mesh_sharding",
    "set_logical_axis_rules",
    "with_logical_constraint",
    "with_logical_partitioning",
]

A = TypeVar("A")


class RulesFallback(enum.Enum):
    """What to do with a logical axis name that no rule mentions."""

    AXIS_IS_UNSHARDED = "axis_is_unsharded"
    RAISE_ERROR = "raise_error"
    NO_CONSTRAINT = "no_constraint"


class _NoRule:
    """Stands for the mesh axis of a name that no rule mentions."""


_NO_RULE = _NoRule()
_UNCONSTRAINED = PartitionSpec.UNCONSTRAINED


def _is_name(entry: Any) -> bool:
    return entry is None or entry is _UNCONSTRAINED or isinstance(entry, str)


def is_logical_spec(tree: Any) -> bool:
    """Tell whether a tree is the spec of one array: a name or None for each dimension."""
    if isinstance(tree, PartitionSpec):
        return True
    return isinstance(tree, tuple) and all(_is_name(entry) for entry in tree)


def _is_spec_in_a_state(tree: Any) -> bool:
    """Tell specs from parts of an optimizer's state, which are tuples with names or without all."""
    if isinstance(tree, PartitionSpec):
        return True
    return type(tree) is tuple and tree != () and is_logical_spec(tree)


def _as_set(axes: Any) -> set[str]:
    if isinstance(axes, str):
        return {axes}
    return set(axes) if isinstance(axes, tuple) else set()


def _assign(names: Iterable[Any], rules: LogicalRules) -> list[Any]:
    """Find the mesh axes of each name: earlier rules first, each mesh axis used once."""
    names = list(names)
    known = [name for name in names if name is not None and name is not _UNCONSTRAINED]
    repeated = sorted({str(name) for name in known if known.count(name) > 1})
    if repeated:
        raise ValueError(
            f"Unsupported: Dimensions {tuple(repeated)} occur more than once in array names "
            f"{tuple(names)}. Give each dimension a name of its own."
        )
    result: list[Any] = [_NO_RULE if name in known else name for name in names]
    for name, axes in rules:
        position = names.index(name) if name in names else None
        if position is None or result[position] is not _NO_RULE:
            continue
        if not _as_set(axes) & set().union(*map(_as_set, result)):
            result[position] = axes
    return result


def logical_to_mesh_axes(
    array_dim_names: Sequence[Any] | None, rules: LogicalRules | None = None
) -> PartitionSpec | None:
    """Translate the logical names of an array's dimensions into mesh axes.

    A rule applies if none of its mesh axes is used by another dimension already; a name may have
    several rules, the first that applies counts.

    Args:
      array_dim_names: a name, None or `PartitionSpec.UNCONSTRAINED` for each dimension.
      rules: pairs of a name and mesh axes; by default those in force.

    Returns:
      The mesh axes, None for dimensions without any; None for no names at all.

    Raises:
      ValueError: if a name occurs twice.

    Example:
        >>> logical_to_mesh_axes(("batch", "embed"), [("batch", "data"), ("embed", None)])
        P('data', None)
    """
    if array_dim_names is None:
        return None
    assigned = _assign(array_dim_names, get_logical_axis_rules() if rules is None else rules)
    return PartitionSpec(*[None if axes is _NO_RULE else axes for axes in assigned])


def logical_to_mesh(tree: Any, rules: LogicalRules | None = None) -> Any:
    """Translate each `PartitionSpec` of logical names in a tree into one of mesh axes."""
    return jax.tree.map(
        lambda spec: logical_to_mesh_axes(spec, rules), tree, is_leaf=_is_spec_in_a_state
    )


def logical_to_mesh_sharding(tree: Any, mesh: Mesh, rules: LogicalRules | None = None) -> Any:
    """Translate each `PartitionSpec` of logical names in a tree into a sharding over `mesh`.

    Args:
      tree: what `get_partition_spec` returns for variables.
      mesh: the mesh.
      rules: pairs of a name and mesh axes; by default those in force.

    Raises:
      ValueError: if a rule names what is no axis of the mesh.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, spec: laying.sharding_at(path, mesh, spec),
        logical_to_mesh(tree, rules),
        is_leaf=_is_spec_in_a_state,
    )


def with_mesh_constraint(x: Any, spec: PartitionSpec, mesh: Mesh | None = None) -> Any:
    """Constrain a sharding if there is a mesh to constrain to."""
    return constrained(x, spec, mesh)


_with_sharding_constraint = with_mesh_constraint  # the name that tests of other projects replace


def with_logical_constraint(
    x: Any,
    logical_axis_resources: Any,
    rules: LogicalRules | None = None,
    mesh: Mesh | None = None,
    fallback: RulesFallback = RulesFallback.AXIS_IS_UNSHARDED,
) -> Any:
    """Constrain the sharding of arrays by logical axis names.

    Without rules, or without a mesh, the arrays are returned as they are: the same code runs on
    one device.

    Args:
      x: an array or a tree of arrays.
      logical_axis_resources: a name, None or `PartitionSpec.UNCONSTRAINED` for each dimension; a
        tree of such tuples for a tree of arrays; None for no constraint.
      rules: pairs of a name and mesh axes; by default those in force.
      mesh: the mesh; by default the one of the surrounding `jax.set_mesh`.
      fallback: what to do with a name that no rule mentions.

    Raises:
      ValueError: if a name occurs twice, has no rule and `fallback` says so, or has a rule to what
        is no axis of the mesh.
    """
    rules = get_logical_axis_rules() if rules is None else rules
    if not rules or logical_axis_resources is None:
        return x

    def constrain(names: Any, part: Any) -> Any:
        if names is None:
            return part
        assigned = _assign(names, rules)
        if any(axes is _NO_RULE for axes in assigned):
            if fallback is RulesFallback.RAISE_ERROR:
                raise ValueError(
                    f"No rule mentions some of the logical axes {tuple(names)}; there are rules "
                    f"for {sorted({name for name, _ in rules})}. Add a rule, with None for axes "
                    "that are not to be split."
                )
            if fallback is RulesFallback.NO_CONSTRAINT:
                return part
        spec = PartitionSpec(*[None if axes is _NO_RULE else axes for axes in assigned])
        try:
            return _with_sharding_constraint(part, spec, mesh=mesh)
        except Exception as error:
            error.add_note(f"For the logical axes {tuple(names)}, which rules make {spec}")
            raise

    return jax.tree.map(
        constrain,
        logical_axis_resources,
        x,
        is_leaf=lambda tree: tree is None or is_logical_spec(tree),
    )


class LogicallyPartitioned(meta.Partitioned[A]):
    """A value with a logical axis name (or None) for each of its dimensions.

    Unboxing constrains the value's sharding as `with_logical_constraint` does.

    Attributes:
      value: the boxed array, or tree of arrays that share the names.
      names: logical axis names by dimension.
      mesh: the mesh to constrain to; None takes the surrounding one.
      rules: the rules that translate the names; None takes those in force.
    """

    rules: LogicalRules | None = struct.field(default=None, pytree_node=False)

    def unbox(self, apply_constraint: bool = True) -> A:
        """Return the value, constrained to its sharding where rules and a mesh are known.

        Args:
          apply_constraint: False returns the bare value in any case.
        """
        rules = get_logical_axis_rules() if self.rules is None else self.rules
        if not apply_constraint or not rules or not has_mesh(self.mesh):
            return self.value
        return with_logical_constraint(
            self.value, self.get_partition_spec(), rules=rules, mesh=self.mesh
        )

    def initial_sharding(self) -> NamedSharding | None:
        """Return how the first value is to lie, or None where no rules or no mesh say so."""
        rules = get_logical_axis_rules() if self.rules is None else self.rules
        axes: Any = logical_to_mesh_axes(self.names, rules)
        return laying.target(self.mesh, axes) if rules else None

    def to_nnx_metadata(self) -> dict[str, Any]:
        """Return the fields under the keywords of an NNX variable."""
        return {
            "value": self.value,
            "mesh": self.mesh,
            "out_sharding": self.names,
            "sharding_rules": self.rules,
        }

    @classmethod
    def from_nnx_metadata(cls, metadata: Mapping[str, Any]) -> "LogicallyPartitioned[Any]":
        """Build a box from the metadata of an NNX variable: `to_nnx_metadata` backwards."""
        return cls(
            metadata["value"],
            metadata["out_sharding"],
            metadata.get("mesh"),
            metadata.get("sharding_rules"),
        )


def with_logical_partitioning(
    fn: Callable[..., Any],
    names: tuple[str | None, ...],
    mesh: Mesh | None = None,
    rules: LogicalRules | None = None,
) -> Callable[..., LogicallyPartitioned[Any]]:
    """Make an initializer return its result in a `LogicallyPartitioned` box.

    Args:
      fn: the initializer.
      names: logical axis names by dimension of the result.
      mesh: the mesh to constrain to when unboxing; None takes the surrounding one.
      rules: the rules that translate the names; None takes those in force when unboxing.

    Example:
        >>> kernel_init = with_logical_partitioning(jax.nn.initializers.ones, ("embed", "mlp"))
        >>> kernel_init(jax.random.key(0), (2, 3)).names
        ('embed', 'mlp')
    """
    return meta.memoised_boxing(LogicallyPartitioned, fn, names, mesh=mesh, rules=rules)
