"""Modules mapped or scanned over an axis: many copies of a layer, or a layer in a loop.

Each function takes a module class, and returns a subclass whose methods are transformed, or a
function whose first argument is a module, such as a method in a class body. What it does to
variables and random streams is documented at its namesake in `ramie.core.lift.mapping`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from ramie.core.filters import Filter
from ramie.core.lift import mapping as lift
from ramie.linen.module import Module
from ramie.linen.transforms.targets import Lifter, lift_target, lifted_by, placed
from ramie.trees.frozen import FrozenDict

__all__ = ["add_metadata_axis", "remat_scan", "scan", "vmap"]

Target = TypeVar("Target")

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})
_FIRST_AXIS: FrozenDict[Any, Any] = FrozenDict({True: 0})
_ALL_SPLIT: FrozenDict[Any, Any] = FrozenDict({True: True})


def vmap(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
    methods: Any = None,
) -> Target:
    """Lift `jax.vmap` to modules.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections, each with the axis along which its variables are
        mapped, or None for variables that all copies share.
      split_rngs: filters for random streams, each with whether the copies draw different numbers.
      in_axes: the mapped axis of each argument but the module.
      out_axes: the mapped axis of the result.
      axis_size: the number of copies, if no argument or variable tells.
      axis_name: a name for the axis, for `jax.lax` collectives inside.
      spmd_axis_name: the mesh axis over which JAX may distribute the copies.
      metadata_params: passed on to the metadata boxes of mapped variables.
      methods: the methods of a class to transform: names, or a dictionary from names to options
        of their own; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      Four dense layers with parameters of their own, each for one slice of the batch:

      >>> import jax, ramie.linen as nn
      >>> Dense = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
      >>> variables = Dense(features=3).init(jax.random.key(0), jax.numpy.ones((4, 2)))
      >>> variables["params"]["kernel"].shape
      (4, 2, 3)

    Differs from Flax: keyword arguments reach the module; unmapped, unless a tuple `in_axes` has
    places for them.
    """
    options = {
        "variable_axes": variable_axes,
        "split_rngs": split_rngs,
        "in_axes": in_axes,
        "out_axes": out_axes,
        "axis_size": axis_size,
        "axis_name": axis_name,
        "spmd_axis_name": spmd_axis_name,
        "metadata_params": metadata_params,
    }
    return lift_target(target, "Vmap", _vmap_lifter, options, methods)


def _with_axes(
    transform: Callable[..., Any], first: int, is_loop: bool = False, **options: Any
) -> Lifter:
    """Lift a transformation that has an axis for each argument from the position `first` on."""
    axes = options.get("in_axes", 0)
    count = first + (len(axes) if isinstance(axes, tuple | list) else 0)

    def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
        lifted = lifted_by(transform, first - 1, is_loop, **options)(fn, cls)
        return placed(fn, lifted, tuple(range(count)))

    return lifter


# Methods that have options of their own may leave these out.
_vmap_lifter = partial(_with_axes, lift.vmap, 1, variable_axes=_NOTHING, split_rngs=_NOTHING)
_scan_lifter = partial(_with_axes, lift.scan, 2, is_loop=True)


def scan(
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
    data_transform: Callable[..., Any] | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
    methods: Any = None,
    _split_transpose: bool = False,
    check_constancy_invariants: bool = True,
) -> Target:
    """Lift `jax.lax.scan` to modules: a method ``(carry, *xs) -> (carry, y)`` in a loop.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections of which every step has its own slice, each with the
        axis along which the slices lie.
      variable_broadcast: the collections that all steps share.
      variable_carry: the collections that each step hands on to the next.
      split_rngs: filters for random streams, each with whether the steps draw different numbers.
      in_axes: the axis to scan of each of the xs, or `broadcast`: a tree prefix.
      out_axes: the axis at which y is stacked, or `broadcast`: a tree prefix.
      length: the number of steps, if no input or variable tells.
      reverse: begin with the last slice.
      unroll: how many steps one iteration of the loop makes.
      data_transform: applied inside each step to the groups of variables and random streams.
      metadata_params: passed on to the metadata boxes of variables with an axis.
      methods: the methods of a class to transform: names, or a dictionary from names to options
        of their own; by default ``__call__``.
      _split_transpose: passed on to `jax.lax.scan`.
      check_constancy_invariants: find out beforehand which results are the same for all steps.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      Three layers in a loop, each with its own parameters:

      >>> import jax, ramie.linen as nn
      >>> class Layer(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, carry, _):
      ...         return nn.Dense(features=2)(carry), None
      >>> Layers = nn.scan(
      ...     Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
      ... )
      >>> variables = Layers().init(jax.random.key(0), jax.numpy.ones((1, 2)), None)
      >>> variables["params"]["Dense_0"]["kernel"].shape
      (3, 2, 2)

    Differs from Flax: keyword arguments reach the module; unscanned, unless they are the carry or
    a tuple `in_axes` has places for them.
    """
    options = {
        "variable_axes": variable_axes,
        "variable_broadcast": variable_broadcast,
        "variable_carry": variable_carry,
        "split_rngs": split_rngs,
        "in_axes": in_axes,
        "out_axes": out_axes,
        "length": length,
        "reverse": reverse,
        "unroll": unroll,
        "_split_transpose": _split_transpose,
        "data_transform": data_transform,
        "metadata_params": metadata_params,
        "check_constancy_invariants": check_constancy_invariants,
    }
    return lift_target(target, "Scan", _scan_lifter, options, methods)


def remat_scan(
    target: Target,
    lengths: Sequence[int] | None = (),
    policy: Callable[..., bool] | None = None,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    variable_axes: Mapping[Any, Any] = _FIRST_AXIS,
    split_rngs: Mapping[Any, bool] = _ALL_SPLIT,
    *,
    metadata_params: Mapping[Any, Any] | Sequence[Mapping[Any, Any]] = _NOTHING,
) -> Target:
    """Scan a module over many layers in nested loops, and store only what the loops hand on.

    With two loops of n layers each, the backward pass of n * n layers needs memory for 2 * n of
    them and computes each once more.

    Args:
      target: a module class, or a function of a module, from a carry to the next.
      lengths: the number of layers of each loop, the outermost first.
      policy: what to store after all, see `remat`.
      variable_broadcast: see `scan`.
      variable_carry: see `scan`.
      variable_axes: see `scan`; variables get one axis for each loop.
      split_rngs: see `scan`.
      metadata_params: see `scan`: one mapping for the axes of all loops, or a sequence with one for
        each loop.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
      ValueError: if there is no loop, or `metadata_params` has entries for another number of them.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layers = nn.remat_scan(nn.Dense, lengths=(2, 3))(features=4)
      >>> variables = layers.init(jax.random.key(0), jax.numpy.ones((1, 4)))
      >>> variables["params"]["kernel"].shape
      (2, 3, 4, 4)

    Differs from Flax: `metadata_params`, which layers with partitioned parameters need.
    """
    options = {
        "lengths": lengths,
        "policy": policy,
        "variable_broadcast": variable_broadcast,
        "variable_carry": variable_carry,
        "variable_axes": variable_axes,
        "split_rngs": split_rngs,
        "metadata_params": metadata_params,
    }
    return lift_target(
        target, "Remat_scan", partial(lifted_by, lift.remat_scan, is_loop=True), options
    )


def add_metadata_axis(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    metadata_params: Mapping[Any, Any] = _NOTHING,
) -> Target:
    """Let the metadata boxes of variables describe one axis more outside than inside.

    For modules that are mapped by other means than a lifted transformation, for example by
    `jax.vmap` around `apply`. The values are left alone.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections, each with the position of the axis.
      metadata_params: passed on to the boxes.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
    """
    options = {"variable_axes": variable_axes, "metadata_params": metadata_params}
    return lift_target(target, "", partial(lifted_by, lift.add_metadata_axis), options)
