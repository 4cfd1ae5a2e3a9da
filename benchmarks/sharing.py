"""Models of repeated blocks: what tracing and lowering them costs, traced once or each for itself.

The transformer of `benchmarks/transformer.py` with 24 and 96 blocks: raw JAX written flat, the same
with its block under `jax.jit` by hand, and Linen and `nnx.jit` with and without `share_traces`.
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
from ramie import nnx

DEPTHS = (24, 96)
FLAT, BY_HAND = "raw jax", "raw jax, block jitted"
SHARED, UNSHARED, NNX_SHARED, NNX = "linen, shared", "linen", "nnx, shared", "nnx"
BARS = {"traced": "0.25x", "lowered": "0.35x"}


def _by_hand(variables: dict[str, Any], ids: jax.Array) -> jax.Array:
    params = variables["params"]
    block = jax.jit(lambda own, x: transformer._block(own, x))
    x = jax.numpy.take(params["Embed_0"]["embedding"], ids, axis=0)
    for layer in range(transformer.LAYERS):
        x = block(params[f"Block_{layer}"], x)
    x = transformer._layer_norm(params["LayerNorm_0"], x)
    return transformer._dense(params["Dense_0"], x)


Trace = Callable[[], Any]


def contenders(depth: int) -> dict[str, Trace]:
    """Return functions that trace the model, each time anew."""
    transformer.LAYERS = depth
    ids = transformer.tokens()
    linen_model = transformer.linen_transformer(nn)
    variables = jax.eval_shape(linen_model.init, jax.random.key(0), ids)
    model = transformer.nnx_transformer(nnx)

    def traced(function: Callable[..., Any]) -> Any:
        return jax.jit(lambda v, ids: function(v, ids)).trace(variables, ids)

    def shared(variables: Any, ids: jax.Array) -> Any:
        with nn.share_traces():
            return linen_model.apply(variables, ids)

    def traced_model(share_traces: bool) -> Any:
        forward = nnx.jit(lambda model, ids: model(ids), share_traces=share_traces)
        return forward.trace(model, ids)

    return {
        FLAT: lambda: traced(transformer.raw_transformer),
        BY_HAND: lambda: traced(_by_hand),
        SHARED: lambda: traced(shared),
        UNSHARED: lambda: traced(linen_model.apply),
        NNX_SHARED: lambda: traced_model(True),
        NNX: lambda: traced_model(False),
    }


def _lowering(trace: Trace) -> Run:
    def run() -> float:
        traced = trace()
        start = time.thread_time()
        traced.lower()
        return time.thread_time() - start

    return run


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return times by workload and contender."""
    found = {}
    for depth in DEPTHS:
        traces = contenders(depth)
        found[f"{depth} blocks, traced"] = alternate(
            {name: cpu_time(trace) for name, trace in traces.items()}, rounds
        )
        found[f"{depth} blocks, lowered"] = alternate(
            {name: _lowering(trace) for name, trace in traces.items()}, rounds
        )
    return found


def memory() -> dict[int, dict[str, int]]:
    """Return the most bytes that a trace took in Python, by depth and contender."""
    found: dict[int, dict[str, int]] = {}
    for depth in DEPTHS:
        found[depth] = {}
        for name, trace in contenders(depth).items():
            trace()
            gc.collect()
            tracemalloc.start()
            trace()
            found[depth][name] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    return found


def section(rounds: int) -> str:
    """Measure, and return the section of the report."""
    depth_before = transformer.LAYERS
    times = measure(rounds)
    peaks = memory()
    others = (BY_HAND, SHARED, UNSHARED, NNX_SHARED, NNX)
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
    header = ["workload", *others, "bar where shared", f"{FLAT}, s"]
    return (
        "## Repeated blocks\n\n"
        "The transformer of the first section with 24 and 96 blocks, from `jax.jit` to the text "
        f"that is compiled; CPU time of the main thread, {rounds} rounds, against raw JAX without "
        "functions, as *ratio of the minima / ratio of the medians (middle half of the ratios "
        "within a round)*. Memory is the most that Python takes. Ramie traces equal blocks once "
        "under `nn.share_traces()` and by "
        "`nnx.jit(..., share_traces=True)`.\n\n" + report.table(header, rows)
    )
