"""Models of repeated blocks: what tracing and lowering them costs, traced once or each for itself.

The transformer of `benchmarks/transformer.py` with 24 and 96 blocks: raw JAX written flat, the same
with its block under `jax.jit` by hand, and Linen with and without `share_traces`.
"""

import gc
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import jax

import ramie.linen as nn
from benchmarks import report, transformer
from benchmarks.measure import Run, Series, alternate, cpu_time

DEPTHS = (24, 96)
FLAT, BY_HAND, SHARED, UNSHARED = "raw jax", "raw jax, block jitted", "ramie, shared", "ramie"
BARS = {"traced": "0.25x", "lowered": "0.35x"}


def _by_hand(variables: dict[str, Any], ids: jax.Array) -> jax.Array:
    params = variables["params"]
    block = jax.jit(lambda own, x: transformer._block(own, x))
    x = jax.numpy.take(params["Embed_0"]["embedding"], ids, axis=0)
    for layer in range(transformer.LAYERS):
        x = block(params[f"Block_{layer}"], x)
    x = transformer._layer_norm(params["LayerNorm_0"], x)
    return transformer._dense(params["Dense_0"], x)


def contenders(depth: int) -> tuple[dict[str, Callable[..., Any]], Any]:
    """Return functions that compute the model, made anew by each call, and their variables."""
    transformer.LAYERS = depth
    model = transformer.linen_transformer(nn)
    variables = jax.eval_shape(model.init, jax.random.key(0), transformer.tokens())

    def shared(variables: Any, ids: jax.Array) -> Any:
        with nn.share_traces():
            return model.apply(variables, ids)

    functions = {
        FLAT: transformer.raw_transformer,
        BY_HAND: _by_hand,
        SHARED: shared,
        UNSHARED: model.apply,
    }
    return functions, variables


def _traced(function: Callable[..., Any], variables: Any) -> Any:
    return jax.jit(lambda v, ids: function(v, ids)).trace(variables, transformer.tokens())


def _lowering(function: Callable[..., Any], variables: Any) -> Run:
    def run() -> float:
        traced = _traced(function, variables)
        start = time.thread_time()
        traced.lower()
        return time.thread_time() - start

    return run


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return times by workload and contender."""
    found = {}
    for depth in DEPTHS:
        functions, variables = contenders(depth)
        traces = {
            name: cpu_time(
                lambda function=function, variables=variables: _traced(function, variables)
            )
            for name, function in functions.items()
        }
        lowerings = {name: _lowering(function, variables) for name, function in functions.items()}
        found[f"{depth} blocks, traced"] = alternate(traces, rounds)
        found[f"{depth} blocks, lowered"] = alternate(lowerings, rounds)
    return found


def memory() -> dict[int, dict[str, int]]:
    """Return the most bytes that a trace took in Python, by depth and contender."""
    found: dict[int, dict[str, int]] = {}
    for depth in DEPTHS:
        functions, variables = contenders(depth)
        found[depth] = {}
        for name, function in functions.items():
            _traced(function, variables)
            gc.collect()
            tracemalloc.start()
            _traced(function, variables)
            found[depth][name] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    return found


def section(rounds: int) -> str:
    """Measure, and return the section of the report."""
    depth_before = transformer.LAYERS
    times = measure(rounds)
    peaks = memory()
    others = (BY_HAND, SHARED, UNSHARED)
    rows = []
    for workload, series in times.items():
        depth, kind = workload.split(" blocks, ")
        base = series[FLAT]
        ratios = [report.ratio_text(series[name], base) for name in others]
        rows.append([workload, *ratios, BARS[kind], f"{min(base.times):.3f}"])
        if kind == "traced":
            sizes = peaks[int(depth)]
            ratios = [f"{sizes[name] / sizes[FLAT]:.2f}" for name in others]
            rows.append([f"{workload}: memory", *ratios, "0.4x", f"{sizes[FLAT] / 1e6:.1f} MB"])
    transformer.LAYERS = depth_before
    header = ["workload", *others, f"bar for {SHARED}", f"{FLAT}, s"]
    return (
        "## Repeated blocks\n\n"
        "The transformer of the first section with 24 and 96 blocks, from `jax.jit` to the text "
        f"that is compiled; CPU time of the main thread, {rounds} rounds, against raw JAX without "
        "functions, as *ratio of the minima / ratio of the medians (middle half of the ratios "
        "within a round)*. Memory is the most that Python takes. Ramie traces equal blocks once "
        "under `nn.share_traces()`.\n\n" + report.table(header, rows)
    )
