"""Towers of 48 layers by Repeat: a scan against the same written out, and against raw JAX."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.measure import Run, Series, alternate, ratio
from benchmarks.report import table
from ramie import linen as nn
from ramie import nnx

LAYERS, BATCH, WIDTH, HIDDEN = 48, 64, 128, 256
COMPILED, RUN = "gradient step, compiled", "gradient step, run"
BARS = {(COMPILED, "written out"): "0.15x", (COMPILED, "raw jax"): "", (RUN, "raw jax"): "1.05x"}
Step = Callable[..., Any]
Call = tuple[Step, tuple[Any, ...]]
"""A jitted function and its arguments."""


class LinenLayer(nn.Module):
    """Two dense layers and a sum, as in `benchmarks.scanned`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Compute."""
        y = nn.Dense(HIDDEN, name="up")(x)
        return x + nn.Dense(WIDTH, name="down")(jax.nn.gelu(y))


class NnxLayer(nnx.Module):
    """The same for NNX."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.up = nnx.Linear(WIDTH, HIDDEN, rngs=rngs)
        self.down = nnx.Linear(HIDDEN, WIDTH, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Compute."""
        y: jax.Array = x + self.down(jax.nn.gelu(self.up(x)))
        return y


def inputs() -> jax.Array:
    """Return a batch."""
    return jnp.linspace(-1.0, 1.0, BATCH * WIDTH).reshape(BATCH, WIDTH)


def linen_call(scan: bool, **options: Any) -> Call:
    """Return a gradient step of the Linen tower, not compiled yet."""
    tower = nn.Repeat(LinenLayer, LAYERS, scan=scan, **options)

    def loss(variables: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(tower.apply(variables, x) ** 2)  # type: ignore[operator]

    variables = jax.jit(tower.init)(jax.random.key(0), inputs())
    return jax.jit(jax.value_and_grad(loss)), (variables, inputs())


def nnx_call(scan: bool, **options: Any) -> Call:
    """Return a gradient step of the NNX tower, not compiled yet."""
    tower = nnx.Repeat(NnxLayer, LAYERS, rngs=nnx.Rngs(0), scan=scan, **options)

    def loss(tower: nnx.Repeat, x: jax.Array) -> jax.Array:
        return jnp.sum(tower(x) ** 2)

    return nnx.jit(nnx.value_and_grad(loss)), (tower, inputs())


def raw_call() -> Call:
    """Return the step of a `jax.lax.scan` over the same stacked parameters."""
    params = nn.Repeat(LinenLayer, LAYERS, scan=True).init(jax.random.key(0), inputs())
    layers = jax.tree.map(jnp.asarray, params["params"]["layers"])

    def loss(params: Any, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, params: Any) -> tuple[jax.Array, None]:
            y = x @ params["up"]["kernel"] + params["up"]["bias"]
            return x + jax.nn.gelu(y) @ params["down"]["kernel"] + params["down"]["bias"], None

        return jnp.sum(jax.lax.scan(layer, x, params)[0] ** 2)

    return jax.jit(jax.value_and_grad(loss)), (layers, inputs())


MAKERS: dict[str, Callable[[bool], Call]] = {"Linen": linen_call, "NNX": nnx_call}


def _process_time(work: Callable[[], object]) -> Run:
    """Count all threads: XLA compiles and computes in its own."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run


def _compile(make: Callable[[], Call]) -> Run:
    def run() -> float:
        step, arguments = make()
        return _process_time(lambda: step.lower(*arguments).compile())()  # type: ignore[attr-defined]

    return run


def _steps(call: Call, count: int = 20) -> Run:
    step, arguments = call

    def work() -> None:
        for _ in range(count):
            jax.block_until_ready(step(*arguments))

    return _process_time(work)


def measure(rounds: int) -> dict[str, dict[str, dict[str, Series]]]:
    """Return the CPU times by workload, style and contender."""
    compiling = {
        style: alternate(
            {
                "scan": _compile(functools.partial(make, True)),
                "written out": _compile(functools.partial(make, False)),
                "raw jax": _compile(raw_call),
            },
            max(1, rounds // 3),
        )
        for style, make in MAKERS.items()
    }
    contenders = {style: _steps(make(True)) for style, make in MAKERS.items()}
    times = alternate({**contenders, "raw jax": _steps(raw_call())}, rounds)
    running = {style: {"scan": times[style], "raw jax": times["raw jax"]} for style in MAKERS}
    return {COMPILED: compiling, RUN: running}


def _against(series: dict[str, Series], base: str) -> tuple[str, str]:
    found = ratio(series["scan"], series[base])
    if found is None:
        return f"failed: {series['scan'].failure or series[base].failure}", base
    text = f"{found.of_minima:.2f}x / {found.of_medians:.2f}x ({found.low:.2f} to {found.high:.2f})"
    return text, f"{base}, {min(series[base].times):.3f} s"


def section(rounds: int) -> str:
    """Return the section of the report."""
    rows = []
    found = measure(rounds)
    for (workload, base), bar in BARS.items():
        for style, series in found[workload].items():
            rows.append([f"{workload}, {style}", *_against(series, base), bar])
    return (
        "## Towers by Repeat\n\n"
        f"`nn.Repeat` and `nnx.Repeat` over {LAYERS} residual layers of two dense ones, loss and "
        f"gradients, with `scan=True`; CPU time of all threads, {rounds} rounds, a third of "
        "them of compiling, which includes tracing.\n\n"
        + table(["workload", "scan", "to what", "bar"], rows)
    )
