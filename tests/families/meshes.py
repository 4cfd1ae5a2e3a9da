"""Layers on meshes: how inputs and parameters are laid out, and one step of training there.

The functions take the namespaces of either library, so that the same cells can be tried with Flax:
`python -m tests.families.meshes flax`.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from tests.families.nnx_rows import ROWS as NNX_ROWS
from tests.families.row import Input, Row, floats, randomised
from tests.families.table import ROWS

AXES = ("data", "model")
KINDS = {
    "explicit": (AxisType.Explicit, AxisType.Explicit),
    "auto": (AxisType.Auto, AxisType.Auto),
    "mixed": (AxisType.Explicit, AxisType.Auto),
}

# What is not a float of one of the usual kinds all through: layers that only this table has.
OVERWRITTEN = "_overwrite_with_gradient"


def _einsum_in_fp8(nn: Any) -> Any:
    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        @nn.compact  # type: ignore[untyped-decorator]
        def __call__(self, x: Any) -> Any:
            kernel = self.param("kernel", nn.initializers.lecun_normal(), (6, 4))
            return nn.Fp8Einsum(amax_history_length=4)("abc,cd->abd", x, kernel)

    return Layer()


def _dense_in_fp8(kind: str) -> Callable[[Any], Any]:
    def make(nn: Any) -> Any:
        product = functools.partial(getattr(nn, kind), amax_history_length=4)
        return nn.Dense(4, dot_general_cls=product)

    return make


LINEN_ROWS = (
    *ROWS,
    Row("dense_fp8", _dense_in_fp8("Fp8DirectDotGeneralOp"), (floats(4, 2, 6),)),
    Row("dense_fp8_rounded", _dense_in_fp8("NANOOFp8DotGeneralOp"), (floats(4, 2, 6),)),
    Row("einsum_fp8", _einsum_in_fp8, (floats(4, 2, 6),)),
)

OPTIMIZER = optax.sgd(0.1, momentum=0.9)

# Sizes by which the row's own would not divide, or with which gradients are lost in rounding.
INPUTS = {
    "einsum_transposed": (floats(4, 4, 5, 6),),
    "attention_normalized": (floats(2, 5, 12),),
}
UNFIT = {"einsum_transposed"}  # its kernel has the size of the batch


def mesh_of(kind: str) -> Any:
    """A mesh of 2 by 2 devices with axes of that kind."""
    return jax.make_mesh((2, 2), AXES, axis_types=KINDS[kind], devices=jax.devices()[:4])


def _even(size: int) -> bool:
    return size > 0 and size % 2 == 0


def _at(ndim: int, **axes: int) -> P:
    names: list[Any] = [None] * ndim
    for name, axis in axes.items():
        names[axis] = name
    return P(*names)


def _batch(shape: tuple[int, ...]) -> P:
    return _at(len(shape), data=0) if shape and _even(shape[0]) else P()


def _sequence(shape: tuple[int, ...]) -> P:
    fits = len(shape) > 2 and _even(shape[0]) and _even(shape[1])
    return _at(len(shape), data=0, model=1) if fits else _batch(shape)


def _features(shape: tuple[int, ...]) -> P:
    fits = len(shape) > 1 and _even(shape[0]) and _even(shape[-1])
    return _at(len(shape), data=0, model=-1) if fits else _batch(shape)


def _whole(shape: tuple[int, ...]) -> P:
    return P()


def _first(name: str) -> Callable[[tuple[int, ...]], P]:
    def rule(shape: tuple[int, ...]) -> P:
        fitting = [axis for axis, size in enumerate(shape) if _even(size)]
        return _at(len(shape), **{name: fitting[0]}) if fitting else P()

    return rule


def _last(name: str) -> Callable[[tuple[int, ...]], P]:
    def rule(shape: tuple[int, ...]) -> P:
        return _at(len(shape), **{name: -1}) if shape and _even(shape[-1]) else P()

    return rule


LAYOUTS: dict[str, tuple[Callable[..., P], Callable[..., P]]] = {
    "batch": (_batch, _whole),
    "columns": (_batch, _last("model")),
    "rows": (_features, _first("model")),
    "fsdp": (_batch, _first("data")),
    "fsdp, last axis": (_batch, _last("data")),
    "sequence": (_sequence, _whole),
}
"""For inputs and for parameters: what says by its shape how an array is laid out."""


def fitting(row: Any) -> Any:
    """The row with a batch that two devices can share."""
    if row.name in INPUTS:
        return dataclasses.replace(row, inputs=INPUTS[row.name])

    def doubled(given: Input, is_first: bool) -> Input:
        if not given.shape or not given.shape[0] % 2 or not (is_first or len(given.shape) > 1):
            return given
        shape = (2 * given.shape[0], *given.shape[1:])
        return type(given)(shape, given.below, given.boolean)

    inputs = tuple(doubled(given, i == 0) for i, given in enumerate(row.inputs))
    return dataclasses.replace(row, inputs=inputs)


def put(mesh: Any, tree: Any, rule: Callable[..., P]) -> Any:
    """Lay arrays of a tree out by their shapes."""

    def placed(x: Any) -> Any:
        return jax.device_put(x, NamedSharding(mesh, rule(x.shape)))

    return jax.tree.map(placed, tree)


def _total(out: Any) -> Any:
    leaves = [x for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.floating)]
    return sum(jnp.sum(jnp.sin(x)) for x in leaves)


def linen_case(row: Any, nn: Any) -> tuple[Callable[..., Any], Any]:
    """A step of training with a layer of Linen, and variables for it."""
    row = fitting(row)
    module = row.make(nn)
    variables = randomised(row.init(nn))

    def step(variables: Any, arguments: Any) -> Any:
        params, scales = variables.get("params", {}), variables.get(OVERWRITTEN, {})
        rest = {k: held for k, held in variables.items() if k not in ("params", OVERWRITTEN)}

        def loss(params: Any, scales: Any) -> Any:
            used = {"params": params, **({OVERWRITTEN: scales} if scales else {})}
            out = row.apply(module, {**rest, **used}, *arguments)
            return _total(out), out

        if not params or not row.differentiable:
            return loss(params, scales)[1], params
        (gradients, scales), out = jax.grad(loss, (0, 1), has_aux=True)(params, scales)
        out = (out, scales) if scales else out
        updates, _ = OPTIMIZER.update(gradients, OPTIMIZER.init(params), params)
        return out, optax.apply_updates(params, updates)

    return step, variables


def nnx_case(row: Any, nnx: Any) -> tuple[Callable[..., Any], Any]:
    """A step of training with a layer of NNX, and a state for it."""
    row = fitting(row)
    graphdef, state = nnx.split(row.layer(nnx))

    def step(state: Any, arguments: Any) -> Any:
        model = nnx.merge(graphdef, state)

        def loss(model: Any) -> Any:
            out = row.call(model, *arguments)
            return _total(out), out

        if row.differentiable:
            optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)
            gradients, out = nnx.grad(loss, has_aux=True)(model)
            optimizer.update(model, gradients)
        else:
            out = loss(model)[1]
        return out, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.RngState)))

    return step, state


def arguments_of(row: Any) -> Any:
    """Inputs for the layer of a row."""
    return fitting(row).arguments()


def laid_out(case: tuple[Any, Any], row: Any, mesh: Any, layout: str) -> tuple[Any, Any]:
    """Variables and inputs of a case, laid out on a mesh."""
    of_inputs, of_params = LAYOUTS[layout]
    return put(mesh, case[1], of_params), put(mesh, arguments_of(row), of_inputs)


def typed(case: tuple[Any, Any], row: Any, kind: str, layout: str) -> Any:
    """Trace a step of training on a mesh: the types of the outputs and of the new parameters."""
    mesh = mesh_of(kind)
    with jax.set_mesh(mesh):
        return jax.jit(case[0]).trace(*laid_out(case, row, mesh, layout)).out_info


def computed(case: tuple[Any, Any], row: Any, kind: str, layout: str) -> Any:
    """Run a step of training on a mesh."""
    mesh = mesh_of(kind)
    with jax.set_mesh(mesh):
        out = jax.jit(case[0])(*laid_out(case, row, mesh, layout))
        return jax.tree.map(np.asarray, out)


def cells(nn: Any, nnx: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every row with its style and its case; an error in place of a case that cannot be made."""
    styles = (("linen", LINEN_ROWS, linen_case, nn), ("nnx", NNX_ROWS, nnx_case, nnx))
    for style, rows, make, namespace in styles:
        for row in rows:
            if not getattr(row, "peer", True) or not hasattr(nnx, getattr(row, "needs", "Module")):
                continue
            if row.name not in UNFIT:
                yield style, row, make(row, namespace)


def count(
    nn: Any, nnx: Any, kinds: tuple[str, ...] = ("explicit", "mixed")
) -> dict[Any, list[int]]:
    """Count for each style, kind of mesh and layout the rows that work, and all of them."""
    found: dict[Any, list[int]] = {}
    for style, row, case in cells(nn, nnx):
        for kind in kinds:
            for layout in LAYOUTS:
                tally = found.setdefault((style, kind, layout), [0, 0])
                tally[1] += 1
                try:
                    typed(case, row, kind, layout)
                except Exception:  # whatever it is, the cell does not work
                    continue
                tally[0] += 1
    return found


def main(library: str) -> None:
    """Print the table for one of both libraries."""
    if library == "flax":
        from flax import linen, nnx
    else:
        from ramie import linen, nnx
    for (style, kind, layout), (works, tried) in count(linen, nnx).items():
        print(f"{style:6} {kind:9} {layout:16} {works:3} of {tried}")


if __name__ == "__main__":
    main(sys.argv[1])
