"""The host cost of Linen: a transformer traced, eager and initialised, and a ResNet-50 traced."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxprs_in_params

from benchmarks import resnet, transformer
from benchmarks.measure import Series, alternate, cpu_time
from ramie.configurations import config

NAMESPACES = {"ramie": "ramie.linen", "flax": "flax.linen"}


@functools.cache
def _model(library: str) -> Any:
    return transformer.linen_transformer(importlib.import_module(NAMESPACES[library]))


@functools.cache
def _resnet(library: str) -> Any:
    return resnet.linen_resnet(importlib.import_module(NAMESPACES[library]))


def _trace(function: Callable[..., Any], *arguments: Any) -> None:
    # A new function object each time: JAX remembers the traces of those it has seen.
    jax.make_jaxpr(lambda *inputs: function(*inputs))(*arguments)


def make_variables(library: str) -> Any:
    """Return parameters that are off their initial values, where a scale of 1 hides rounding."""
    initial = jax.jit(_model(library).init)(jax.random.key(0), transformer.tokens())
    leaves, structure = jax.tree.flatten(initial)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [
        leaf + 0.1 * jax.random.normal(key, leaf.shape, leaf.dtype)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)


def keeps_every_bit() -> bool:
    """Tell whether Ramie's eager output and parameters equal Flax's in every bit."""
    ids = transformer.tokens()
    variables = make_variables("flax")
    outputs = [np.asarray(_model(name).apply(variables, ids)) for name in NAMESPACES]
    trees = [_model(name).init(jax.random.key(3), ids) for name in NAMESPACES]
    leaves = [[np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)] for tree in trees]
    same_keys = jax.tree.structure(trees[0]) == jax.tree.structure(trees[1])
    return outputs[0].tobytes() == outputs[1].tobytes() and same_keys and leaves[0] == leaves[1]


def equations() -> dict[str, dict[str, int]]:
    """Count the equations of traced programs, nested ones too, by model and contender."""
    ids, image = transformer.tokens(), resnet.image()
    counts: dict[str, dict[str, int]] = {"transformer": {}, "ResNet-50": {}}
    for name in NAMESPACES:
        model = _model(name)
        variables = jax.eval_shape(model.init, jax.random.key(0), ids)
        counts["transformer"][name] = _count(jax.make_jaxpr(model.apply)(variables, ids).jaxpr)
        counts["transformer"]["raw jax"] = _count(
            jax.make_jaxpr(transformer.raw_transformer)(variables, ids).jaxpr
        )
        model = _resnet(name)
        variables = jax.eval_shape(model.init, jax.random.key(0), image)
        counts["ResNet-50"][name] = _count(jax.make_jaxpr(model.apply)(variables, image).jaxpr)
        counts["ResNet-50"]["raw jax"] = _count(
            jax.make_jaxpr(resnet.raw_resnet)(variables, image).jaxpr
        )
    return counts


def _count(jaxpr: Any) -> int:
    inner = (sub for e in jaxpr.eqns for sub in jaxprs_in_params(e.params))
    return len(jaxpr.eqns) + sum(map(_count, inner))


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the times of each workload, by workload and contender."""
    ids = transformer.tokens()
    variables = make_variables("flax")
    key = jax.random.key(0)

    def raw_trace() -> None:
        _trace(transformer.raw_transformer, variables, ids)

    def raw_eager() -> None:
        jax.block_until_ready(transformer.raw_transformer(variables, ids))

    def eager(library: str) -> None:
        jax.block_until_ready(_model(library).apply(variables, ids))

    def eager_compiled(library: str) -> None:
        with config.temp_flip_flag("ramie_compiled_layers", "all"):
            eager(library)

    image = resnet.image()
    shapes = jax.eval_shape(_resnet("flax").init, key, image)
    workloads: dict[str, tuple[Callable[[str], object], Callable[[], object]]] = {
        "apply, traced": (lambda name: _trace(_model(name).apply, variables, ids), raw_trace),
        "apply of ResNet-50, traced": (
            lambda name: _trace(_resnet(name).apply, shapes, image),
            lambda: _trace(resnet.raw_resnet, shapes, image),
        ),
        "apply, eager": (eager, raw_eager),
        "apply, eager, all layers compiled": (eager_compiled, raw_eager),
        # There is no raw form of init: its yardstick is the trace of the raw forward pass.
        "init, traced": (lambda name: _trace(_model(name).init, key, ids), raw_trace),
    }
    results = {}
    for workload, (with_library, raw) in workloads.items():
        contenders = {name: cpu_time(functools.partial(with_library, name)) for name in NAMESPACES}
        results[workload] = alternate({**contenders, "raw jax": cpu_time(raw)}, rounds, warm_up=2)
    return results
