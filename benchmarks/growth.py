"""How cost grows: what models of 10 to 10 000 leaves take, taken apart, stepped, saved and shown.

The model is a list of pairs of small variables in modules of their own, so that leaves, modules and
the depth of paths grow as they do in a model of many layers. A cost that grows as the model does is
a straight line of slope 1 where both axes are logarithmic: the slope is given between neighbours.
"""

import functools
import importlib
import itertools
import math
import tempfile
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from benchmarks import report
from benchmarks.measure import Series, alternate, cpu_time

SIZES = (10, 100, 1000, 10_000)
PER_BLOCK = 2
OPERATIONS = ("split", "merge", "state", "update", "step", "save", "restore", "display")


@functools.cache
def _class(library: str) -> Any:
    nnx = importlib.import_module(f"{library}.nnx")

    class Pair(nnx.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.scale, self.bias = nnx.Param(jnp.ones(4)), nnx.Param(jnp.zeros(4))

    class Model(nnx.Module):  # type: ignore[misc]
        def __init__(self, leaves: int) -> None:
            self.pairs = nnx.List([Pair() for _ in range(leaves // PER_BLOCK)])

    return Model


def operations(library: str, leaves: int, folder: str) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name.

    Args:
      library: "ramie" or "flax".
      leaves: of the model.
      folder: where it is saved.
    """
    nnx = importlib.import_module(f"{library}.nnx")
    checkpoints = importlib.import_module(f"{library}.training.checkpoints")
    model = _class(library)(leaves)
    graphdef, state = nnx.split(model)
    pure = nnx.to_pure_dict(state)

    @nnx.jit  # type: ignore[untyped-decorator]
    def step(model: Any) -> None:
        for _, variable in nnx.to_flat_state(nnx.state(model)):
            variable[...] = variable[...] + 1

    def save() -> None:
        checkpoints.save_checkpoint(folder, pure, 0, overwrite=True)

    save()
    return {
        "split": lambda: nnx.split(model),
        "merge": lambda: nnx.merge(graphdef, state),
        "state": lambda: nnx.state(model),
        "update": lambda: nnx.update(model, state),
        "step": lambda: step(model),
        "save": save,
        "restore": lambda: checkpoints.restore_checkpoint(folder, pure),
        "display": lambda: repr(model),
    }


def _times(work: Callable[[], object], count: int) -> Callable[[], float]:
    def run() -> None:
        for _ in range(count):
            work()

    timed = cpu_time(run)
    return lambda: timed() / count


def measure(
    rounds: int, libraries: tuple[str, ...] = ("ramie", "flax"), sizes: tuple[int, ...] = SIZES
) -> dict[str, dict[tuple[str, int], Series]]:
    """Return the CPU seconds of each operation, by library and number of leaves.

    Args:
      rounds: of each; all libraries and sizes of an operation take turns.
      libraries: whose.
      sizes: numbers of leaves.
    """
    with tempfile.TemporaryDirectory() as root:
        made = {
            (library, leaves): operations(library, leaves, f"{root}/{library}-{leaves}")
            for library in libraries
            for leaves in sizes
        }
        return {
            name: alternate(
                {key: _times(run[name], max(1, 200 // key[1])) for key, run in made.items()},
                rounds,
            )
            for name in OPERATIONS
        }


def slope(fewer: Series, more: Series, ratio_of_sizes: float) -> float:
    """Return the power of the size with which the minimum grows: 1 where cost follows size."""
    return math.log(min(more.times) / min(fewer.times)) / math.log(ratio_of_sizes)


def rows(found: dict[str, dict[tuple[str, int], Series]]) -> list[list[str]]:
    """Return the rows of the table: microseconds a leaf, by operation and library, and slopes."""
    table = []
    for name, series in found.items():
        libraries = dict.fromkeys(library for library, _ in series)
        for library in libraries:
            own = {size: x for (owner, size), x in series.items() if owner == library}
            failure = next((x.failure for x in own.values() if x.failure), "")
            if failure:
                table.append([name, library, f"failed: {failure}", *[""] * len(own)])
                continue
            sizes = sorted(own)
            cells = [f"{1e6 * min(own[n].times) / n:.2f}" for n in sizes]
            slopes = [f"{slope(own[a], own[b], b / a):.2f}" for a, b in itertools.pairwise(sizes)]
            table.append([name, library, *cells, ", ".join(slopes)])
    return table


def section(rounds: int) -> str:
    """Measure and return the section of the report.

    Args:
      rounds: of each operation.
    """
    sizes = [f"{size} leaves" for size in SIZES]
    return (
        "## How cost grows\n\n"
        "A list of modules with two variables each; CPU time of the main thread, microseconds *a "
        f"leaf*, minimum of {rounds} rounds in which libraries and sizes took turns. Slopes are "
        "those of the whole cost between neighbouring sizes, both axes logarithmic: 1.00 is a "
        "straight line, less is what does not grow, more would be growth beyond the model's.\n\n"
        + report.table(["operation", "library", *sizes, "slopes"], rows(measure(rounds)))
    )
