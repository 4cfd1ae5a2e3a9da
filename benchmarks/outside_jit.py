"""Loops, branches and recurrent layers called outside `jit`: calls with shapes that were there."""

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import report
from benchmarks.measure import Run, Series, alternate, cpu_time

WIDTH, STEPS, DEPTH = 4, 5, 24
FLAX_TREE = "flax, tree mode"
BARS = {  # milliseconds
    **dict.fromkeys(("nnx.RNN", "nnx.Bidirectional", "nn.RNN", "nn.Bidirectional"), 2.0),
    **dict.fromkeys(
        (
            f"nnx.{name}{how}"
            for name in ("cond", "switch", "while_loop", "fori_loop", "scan")
            for how in ("", ", lambdas")
        ),
        0.7,
    ),
    **dict.fromkeys(("nn.scan", "nn.cond", "nn.switch", "nn.while_loop"), 0.7),
}
Calls = dict[str, Callable[[], Any]]


def _halved(model: Any, x: jax.Array) -> Any:
    return model(x) / 2


def _called(model: Any, x: jax.Array) -> Any:
    return model(x)


def _goes_on(carry: Any) -> Any:
    return carry[2] < 3


def _round(carry: Any) -> Any:
    model, x, i = carry
    return model, model(x), i + 1


def _counted(i: Any, carry: Any) -> Any:
    model, x = carry
    return model, model(x)


def of_nnx(nnx: Any, mode: dict[str, Any]) -> Calls:
    """Return calls of NNX, by name."""
    x, xs = jnp.ones((2, WIDTH)), jnp.ones((2, STEPS, WIDTH))
    yes, one = jnp.array(True), jnp.array(1)
    start = jnp.array(0)
    model = nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(0))
    keys = jax.random.split(jax.random.key(0), 3)
    stack = nnx.vmap(lambda key: nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(key)))(keys)
    rnn = nnx.RNN(nnx.LSTMCell(WIDTH, WIDTH, rngs=nnx.Rngs(0)))
    both = nnx.Bidirectional(
        *(nnx.RNN(nnx.GRUCell(WIDTH, WIDTH, rngs=nnx.Rngs(n))) for n in range(2))
    )
    axes = {"in_axes": (nnx.Carry, 0), "out_axes": nnx.Carry, **mode}
    scanned = nnx.scan(lambda x, layer: layer(x), **axes)
    mapped = nnx.vmap(lambda layer, x: layer(x), in_axes=(0, None), **mode)

    def loss(model: Any, x: jax.Array) -> Any:
        return (model(x) ** 2).sum()

    gradient, both_of = nnx.grad(loss, **mode), nnx.value_and_grad(loss, **mode)
    return {
        "nnx.RNN": lambda: rnn(xs),
        "nnx.Bidirectional": lambda: both(xs),
        "nnx.cond": lambda: nnx.cond(yes, _called, _halved, model, x, **mode),
        "nnx.cond, lambdas": lambda: nnx.cond(
            yes, lambda m, x: m(x), lambda m, x: m(x) / 2, model, x, **mode
        ),
        "nnx.switch": lambda: nnx.switch(one, [_called, _halved], model, x, **mode),
        "nnx.switch, lambdas": lambda: nnx.switch(
            one, [lambda m, x: m(x), lambda m, x: m(x) / 2], model, x, **mode
        ),
        "nnx.while_loop": lambda: nnx.while_loop(_goes_on, _round, (model, x, start), **mode),
        "nnx.while_loop, lambdas": lambda: nnx.while_loop(
            lambda c: c[2] < 3, lambda c: (c[0], c[0](c[1]), c[2] + 1), (model, x, start), **mode
        ),
        "nnx.fori_loop": lambda: nnx.fori_loop(0, 3, _counted, (model, x), **mode),
        "nnx.fori_loop, lambdas": lambda: nnx.fori_loop(
            0, 3, lambda i, c: (c[0], c[0](c[1])), (model, x), **mode
        ),
        "nnx.scan": lambda: scanned(x, stack),
        "nnx.scan, lambdas": lambda: nnx.scan(lambda x, layer: layer(x), **axes)(x, stack),
        "nnx.vmap": lambda: mapped(stack, x),
        "nnx.grad": lambda: gradient(model, x),
        "nnx.value_and_grad": lambda: both_of(model, x),
    }


def of_linen(nn: Any) -> Calls:
    """Return calls of Linen, by name."""
    x, xs = jnp.ones((2, WIDTH)), jnp.ones((2, STEPS, WIDTH))
    yes, one = jnp.array(True), jnp.array(1)

    class Block(nn.Module):  # type: ignore[misc]
        @nn.compact
        def __call__(self, x: Any, _: Any) -> Any:
            return nn.Dense(WIDTH)(x), None

    class Scan(nn.Module):  # type: ignore[misc]
        @nn.compact
        def __call__(self, x: Any) -> Any:
            axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
            return nn.scan(Block, length=3, **axes)()(x, None)[0]

    class Flow(nn.Module):  # type: ignore[misc]
        def setup(self) -> None:
            self.dense = nn.Dense(WIDTH)

        def __call__(self, x: Any) -> Any:
            return self.dense(x)

        def cond(self, x: Any, pred: Any) -> Any:
            return nn.cond(pred, lambda m, x: m.dense(x), lambda m, x: m.dense(x) / 2, self, x)

        def switch(self, x: Any, index: Any) -> Any:
            branches = [lambda m, x: m.dense(x), lambda m, x: m.dense(x) / 2]
            return nn.switch(index, branches, self, x)

        def loop(self, x: Any) -> Any:
            return nn.while_loop(
                lambda m, c: c[1] < 3, lambda m, c: (m.dense(c[0]), c[1] + 1), self, (x, 0)
            )

    def call(model: Any, x: jax.Array, *args: Any, **options: Any) -> Callable[[], Any]:
        variables = jax.jit(model.init)(jax.random.key(0), x)
        return functools.partial(model.apply, variables, x, *args, **options)

    def rnn(cell: Any) -> Any:
        return nn.RNN(cell(WIDTH))

    return {
        "nn.RNN": call(rnn(nn.LSTMCell), xs),
        "nn.Bidirectional": call(nn.Bidirectional(rnn(nn.GRUCell), rnn(nn.GRUCell)), xs),
        "nn.scan": call(Scan(), x),
        "nn.cond": call(Flow(), x, yes, method="cond"),
        "nn.switch": call(Flow(), x, one, method="switch"),
        "nn.while_loop": call(Flow(), x, method="loop"),
    }


def of_jax() -> Calls:
    """Return what plain JAX does at the same places, with functions that it knows."""
    x, xs = jnp.ones((2, WIDTH)), jnp.ones((3, WIDTH, WIDTH))
    w, b = jnp.ones((WIDTH, WIDTH)), jnp.ones(WIDTH)

    def dense(x: Any) -> Any:
        return x @ w + b

    def step(x: Any, w: Any) -> Any:
        return x @ w, None

    def loss(w: Any, b: Any, x: Any) -> Any:
        return ((x @ w + b) ** 2).sum()

    gradient = jax.grad(loss, argnums=(0, 1))
    return {
        "nnx.cond": lambda: jax.lax.cond(True, dense, dense, x),
        "nnx.scan": lambda: jax.lax.scan(step, x, xs),
        "nnx.grad": lambda: gradient(w, b, x),
    }


def _process_time(call: Callable[[], Any]) -> Run:
    """Count all threads, in which XLA compiles."""
    repeats = 0

    def run() -> float:
        nonlocal repeats
        start = time.process_time()
        jax.block_until_ready(call())
        if not repeats:  # what takes long is run once
            repeats = max(1, min(20, int(0.02 / (time.process_time() - start + 1e-6))))
            return time.process_time() - start
        start = time.process_time()
        for _ in range(repeats):
            jax.block_until_ready(call())
        return (time.process_time() - start) / repeats

    return run


def _has_tree_mode(nnx: Any) -> bool:
    try:
        nnx.cond(True, lambda x: x, lambda x: x, 1.0, graph=False)
    except TypeError:
        return False
    return True


def measure(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU times of a call, by workload and contender."""
    contenders: dict[str, Calls] = {}
    for name in ("ramie", "flax"):
        nn, nnx = (importlib.import_module(f"{name}.{style}") for style in ("linen", "nnx"))
        contenders[name] = of_linen(nn) | of_nnx(nnx, {})
        if name == "flax" and _has_tree_mode(nnx):
            contenders[FLAX_TREE] = of_nnx(nnx, {"graph": False})
    contenders["raw jax"] = of_jax()
    return {
        workload: alternate(
            {
                name: _process_time(calls[workload])
                for name, calls in contenders.items()
                if workload in calls
            },
            rounds,
            warm_up=2,
        )
        for workload in contenders["ramie"]
    }


# --- forward passes -------------------------------------------------------------------------------


def _network(nnx: Any) -> Any:
    class Net(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.layers = nnx.List([nnx.Linear(WIDTH, WIDTH, rngs=rngs) for _ in range(DEPTH)])

        def __call__(self, x: Any) -> Any:
            for layer in self.layers:
                x = x + jnp.tanh(layer(x))
            return x

    return Net(nnx.Rngs(0))


def _often(call: Callable[[], Any]) -> None:
    for _ in range(20):
        call()


def measure_forward(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU times of the forward pass of a network of NNX, and of the same in raw JAX."""
    x = jnp.ones((2, WIDTH))
    models = {name: _network(importlib.import_module(f"{name}.nnx")) for name in ("ramie", "flax")}
    params = [(layer.kernel[...], layer.bias[...]) for layer in models["ramie"].layers]

    def raw(x: Any) -> Any:
        for w, b in params:
            x = x + jnp.tanh(x @ w + b)
        return x

    calls: Calls = {name: functools.partial(model, x) for name, model in models.items()}
    calls["raw jax"] = functools.partial(raw, x)
    runs = {name: cpu_time(functools.partial(_often, call)) for name, call in calls.items()}
    return {"20 forward passes of NNX, eager": alternate(runs, rounds)}


def rows(workloads: dict[str, dict[str, Series]]) -> list[list[str]]:
    """Return rows: the workload, milliseconds of each contender, and the bar."""
    names = ("ramie", "flax", FLAX_TREE, "raw jax")

    def milliseconds(series: Series | None) -> str:
        if series is None:
            return ""
        return f"failed: {series.failure}" if series.failure else f"{min(series.times) * 1e3:.2f}"

    return [
        [
            workload,
            *(milliseconds(series.get(name)) for name in names),
            f"{BARS[workload]}" if workload in BARS else "",
        ]
        for workload, series in workloads.items()
    ]


def section(rounds: int) -> str:
    """Measure, and write the section of the report."""
    header = ["call", "ramie, ms", "flax, ms", f"{FLAX_TREE}, ms", "raw jax, ms", "bar, ms"]
    forward = measure_forward(rounds)
    return (
        "## Outside `jit`\n\n"
        "A call with small arrays whose shapes were there before; CPU time of all threads, minimum "
        f"of {rounds} rounds. Functions of loops and branches are the same at each call, or "
        "lambdas that are written in it. Raw JAX stands where it has the like, with functions that "
        "it knows.\n\n"
        + report.table(header, rows(measure(rounds)))
        + f"\n\nA network of {DEPTH} linear layers, CPU time of the main thread:\n\n"
        + report.comparison(forward, "raw jax", dict.fromkeys(forward, "1.0x"))
    )
