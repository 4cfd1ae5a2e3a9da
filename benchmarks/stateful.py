"""The host cost of NNX: a step, taking models apart, making them, and the memory of structures."""

import functools
import gc
import importlib
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from benchmarks.measure import Series, alternate, cpu_time

NAMESPACES = {"ramie": "ramie.nnx", "flax": "flax.nnx"}
DEPTHS = (10, 50, 200)
WIDTH = 4  # small arrays: only the cost of the host is to be seen
STEP_BARS = {
    "no-op step": "1.0x",
    "step that touches every leaf": "1.5x",
    "train step": "1.3x",
}
APART_BARS = {"split": "0.1x", "merge": "0.25x", "state": "0.1x", "update": "0.1x"}


@functools.cache
def _classes(library: str) -> Any:
    """Return the class of a network of blocks, each a linear layer and a batch norm."""
    nnx = importlib.import_module(NAMESPACES[library])

    class Block(nnx.Module):  # type: ignore[misc]
        def __init__(self, rngs: Any) -> None:
            self.linear = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
            self.norm = nnx.BatchNorm(WIDTH, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return nnx.relu(self.norm(self.linear(x)))

    class Net(nnx.Module):  # type: ignore[misc]
        def __init__(self, depth: int) -> None:
            rngs = nnx.Rngs(0)
            self.blocks = nnx.List([Block(rngs) for _ in range(depth)])

        def __call__(self, x: Any) -> Any:
            for block in self.blocks:
                x = x + block(x)
            return x

    return Net


class Contender(NamedTuple):
    """One library, with a model of some depth."""

    nnx: Any
    model: Any

    def touch(self) -> Callable[[], object]:
        """Return a step that adds one to each variable."""
        nnx, model = self

        @nnx.jit  # type: ignore[untyped-decorator]
        def step(model: Any) -> None:
            for _, variable in nnx.to_flat_state(nnx.state(model)):
                variable[...] = variable[...] + 1

        return lambda: step(model)

    def nothing(self) -> Callable[[], object]:
        """Return a step that does nothing."""
        nnx, model = self
        step = nnx.jit(lambda model: None)
        return lambda: step(model)

    def train(self) -> Callable[[], object]:
        """Return a train step, as users write it."""
        nnx, model = self
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        x = jnp.ones((2, WIDTH))
        step = nnx.jit(lambda model, optimizer, x: _trained(nnx, model, optimizer, x))
        return lambda: step(model, optimizer, x)

    def train_by_hand(self) -> Callable[[], object]:
        """Return a train step in `jax.jit`, with `merge` and `state` inside."""
        nnx, model = self
        optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)
        x = jnp.ones((2, WIDTH))
        graphdef, pure = nnx.split((model, optimizer))
        leaves, treedef = jax.tree.flatten(pure)

        @jax.jit
        def step(leaves: list[Any], x: Any) -> Any:
            model, optimizer = nnx.merge(graphdef, jax.tree.unflatten(treedef, leaves))
            loss = _trained(nnx, model, optimizer, x)
            return loss, jax.tree.leaves(nnx.state((model, optimizer)))

        held = [leaves]

        def run() -> None:
            _, held[0] = step(held[0], x)

        return run


def _trained(nnx: Any, model: Any, optimizer: Any, x: Any) -> Any:
    loss, gradients = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


@functools.cache
def contender(library: str, depth: int) -> Contender:
    """Return a library with a model of a depth."""
    nnx = importlib.import_module(NAMESPACES[library])
    return Contender(nnx, _classes(library)(depth))


def _flat(touched: bool) -> Callable[[], object]:
    """Return a step of plain JAX on the leaves of a model."""
    one = contender("ramie", 50)
    held = [jax.tree.leaves(one.nnx.state(one.model))]
    step = jax.jit(lambda leaves: [x + 1 for x in leaves] if touched else leaves)

    def run() -> None:
        held[0] = step(held[0])

    return run


def _times(work: Callable[[], object], count: int) -> Callable[[], object]:
    def run() -> None:
        for _ in range(count):
            work()

    return run


def measure_steps(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the times of steps of a model of 50 blocks, by workload and contender."""
    ours, theirs = contender("ramie", 50), contender("flax", 50)
    workloads = {
        "no-op step": (ours.nothing(), theirs.nothing(), _flat(touched=False)),
        "step that touches every leaf": (ours.touch(), theirs.touch(), _flat(touched=True)),
        "train step": (ours.train(), theirs.train(), ours.train_by_hand()),
    }
    names = ("ramie", "flax", "jax.jit")
    return {
        workload: alternate(
            {name: cpu_time(_times(run, 5)) for name, run in zip(names, runs, strict=True)},
            rounds,
            warm_up=3,
        )
        for workload, runs in workloads.items()
    }


def measure_apart(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the times of `split`, `merge`, `state` and `update`, by workload and library."""
    results = {}
    for depth in DEPTHS:
        runs: dict[str, dict[str, Callable[[], object]]] = {name: {} for name in APART_BARS}
        for library in NAMESPACES:
            nnx, model = contender(library, depth)
            graphdef, state = nnx.split(model)
            runs["split"][library] = functools.partial(nnx.split, model)
            runs["merge"][library] = functools.partial(nnx.merge, graphdef, state)
            runs["state"][library] = functools.partial(nnx.state, model)
            runs["update"][library] = functools.partial(nnx.update, model, state)
        for name, by_library in runs.items():
            series = alternate(
                {library: cpu_time(_times(run, 5)) for library, run in by_library.items()},
                rounds,
                warm_up=3,
            )
            results[f"{name}, {depth} blocks"] = series
    return results


def measure_construction(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the times of making a model of 50 blocks, by library."""
    contenders = {
        library: cpu_time(functools.partial(_classes(library), 50)) for library in NAMESPACES
    }
    return {"construction, 50 blocks": alternate(contenders, rounds, warm_up=2)}


def memory_of_structures() -> dict[str, int]:
    """Return the bytes that a library keeps after a model of 50 blocks was split, twice.

    What it remembers of the model is included, the arrays are not.
    """
    found = {}
    for library in NAMESPACES:
        nnx = importlib.import_module(NAMESPACES[library])
        model = _classes(library)(50)
        nnx.split(_classes(library)(1))
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        kept = nnx.split(model)
        kept = nnx.split(model)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found[library] = after - before
        del kept
    return found


def bars() -> dict[str, str]:
    """Return what the design asks for, by workload."""
    apart = {f"{name}, {depth} blocks": bar for name, bar in APART_BARS.items() for depth in DEPTHS}
    return {**STEP_BARS, **apart, "construction, 50 blocks": "0.33x"}
