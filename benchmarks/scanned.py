"""A scan over 48 layers against the same scan in plain JAX: what compiling costs, and a step."""

import functools
import importlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.measure import Run, Series, alternate

LAYERS, BATCH, WIDTH, HIDDEN = 48, 8, 64, 128
WORKLOADS = ("gradient step, compiled", "gradient step, run")
NAMESPACES = {"ramie": "ramie.linen", "flax": "flax.linen"}


def inputs() -> jax.Array:
    return jnp.linspace(-1.0, 1.0, BATCH * WIDTH).reshape(BATCH, WIDTH)


def linen_stack(nn: ModuleType) -> Any:
    """Return the model as a module of `nn`, which is `ramie.linen` or `flax.linen`."""

    class Layer(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            y = nn.Dense(HIDDEN, name="up")(x)
            return x + nn.Dense(WIDTH, name="down")(jax.nn.gelu(y)), None

    class Stack(nn.Module):  # type: ignore[name-defined]
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            layers = nn.scan(
                Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=LAYERS
            )
            return layers(name="layers")(x, None)[0]

    return Stack()


def raw_stack(variables: dict[str, Any], x: jax.Array) -> jax.Array:
    """Compute the model from its parameters with nothing but jax and jnp."""

    def layer(x: jax.Array, params: dict[str, Any]) -> tuple[jax.Array, None]:
        y = x @ params["up"]["kernel"] + params["up"]["bias"]
        return x + jax.nn.gelu(y) @ params["down"]["kernel"] + params["down"]["bias"], None

    return jax.lax.scan(layer, x, variables["params"]["layers"])[0]


def _step(model: Callable[..., jax.Array]) -> Callable[..., Any]:
    """Return a fresh jitted gradient step, which JAX has no program for yet."""

    def loss(variables: dict[str, Any], x: jax.Array) -> jax.Array:
        return jnp.sum(model(variables, x) ** 2)

    return jax.jit(jax.value_and_grad(loss))


def _process_time(work: Callable[[], object]) -> Run:
    """Count all threads: XLA compiles and computes in its own."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU times of compiling and of running, by workload and contender."""
    x = inputs()
    forwards: dict[str, Callable[..., jax.Array]] = {
        name: linen_stack(importlib.import_module(path)).apply for name, path in NAMESPACES.items()
    }
    forwards["raw jax"] = raw_stack
    model = linen_stack(importlib.import_module(NAMESPACES["ramie"]))
    variables = jax.jit(model.init)(jax.random.key(0), x)

    def compile_step(forward: Callable[..., jax.Array]) -> Callable[..., Any]:
        return _step(lambda *arguments: forward(*arguments)).lower(variables, x).compile()

    def run_step(step: Callable[..., Any]) -> None:
        for _ in range(20):
            jax.block_until_ready(step(variables, x))

    compiling = {
        name: _process_time(functools.partial(compile_step, forward))
        for name, forward in forwards.items()
    }
    running = {
        name: _process_time(functools.partial(run_step, compile_step(forward)))
        for name, forward in forwards.items()
    }
    pairs = zip(WORKLOADS, (compiling, running), strict=True)
    return {workload: alternate(contenders, rounds) for workload, contenders in pairs}
