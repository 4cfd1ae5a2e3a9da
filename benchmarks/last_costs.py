"""The last host cost: steps by number of leaves, and models that are made for the first time."""

import functools
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import report
from benchmarks.measure import Series, alternate, cpu_time, ratio
from benchmarks.processes import run_python
from ramie import nnx

LEAVES = (100, 1000, 4000)
STEP_BARS = {"touches every leaf": "1.15x", "does nothing": "2x"}
START_BARS = {
    "NNX ResNet-50, constructed, cold": "0.9",
    "NNX ResNet-50, constructed again": "",
    "Linen ResNet-50, first init, not jitted": "",
    "Linen ResNet-50, second init, not jitted": "0.35",
}


class Flat(nnx.Module):
    """Variables in one list: nothing but leaves."""

    def __init__(self, leaves: int) -> None:
        self.variables = nnx.List([nnx.Param(jnp.ones(4)) for _ in range(leaves)])


class Layered(nnx.Module):
    """Linear layers, with two variables and eleven attributes each."""

    def __init__(self, leaves: int) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(leaves // 2)])


def _stateful(model: Any, touched: bool) -> Callable[[], object]:
    @nnx.jit
    def step(model: Any) -> None:
        for _, variable in nnx.to_flat_state(nnx.state(model)) if touched else ():
            variable[...] = variable[...] + 1

    return lambda: step(model)


def _flat(model: Any, touched: bool) -> Callable[[], object]:
    held = [jax.tree.leaves(nnx.state(model))]
    step = jax.jit(lambda leaves: [x + 1 for x in leaves] if touched else None)

    def run() -> None:
        found = step(held[0])
        if touched:
            held[0] = found

    return run


def measure_steps(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU seconds of steps of `nnx.jit` and of `jax.jit` on a list of the same leaves.

    Args:
      rounds: of each; both take turns.
    """
    found = {}
    for cls in (Flat, Layered):
        for leaves in LEAVES:
            model, count = cls(leaves), max(2, 4000 // leaves)
            for title, touched in (("touches every leaf", True), ("does nothing", False)):
                runs = {"ramie": _stateful(model, touched), "jax.jit": _flat(model, touched)}
                found[f"{cls.__name__.lower()}, {leaves} leaves, {title}"] = alternate(
                    {name: cpu_time(_times(run, count)) for name, run in runs.items()},
                    rounds,
                    warm_up=3,
                )
    return found


def _times(work: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            work()

    return run


_CONSTRUCTION = """
import importlib, sys, time
import jax
from benchmarks import resnet
make = resnet.nnx_resnet(importlib.import_module(sys.argv[1] + ".nnx"))
state = importlib.import_module(sys.argv[1] + ".nnx").state
jax.block_until_ready(jax.numpy.zeros(()))
for _ in range(2):
    start = time.process_time()
    jax.block_until_ready(jax.tree.leaves(state(make())))
    print(time.process_time() - start)
"""

_INIT = """
import importlib, sys, time
import jax
from benchmarks import resnet
model = resnet.linen_resnet(importlib.import_module(sys.argv[1] + ".linen"))
image, key = resnet.image(), jax.random.key(0)
for _ in range(2):
    start = time.process_time()
    jax.block_until_ready(model.init(key, image))
    print(time.process_time() - start)
"""


def measure_starts(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU seconds, all threads, of models made in a fresh process, once and again.

    Args:
      rounds: fresh processes of each.
    """
    found: dict[str, dict[str, Series]] = {title: {} for title in START_BARS}
    with tempfile.TemporaryDirectory() as kept:
        for code, titles in (
            (_CONSTRUCTION, tuple(START_BARS)[:2]),
            (_INIT, tuple(START_BARS)[2:]),
        ):
            again: dict[str, list[float]] = {"ramie": [], "flax": []}

            def run(library: str, code: str = code, again: Any = again) -> float:
                first, second = run_python("-c", code, library, XDG_CACHE_HOME=kept).split()
                again[library].append(float(second))
                return float(first)

            firsts = alternate({x: functools.partial(run, x) for x in again}, rounds)
            for library, first in firsts.items():
                found[titles[0]][library] = first
                found[titles[1]][library] = Series(again[library][1:], first.failure)
    return found


def rows_of_starts(found: dict[str, dict[str, Series]]) -> list[list[str]]:
    """Return the rows of the table of starts: CPU seconds, and the bar."""
    return [
        [
            title,
            *(x.failure or f"{min(x.times):.2f}" for x in (series["ramie"], series["flax"])),
            START_BARS[title],
        ]
        for title, series in found.items()
    ]


def _compared(series: dict[str, Series]) -> list[str]:
    found = ratio(series["ramie"], series["jax.jit"])
    if found is None:
        return [series["ramie"].failure or series["jax.jit"].failure]
    return [
        f"{found.of_minima:.2f}x / {found.of_medians:.2f}x ({found.low:.2f} to {found.high:.2f})"
    ]


def section(rounds: int, process_rounds: int) -> str:
    """Measure and return the section of the report.

    Args:
      rounds: of steps.
      process_rounds: of models made in fresh processes.
    """
    steps = [
        [title, *_compared(series), STEP_BARS[title.rsplit(", ", 1)[1]]]
        for title, series in measure_steps(rounds).items()
    ]
    starts = rows_of_starts(measure_starts(process_rounds))
    return (
        "## The last host cost\n\n"
        "Steps of `nnx.jit` against `jax.jit` on a flat list of the same leaves: variables in one "
        "list, or linear layers of two variables each. A step that does nothing returns nothing in "
        f"both. CPU time of the main thread, {rounds} rounds.\n\n"
        + report.table(["step", "ramie to jax.jit", "bar"], steps)
        + "\n\nModels made in a fresh process, CPU seconds of all threads, minimum of "
        f"{process_rounds}:\n\n" + report.table(["what", "ramie", "flax", "bar"], starts)
    )
