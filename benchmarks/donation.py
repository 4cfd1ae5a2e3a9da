"""What a train step takes in memory beyond its state, and what donation costs on the host."""

import ctypes
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from benchmarks import report
from benchmarks.measure import Series, alternate, cpu_time

ROOT = Path(__file__).resolve().parent.parent
LAYERS, WIDTH = 24, 1024  # 101 MB of parameters, three times that with Adam
STEPS = 3

HOLDS, DONATES, AUTO = "", ", donate_argnums", ', donate="auto"'
CONTENDERS = tuple(
    library + way
    for library in ("jax.jit", "ramie", "flax")
    for way in (HOLDS, DONATES, AUTO)
    if way is not AUTO or library == "ramie"
)
BARS = {"ramie": "1.05x of jax.jit", "ramie" + AUTO: "0.1x"}

CHILD = """
import json, sys
from benchmarks import donation
print(json.dumps(getattr(donation, sys.argv[1])(sys.argv[2])))
"""


class Memory(NamedTuple):
    """What a step took beyond the state, in sizes of the state.

    Attributes:
        resident: by how much the resident memory of the process rose, at most.
        planned: what the compiler set aside: temporaries, and results in memory of their own.
    """

    resident: float
    planned: float


def _model(nnx: Any, layers: int, width: int) -> Any:
    rngs = nnx.Rngs(0)
    return nnx.Sequential(*(nnx.Linear(width, width, rngs=rngs) for _ in range(layers)))


def _options(contender: str) -> dict[str, Any]:
    if contender.endswith(AUTO):
        return {"donate": "auto"}
    return {"donate_argnums": (0, 1)} if contender.endswith(DONATES) else {}


def _raw(layers: int, width: int, options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return a train step of plain JAX, and what it takes."""
    tx = optax.adam(1e-3)
    keys = jax.random.split(jax.random.key(0), layers)
    params = [
        {"kernel": jax.random.normal(key, (width, width)) / width**0.5, "bias": jnp.zeros(width)}
        for key in keys
    ]

    def loss(params: Any, x: Any) -> Any:
        for layer in params:
            x = x @ layer["kernel"] + layer["bias"][None]
        return jnp.mean(x**2)

    def step(params: Any, state: Any, x: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    return jax.jit(step, **options), [params, tx.init(params)]


def _library(name: str, layers: int, width: int, options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return a train step of a library, and what it takes."""
    nnx = importlib.import_module(f"{name}.nnx")
    model = _model(nnx, layers, width)
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    def step(model: Any, optimizer: Any, x: Any) -> Any:
        value, grads = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
        optimizer.update(model, grads)
        return value

    return nnx.jit(step, **options), [model, optimizer]


def _step(contender: str, layers: int, width: int) -> tuple[Callable[[], Any], Any, list[Any]]:
    """Return what makes a step, the compiled function, and what the step takes."""
    library = contender.partition(",")[0]
    x = jnp.ones((8, width))
    options = _options(contender)
    if library == "jax.jit":
        compiled, held = _raw(layers, width, options)

        def run() -> Any:
            held[0], held[1], value = compiled(held[0], held[1], x)
            return value

        return run, compiled, [held[0], held[1], x]
    compiled, held = _library(library, layers, width, options)
    return lambda: compiled(*held, x), compiled, [*held, x]


def _resident(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) * 1024


def _size(parts: list[Any]) -> int:
    leaves = [leaf for part in parts for leaf in jax.tree.leaves(part)]
    return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, jax.Array))


def peak(contender: str, layers: int = LAYERS, width: int = WIDTH) -> Memory:
    """Return what a step takes beyond the state, in this process.

    Args:
        contender: one of `CONTENDERS`.
        layers: of the model.
        width: of each layer.
    """
    run, compiled, taken = _step(contender, layers, width)
    state = _size(taken[:2])
    plan = compiled.lower(*taken).compile().memory_analysis()
    del taken
    for _ in range(STEPS):
        jax.block_until_ready(run())
    # What was freed goes back to the system, or some contenders would find their memory there.
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as marks:
        marks.write("5")  # the peak begins anew
    before = _resident("VmRSS")
    for _ in range(STEPS):
        jax.block_until_ready(run())
    own = plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return Memory((_resident("VmHWM") - before) / state, own / state)


def _in_a_process(what: str, contender: str) -> Any:
    made = subprocess.run(
        [sys.executable, "-c", CHILD, what, contender],
        cwd=ROOT,
        env=dict(os.environ, JAX_PLATFORMS="cpu"),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(made.stdout.splitlines()[-1])


def measure_memory(rounds: int) -> dict[str, Memory]:
    """Return the most that a step took beyond its state, each time in a process of its own."""
    found: dict[str, Memory] = {}
    for _ in range(rounds):
        for name in CONTENDERS:
            memory = Memory(*_in_a_process("peak", name))
            found[name] = max(found.get(name, memory), memory)
    return found


def seconds(contender: str, layers: int = 100, width: int = 4) -> float:
    """Return the least CPU time that a step of a small model takes on the host, in this process.

    Each contender has a process of its own, since a step also looks at what else lives there.
    """
    run, _, taken = _step(contender, layers, width)
    del taken

    def several() -> None:
        for _ in range(5):
            jax.block_until_ready(run())

    series = alternate({contender: cpu_time(several)}, 30, 3)[contender]
    return min(series.times) / 5


def measure_time(rounds: int) -> dict[str, Series]:
    """Return what a step costs on the host, by contender; processes in turn."""
    found = {name: Series() for name in CONTENDERS}
    for _ in range(rounds):
        for name, series in found.items():
            series.times.append(_in_a_process("seconds", name))
    return found


def section(rounds: int) -> str:
    """Write the section of the report."""
    memory = measure_memory(rounds)
    times = measure_time(rounds)
    base = times["jax.jit" + DONATES]
    rows = []
    for name in CONTENDERS:
        found = report.ratio_text(times[name], base)
        kept = memory[name]
        bar = BARS.get(name, "")
        rows.append([name, f"{kept.planned:.2f}", f"{kept.resident:.2f}", bar, found])
    return (
        "## Memory of a step\n\n"
        f"An Adam step of {LAYERS} layers of {WIDTH}^2 parameters: what it takes "
        "beyond its state, in sizes of the state, as the compiler plans it and as the resident "
        f"memory of the process rose at most; {rounds} processes each. Then the CPU time on the "
        "host of a step of 100 layers of 16 parameters, against plain JAX with donated arguments, "
        "as *ratio of the minima / ratio of the medians (middle half of the ratios)*.\n\n"
        + report.table(["contender", "planned", "resident", "bar", "time on the host"], rows)
    )
