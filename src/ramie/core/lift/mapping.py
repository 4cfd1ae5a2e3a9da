"""Lifted transformations that map or scan a function over an axis of its state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ramie.core import meta
from ramie.core.filters import Filter
from ramie.core.lift import axes_scan
from ramie.core.lift.compilation import remat
from ramie.core.lift.crossing import Group, Lift, Scopes, check_carried, merged, tree_map_rngs
from ramie.trees.frozen import FrozenDict
from ramie.typing import In, Out

__all__ = ["add_metadata_axis", "remat_scan", "scan", "vmap"]

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})
_FIRST_AXIS: FrozenDict[Any, Any] = FrozenDict({True: 0})
_ALL_SPLIT: FrozenDict[Any, Any] = FrozenDict({True: True})


class _Axes:
    """A mapping from filters to axes, read once: which groups go in, which come out, and where."""

    def __init__(self, variable_axes: Mapping[Any, Any]) -> None:
        ins = [(f, a) for f, a in variable_axes.items() if not isinstance(a, Out)]
        outs = [(f, a) for f, a in variable_axes.items() if not isinstance(a, In)]
        self.reads: tuple[Filter, ...] = tuple(f for f, _ in ins)
        self.writes: tuple[Filter, ...] = tuple(f for f, _ in outs)
        self.reading = tuple(a.axis if isinstance(a, In) else a for _, a in ins)
        self.writing = tuple(a.axis if isinstance(a, Out) else a for _, a in outs)


def _without_axes(
    groups: Sequence[Group], axes: Sequence[Any], params: dict[Any, Any]
) -> tuple[Group, ...]:
    return tuple(
        meta.remove_axis(group, axis, params) if isinstance(axis, int) else group
        for group, axis in zip(groups, axes, strict=True)
    )


def _with_axes(
    groups: Sequence[Group], axes: Sequence[Any], params: dict[Any, Any]
) -> tuple[Group, ...]:
    return tuple(
        meta.add_axis(group, axis, params) if isinstance(axis, int) else group
        for group, axis in zip(groups, axes, strict=True)
    )


def _split_keys(group: Group, count: int) -> Group:
    keys: Group = tree_map_rngs(lambda key: jax.random.split(key, count), group)
    return keys


def _axis_length(axes: Any, tree: Any) -> int | None:
    """Return the length of some mapped axis, or None if nothing is mapped.

    Whether all mapped axes have this length is left to JAX to check.
    """
    structure: Any
    ends, structure = jax.tree_util.tree_flatten(axes, is_leaf=lambda x: x is None)
    for axis, part in zip(ends, structure.flatten_up_to(tree), strict=True):
        for leaf in jax.tree_util.tree_leaves(part) if isinstance(axis, int) else ():
            shape = jnp.shape(leaf)
            if -len(shape) <= axis < len(shape):
                return int(shape[axis])
    return None


def vmap(
    fn: Callable[..., Any],
    variable_axes: Mapping[Any, Any],
    split_rngs: Mapping[Any, bool],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
) -> Callable[..., Any]:
    """Lift `jax.vmap` to functions of a scope.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``; keyword arguments are not mapped.
      variable_axes: filters for collections, each with the axis along which its variables are
        mapped, or None for variables that all copies share. ``In(axis)`` and ``Out(axis)`` hold
        for one direction only.
      split_rngs: filters for random streams, each with whether the copies draw different numbers.
      in_axes: the mapped axis of each argument: an integer, None, or a tree prefix of these.
      out_axes: the mapped axis of the result, likewise.
      axis_size: the number of copies, if no argument or variable tells.
      axis_name: a name for the axis, for `jax.lax` collectives inside.
      spmd_axis_name: the mesh axis over which JAX may distribute the copies.
      metadata_params: passed on to the metadata boxes of mapped variables.

    Returns:
      A function ``(scope, *args, **kwargs)``.

    Raises:
      ValueError: if `axis_size` is neither given nor to be found.

    Differs from Flax: keyword arguments are accepted.
    """
    axes = _Axes(variable_axes)
    lift = Lift(axes.reads, axes.writes, tuple(split_rngs), "vmap")
    splits = tuple(split_rngs.values())
    rng_axes = tuple(0 if split else None for split in splits)
    params = dict(metadata_params)

    def mapped_over(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        arg_axes = tuple(in_axes) if isinstance(in_axes, list | tuple) else in_axes
        with lift.open(scopes) as crossing:
            size = axis_size
            if size is None:
                size = _axis_length((axes.reading, arg_axes), (crossing.variables, args))
            if size is None:
                raise ValueError(
                    "axis_size should be specified manually: a vmap without mapped arguments or "
                    "variables does not know how many copies to make."
                )

            def copy(variables: Any, rngs: Any, args: Any) -> Any:
                return crossing.run(fn, variables, rngs, *args, **kwargs)

            mapped = jax.vmap(
                copy,
                in_axes=(axes.reading, rng_axes, arg_axes),
                out_axes=(out_axes, axes.writing),
                axis_size=size,
                axis_name=axis_name,
                spmd_axis_name=spmd_axis_name,
            )
            y, written = mapped(
                _without_axes(crossing.variables, axes.reading, params),
                _split_groups(crossing.rngs, splits, size),
                args,
            )
            crossing.commit(_with_axes(written, axes.writing, params))
            return y

    return mapped_over


def _split_groups(groups: Sequence[Group], splits: Sequence[bool], count: int) -> tuple[Group, ...]:
    return tuple(
        _split_keys(group, count) if split else group
        for group, split in zip(groups, splits, strict=True)
    )


def scan(
    fn: Callable[..., Any],
    variable_axes: Mapping[Any, Any] = _NOTHING,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    _split_transpose: bool = False,
    data_transform: Callable[..., Any] | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
    check_constancy_invariants: bool = True,
) -> Callable[..., Any]:
    """Lift `jax.lax.scan` to functions of a scope.

    Args:
      fn: called as ``fn(scope, carry, *xs, **kwargs)``; returns ``(carry, y)``. Keyword arguments
        are not scanned.
      variable_axes: filters for collections of which every step has its own slice, each with the
        axis along which the slices lie. ``In(axis)`` and ``Out(axis)`` hold for one direction.
      variable_broadcast: the collections that all steps share. They can be made in the scan, from
        nothing that differs between steps.
      variable_carry: the collections that each step hands on to the next. They have to exist
        before the scan.
      split_rngs: filters for random streams, each with whether the steps draw different numbers.
      in_axes: the axis to scan of each of the xs, or `broadcast`: a tree prefix.
      out_axes: the axis at which y is stacked, or `broadcast`: a tree prefix.
      length: the number of steps, if no input or variable tells.
      reverse: begin with the last slice.
      unroll: how many steps one iteration of the loop makes.
      _split_transpose: passed on to `jax.lax.scan`.
      data_transform: applied inside each step to the groups of variables (broadcast, carry, then
        those of `variable_axes`) and of random streams.
      metadata_params: passed on to the metadata boxes of variables with an axis.
      check_constancy_invariants: find out beforehand which results are the same for all steps.
        Without it nothing can be broadcast out of the scan, and the body is traced once.

    Returns:
      A function ``(scope, carry, *xs, **kwargs)`` that returns ``(carry, ys)``.

    Raises:
      ValueError: if a broadcast value depends on the step, or the number of steps is unknown.
      TypeError: if the carry, or the variables of `variable_carry`, change type or structure.

    Differs from Flax: keyword arguments are accepted; collections of `variable_carry` that may not
    be written are only read; each step sees a broadcast variable as it was before the scan, also
    if the body sets it to something else.
    """
    axes = _Axes(variable_axes)
    splits = tuple(split_rngs.values())
    shared = (variable_broadcast, variable_carry)
    lift = Lift((*shared, *axes.reads), (*shared, *axes.writes), tuple(split_rngs), "scan")
    params = dict(metadata_params)
    scanned_rngs = tuple(0 if split else axes_scan.broadcast for split in splits)

    def scanned_over(scopes: Scopes, init: Any, *args: Any, **kwargs: Any) -> Any:
        arg_axes = tuple(in_axes) if isinstance(in_axes, list | tuple) else (in_axes,) * len(args)
        with lift.open(scopes) as crossing:
            steps = length
            if steps is None:
                steps = _axis_length((axes.reading, arg_axes), (crossing.variables[2:], args))
            if steps is None:
                raise ValueError(
                    "length should be specified manually. A scan without scanned inputs or "
                    "variables does not know how many steps to make."
                )
            # What may not be written inside needs no way out: the steps just see it.
            shared, fixed_shared = crossing.split_mutable(crossing.variables[0])
            carried, fixed_carried = crossing.split_mutable(crossing.variables[1])
            drawn = crossing.counts()

            def body(constants: Group, carry: Any, *xs: Any) -> Any:
                *slices, rngs, step_args = xs
                variables = (
                    merged(constants, fixed_shared),
                    merged(carry[0], fixed_carried),
                    *slices,
                )
                if data_transform is not None:
                    variables, rngs = data_transform(variables, rngs)
                result, left = crossing.run(fn, variables, rngs, carry[1], *step_args, **kwargs)
                state, y = _pair(result)
                constants_out, carry_out, *slices_out = left
                check_carried(carried, carry_out)
                return constants_out, (carry_out, state), (y, tuple(slices_out))

            run = axes_scan.scan(
                body,
                in_axes=(*axes.reading, scanned_rngs, arg_axes),
                out_axes=(out_axes, axes.writing),
                length=steps,
                reverse=reverse,
                unroll=unroll,
                _split_transpose=_split_transpose,
                check_constancy_invariants=check_constancy_invariants,
                may_replay=lambda: crossing.counts() == drawn,
            )
            constants, (carry_out, state), (y, slices_out) = run(
                shared,
                (carried, init),
                *_without_axes(crossing.variables[2:], axes.reading, params),
                _split_groups(crossing.rngs, splits, steps),
                args,
            )
            crossing.commit((constants, carry_out, *_with_axes(slices_out, axes.writing, params)))
            return state, y

    return scanned_over


def add_metadata_axis(
    fn: Callable[..., Any],
    variable_axes: Mapping[Any, Any] = _NOTHING,
    metadata_params: Mapping[Any, Any] = _NOTHING,
) -> Callable[..., Any]:
    """Let metadata boxes describe one axis more outside of a function of a scope than inside.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      variable_axes: filters for collections, each with the position of the axis.
      metadata_params: passed on to the boxes.

    Returns:
      A function ``(scope, *args, **kwargs)``. Only metadata changes; values are left alone.
    """
    axes = _Axes(variable_axes)
    lift = Lift((*axes.reads, True), (*axes.writes, True), (True,), "add_metadata_axis")
    params = dict(metadata_params)

    def with_axis(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing:
            *described, rest = crossing.variables
            seen = _without_axes(described, axes.reading, params)
            y, (*left, written) = crossing.run(fn, (*seen, rest), crossing.rngs, *args, **kwargs)
            crossing.commit((*_with_axes(left, axes.writing, params), written))
            return y

    return with_axis


def remat_scan(
    body_fn: Callable[..., Any],
    lengths: Sequence[int],
    policy: Callable[..., bool] | None = None,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    variable_axes: Mapping[Any, Any] = _FIRST_AXIS,
    split_rngs: Mapping[Any, bool] = _ALL_SPLIT,
    *,
    metadata_params: Mapping[Any, Any] | Sequence[Mapping[Any, Any]] = _NOTHING,
) -> Callable[..., Any]:
    """Scan a function over many steps in nested loops, and store only what the loops hand on.

    With two loops of n steps each, the backward pass of the n * n steps needs memory for 2 * n of
    them and computes each once more.

    Args:
      body_fn: called as ``body_fn(scope, carry)``; returns the next carry.
      lengths: the number of steps of each loop, the outermost first.
      policy: what to store after all, see `remat`.
      variable_broadcast: see `scan`.
      variable_carry: see `scan`.
      variable_axes: see `scan`; variables get one axis for each loop.
      split_rngs: see `scan`.
      metadata_params: see `scan`: one mapping for the axes of all loops, or a sequence with one for
        each loop.

    Returns:
      A function ``(scope, carry)`` that returns the last carry.

    Raises:
      ValueError: if there is no loop, or `metadata_params` has entries for another number of them.

    Differs from Flax: `metadata_params`.
    """
    if not lengths:
        raise ValueError("remat_scan needs the length of at least one loop, but lengths is empty.")
    if isinstance(metadata_params, Mapping):
        metadata_params = [metadata_params] * len(lengths)
    if len(metadata_params) != len(lengths):
        raise ValueError(
            f"remat_scan makes {len(lengths)} loops, of the lengths {tuple(lengths)}, but got "
            f"{len(metadata_params)} metadata_params. Give one mapping for each, or one for all."
        )
    fn = body_fn
    loops = zip(reversed(lengths), reversed(metadata_params), strict=True)
    for depth, (length, params) in enumerate(loops):
        step = fn if depth == 0 else remat(fn, policy=policy, prevent_cse=False)
        fn = _carry_only(
            scan(
                _with_empty_output(step),
                variable_axes=variable_axes,
                variable_broadcast=variable_broadcast,
                variable_carry=variable_carry,
                split_rngs=split_rngs,
                length=length,
                metadata_params=params,
            )
        )
    return fn


def _pair(result: Any) -> Any:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise TypeError(
            "What is scanned has to return a pair, the next carry and an output of this step "
            f"(None for no output), but it returned {_described(result)}."
        )
    return result


def _described(result: Any) -> str:
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    if hasattr(result, "shape"):
        return f"one array of shape {result.shape}"
    return f"one value of type {type(result).__name__}"


def _with_empty_output(step: Callable[..., Any]) -> Callable[..., Any]:
    return lambda scope, carry: (step(scope, carry), ())


def _carry_only(scanned: Callable[..., Any]) -> Callable[..., Any]:
    return lambda scope, carry: scanned(scope, carry)[0]
