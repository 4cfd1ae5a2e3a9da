"""`jax.lax.scan` over any axis of the inputs and outputs, with values that stay the same."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core as jex
from jax.interpreters import partial_eval

__all__ = ["broadcast", "scan"]


_config: Any = jax.config  # its flags are attributes that type stubs do not list


class _Broadcast:
    """An axis for what is not scanned: the body sees the whole value at every step."""

    def __repr__(self) -> str:
        return "broadcast"


broadcast = _Broadcast()


def scan(
    fn: Callable[..., Any],
    in_axes: Any,
    out_axes: Any,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    _split_transpose: bool = False,
    check_constancy_invariants: bool = True,
    *,
    may_replay: Callable[[], bool] | None = None,
) -> Callable[..., Any]:
    """Scan a function over chosen axes.

    Args:
      fn: called as ``fn(constants, carry, *xs)``; returns ``(constants, carry, y)``. The constants
        it returns, and outputs with the axis `broadcast`, must not depend on carry or xs. Steps
        receive the constants that the first trace returned.
      in_axes: the axis to scan for each of the xs, or `broadcast`: a tree prefix of the tuple.
      out_axes: the axis at which the ys are stacked, or `broadcast`: a tree prefix of y.
      length: the number of steps, if no input tells.
      reverse: begin with the last slice.
      unroll: how many steps one iteration of the loop makes.
      _split_transpose: passed on to `jax.lax.scan`.
      check_constancy_invariants: trace `fn` beforehand to find its constant outputs. Without it
        `fn` is traced once and there are none: the constants that come back are those given.
      may_replay: asked after that first trace; True says that `fn` would do the same again, so
        that the trace can serve the scan. By default `fn` is taken to be pure.

    Returns:
      A function ``(constants, carry, *xs)`` that returns ``(constants, carry, ys)``.

    Raises:
      ValueError: if a constant output depends on carry or xs, if lengths disagree, or if the axes
        are no tree prefix.
    """

    def scanned(constants: Any, carry: Any, *args: Any) -> Any:
        inputs = _Inputs(in_axes, args)
        if length is None:
            inputs.check_length()

        def body(constants: Any, c: Any, slices: list[Any]) -> tuple[Any, Any, Any]:
            constants, c, y = fn(constants, c, *inputs.assemble(slices))
            return constants, c, y

        constants_out = constants
        kept: _FirstTrace | None = None
        if check_constancy_invariants:
            kept = _FirstTrace(functools.partial(body, constants), carry, inputs, out_axes)
            constants_out = kept.constants
        elif _has_broadcast(out_axes):
            raise ValueError(
                "A scan with check_constancy_invariants=False cannot return an output with the "
                f"axis broadcast, but out_axes is {out_axes}. Stack it (axis 0) or carry it."
            )
        replay = kept is not None and kept.replayable and (may_replay is None or may_replay())
        split = _SplitOutputs(out_axes)

        def step(c: Any, slices: list[Any]) -> tuple[Any, list[Any]]:
            if replay and kept:
                _, c, y = kept.replay(c, slices)
            else:
                _, c, y = body(constants_out, c, slices)
            return c, split(y)

        carry, stacked = lax.scan(
            step,
            carry,
            inputs.scanned,
            length=length,
            reverse=reverse,
            unroll=unroll,
            _split_transpose=_split_transpose,
        )
        return constants_out, carry, split.join(stacked, kept.constant_ys if kept else [])

    return scanned


class _Inputs:
    """The scanned arguments, their axes moved to the front, and the others beside them."""

    def __init__(self, in_axes: Any, args: tuple[Any, ...]) -> None:
        leaves, self._treedef = jax.tree_util.tree_flatten(args)
        axes = _flat_axes(in_axes, args, "in_axes", "inputs")
        self._whole = {
            i: x for i, (x, a) in enumerate(zip(leaves, axes, strict=True)) if a is broadcast
        }
        self.scanned = [
            x if axis == 0 else jnp.moveaxis(x, axis, 0)
            for x, axis in zip(leaves, axes, strict=True)
            if axis is not broadcast
        ]

    def check_length(self) -> None:
        lengths = sorted({jnp.shape(x)[0] for x in self.scanned if jnp.ndim(x)})
        if len(lengths) > 1:
            raise ValueError(
                f"The scanned axes of the inputs of a scan have different lengths: {lengths}."
            )
        if not lengths:
            raise ValueError(
                "A scan without scanned inputs does not know how many steps to make: length "
                "should be specified manually."
            )

    def assemble(self, slices: list[Any]) -> tuple[Any, ...]:
        remaining = iter(slices)
        count = len(slices) + len(self._whole)
        leaves = [self._whole[i] if i in self._whole else next(remaining) for i in range(count)]
        return jax.tree_util.tree_unflatten(self._treedef, leaves)

    def slice_shapes(self) -> list[Any]:
        avals = [jax.typeof(x) for x in self.scanned]
        if not any(map(_is_distributed, avals)):
            return [
                jax.ShapeDtypeStruct(aval.shape[1:], aval.dtype, weak_type=aval.weak_type)
                for aval in avals
            ]

        def first(xs: list[Any]) -> list[Any]:
            return [lax.index_in_dim(x, 0, keepdims=False) for x in xs]

        # Where a mesh has axes of both kinds, eval_shape does not say how results lie on it.
        lying = jax.make_jaxpr(first)(self.scanned).out_avals
        return [
            shape.update(sharding=aval.sharding) if aval.sharding.mesh.explicit_axes else shape
            for shape, aval in zip(jax.eval_shape(first, self.scanned), lying, strict=True)
        ]


class _FirstTrace:
    """One trace of the body: it yields the constant outputs, and can be run again as it is."""

    def __init__(
        self, body: Callable[..., Any], carry: Any, inputs: _Inputs, out_axes: Any
    ) -> None:
        # What the body returns is taken apart while it holds tracers: a class of the user may
        # refuse anything else in its fields.
        structures: list[Any] = []
        y_axes: list[Any] = []

        def flat_body(carry: Any, slices: list[Any]) -> list[Any]:
            returned = body(carry, slices)
            structures[:] = map(jax.tree_util.tree_structure, (returned, *returned))
            y_axes[:] = _flat_axes(out_axes, returned[2], "out_axes", "outputs")
            return jax.tree_util.tree_leaves(returned)

        closed = jax.make_jaxpr(flat_body)(carry, inputs.slice_shapes())
        self._closed = closed
        self._treedef, constants, carries, _ = structures
        n_constants, n_carry = constants.num_leaves, carries.num_leaves
        constant = [
            *[True] * n_constants,
            *[False] * n_carry,
            *[axis is broadcast for axis in y_axes],
        ]
        values = self._evaluate_constant(constant)
        self.constants = jax.tree_util.tree_unflatten(constants, values[:n_constants])
        self.constant_ys = values[n_constants:]
        # `lax.scan` widens a weakly typed carry and traces again; a kept trace cannot follow.
        given = [var.aval for var in closed.jaxpr.invars[:n_carry]]
        returned = closed.out_avals[n_constants : n_constants + n_carry]
        self.replayable = given == returned and not _config.jax_disable_jit

    def _evaluate_constant(self, constant: list[bool]) -> list[Any]:
        if not any(constant):
            return []
        jaxpr = self._closed.jaxpr
        wanted = {
            var for var, yes in zip(jaxpr.outvars, constant, strict=True) if yes and _is_var(var)
        }
        # What only prints or asserts must neither run here nor count as a dependency.
        quiet = [e for e in jaxpr.eqns if not e.effects or wanted.intersection(e.outvars)]
        reduced, used = partial_eval.dce_jaxpr(jaxpr.replace(eqns=quiet), constant)
        if any(used):
            raise ValueError(
                "A broadcasted variable has a data dependency on the scan body: it was computed "
                "from the carry or from a slice of the inputs. Carry it (variable_carry), stack "
                "it (variable_axes, out_axes), or compute it from constants only."
            )
        values = jax.core.eval_jaxpr(reduced, self._closed.consts)
        return [x if isinstance(x, jax.Array) else jnp.asarray(x) for x in values]

    def replay(self, carry: Any, slices: list[Any]) -> Any:
        leaves = jax.tree_util.tree_leaves((carry, slices))
        outputs = jax.core.eval_jaxpr(self._closed.jaxpr, self._closed.consts, *leaves)
        return jax.tree_util.tree_unflatten(self._treedef, outputs)


class _SplitOutputs:
    """Takes the stacked ones out of the outputs of a step, and puts whole outputs together."""

    def __init__(self, out_axes: Any) -> None:
        self._out_axes = out_axes
        self._axes: list[Any] = []
        self._treedef: Any = None

    def __call__(self, y: Any) -> list[Any]:
        leaves, self._treedef = jax.tree_util.tree_flatten(y)
        self._axes = _flat_axes(self._out_axes, y, "out_axes", "outputs")
        return [x for x, axis in zip(leaves, self._axes, strict=True) if axis is not broadcast]

    def join(self, stacked: list[Any], constant: list[Any]) -> Any:
        of_steps, of_all = iter(stacked), iter(constant)
        leaves = [
            next(of_all)
            if axis is broadcast
            else next(of_steps)
            if axis == 0
            else jnp.moveaxis(next(of_steps), 0, axis)
            for axis in self._axes
        ]
        return jax.tree_util.tree_unflatten(self._treedef, leaves)


def _is_distributed(aval: Any) -> bool:
    """Tell whether the type says how an array lies on a mesh: then a slice's type does too."""
    spec = getattr(getattr(aval, "sharding", None), "spec", ())
    return bool(getattr(aval, "vma", None)) or any(axis is not None for axis in spec)


def _is_var(atom: Any) -> bool:
    return not isinstance(atom, jex.Literal)


def _has_broadcast(axes: Any) -> bool:
    return any(axis is broadcast for axis in jax.tree_util.tree_leaves(axes))


def _flat_axes(axes: Any, tree: Any, argument: str, what: str) -> list[Any]:
    """Return one axis for each leaf of the tree."""
    if isinstance(axes, int) or axes is broadcast:
        return [axes] * len(jax.tree_util.tree_leaves(tree))
    structure: Any
    try:
        ends, structure = jax.tree_util.tree_flatten(axes)
        parts = structure.flatten_up_to(tree)
    except ValueError as error:
        raise ValueError(
            f"The {argument} {axes} of a scan do not match its {what}: each must be an integer or "
            f"`broadcast`, or a tree of these with the {what}' upper structure. {error}"
        ) from error
    return [
        axis
        for axis, part in zip(ends, parts, strict=True)
        for _ in jax.tree_util.tree_leaves(part)
    ]
