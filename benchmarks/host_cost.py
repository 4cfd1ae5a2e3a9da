"""The host cost of Linen on the transformer: apply traced, apply eager, init traced."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import transformer
from benchmarks.measure import Series, alternate, cpu_time

NAMESPACES = {"ramie": "ramie.linen", "flax": "flax.linen"}


@functools.cache
def _model(library: str) -> Any:
    return transformer.linen_transformer(importlib.import_module(NAMESPACES[library]))


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


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the times of each workload, by workload and contender."""
    ids = transformer.tokens()
    variables = make_variables("flax")
    key = jax.random.key(0)

    def raw_trace() -> None:
        _trace(transformer.raw_transformer, variables, ids)

    def raw_eager() -> None:
        jax.block_until_ready(transformer.raw_transformer(variables, ids))

    workloads: dict[str, tuple[Callable[[Any], object], Callable[[], object]]] = {
        "apply, traced": (lambda model: _trace(model.apply, variables, ids), raw_trace),
        "apply, eager": (
            lambda model: jax.block_until_ready(model.apply(variables, ids)),
            raw_eager,
        ),
        # There is no raw form of init: its yardstick is the trace of the raw forward pass.
        "init, traced": (lambda model: _trace(model.init, key, ids), raw_trace),
    }
    results = {}
    for workload, (with_model, raw) in workloads.items():

        def run(library: str, with_model: Callable[[Any], object] = with_model) -> None:
            with_model(_model(library))

        contenders = {name: cpu_time(functools.partial(run, name)) for name in NAMESPACES}
        results[workload] = alternate({**contenders, "raw jax": cpu_time(raw)}, rounds, warm_up=2)
    return results
