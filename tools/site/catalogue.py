"""What is public, by the address that users write, such as ``nnx.Linear``.

Rooms with a door say themselves what they offer; other modules have ``__all__``. The rooms with
most names, Linen and NNX, are divided into one page for each subject.
"""

import importlib
import inspect
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ramie.foundation.doors import TABLES

__all__ = ["PAGES", "Name", "Page", "catalogue", "submodules"]


@dataclass(frozen=True)
class Page:
    """A page of the reference.

    Args:
      address: what users write before a name: ``nnx`` for ``nnx.Linear``.
      file: the file of the page without its suffix, below ``reference``.
      title: its heading.
      homes: of a divided room: the modules whose names are here, by the beginning of their names.
    """

    address: str
    file: str
    title: str
    homes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Name:
    """A public name.

    Args:
      address: as a user writes it after ``from ramie import ...``.
      page: where it is described.
      home: the module that defines it.
      internal: what it is called there.
      value: the object itself.
    """

    address: str
    page: Page
    home: str
    internal: str
    value: Any

    @property
    def short(self) -> str:
        """The name without the room."""
        return self.address.rpartition(".")[2]


def _layers(room: str, title: str) -> tuple[Page, ...]:
    inside = f"ramie.{room}.layers"
    return (
        Page(room, f"{room}/layers", f"{title}: layers", (inside,)),
        Page(room, f"{room}/attention", f"{title}: attention", (f"{inside}.attention",)),
        Page(room, f"{room}/recurrent", f"{title}: recurrent networks", (f"{inside}.recurrent",)),
    )


PAGES = (
    Page("linen", "linen/module", "Linen: modules", ("ramie.linen",)),
    *_layers("linen", "Linen"),
    Page("linen", "linen/functions", "Linen: functions", ("ramie.ops", "jax")),
    Page("linen", "linen/transforms", "Linen: transformations", ("ramie.linen.transforms",)),
    Page("linen", "linen/inspection", "Linen: looking at models", ("ramie.linen.inspection",)),
    Page(
        "linen",
        "linen/sharding",
        "Linen: metadata and sharding",
        ("ramie.linen.sharding", "ramie.core", "ramie.trees"),
    ),
    Page("nnx", "nnx/modules", "NNX: modules", ("ramie.nnx.modules", "ramie.nnx.objects")),
    Page("nnx", "nnx/variables", "NNX: variables", ("ramie.nnx.variable", "ramie.trees")),
    *_layers("nnx", "NNX"),
    Page("nnx", "nnx/functions", "NNX: functions", ("ramie.ops", "jax")),
    Page("nnx", "nnx/transforms", "NNX: transformations", ("ramie.nnx.transforms", "ramie.nnx")),
    Page("nnx", "nnx/graph", "NNX: structure and state", ("ramie.nnx.graph",)),
    Page("nnx", "nnx/states", "NNX: states and filters", ("ramie.nnx.states",)),
    Page("nnx", "nnx/randomness", "NNX: random numbers", ("ramie.nnx.randomness",)),
    Page("nnx", "nnx/training", "NNX: training", ("ramie.nnx.training",)),
    Page(
        "nnx",
        "nnx/inspection",
        "NNX: looking at models",
        ("ramie.nnx.inspection", "ramie.nnx.printing"),
    ),
    Page("nnx", "nnx/sharding", "NNX: sharding", ("ramie.nnx.sharding", "ramie.core")),
    Page("nnx.bridge", "nnx/bridge", "NNX: bridge to Linen"),
    Page("training", "training/training", "Training"),
    Page("training.checkpoints", "training/checkpoints", "Checkpoints of a training loop"),
    Page("training.train_state", "training/train_state", "Train state"),
    Page("training.dynamic_scale", "training/dynamic_scale", "Dynamic scale"),
    Page("training.early_stopping", "training/early_stopping", "Early stopping"),
    Page("training.lr_schedule", "training/lr_schedule", "Learning rate schedules"),
    Page("training.common_utils", "training/common_utils", "Common utilities"),
    Page("training.prefetch_iterator", "training/prefetch_iterator", "Prefetch iterator"),
    Page("training.orbax_utils", "training/orbax_utils", "Orbax utilities"),
    Page("training.processes", "training/processes", "Several processes"),
    Page("plan", "training/plan", "Plans of a step"),
    Page("jax_utils", "training/jax_utils", "Data over devices"),
    Page("checkpoint", "checkpoint/checkpoint", "Checkpoint files"),
    Page("serialization", "checkpoint/serialization", "Serialization"),
    Page("metrics.tensorboard", "metrics/tensorboard", "TensorBoard"),
    Page("testing", "metrics/testing", "Testing"),
    Page("struct", "trees/struct", "Dataclasses of arrays"),
    Page("core", "trees/core", "Core: frozen dictionaries and lifting"),
    Page("cursor", "trees/cursor", "Cursors"),
    Page("traverse_util", "trees/traverse_util", "Traversal of nested dictionaries"),
    Page("ops.activations", "ops/activations", "Activations"),
    Page("ops.attention", "ops/attention", "Attention"),
    Page("ops.conv", "ops/conv", "Convolutions"),
    Page("ops.dtypes", "ops/dtypes", "Dtypes"),
    Page("ops.fp8", "ops/fp8", "Eight bit floats"),
    Page("ops.initializers", "ops/initializers", "Initializers"),
    Page("ops.linear", "ops/linear", "Linear maps"),
    Page("ops.moments", "ops/moments", "Moments"),
    Page("ops.norm", "ops/norm", "Normalization"),
    Page("ops.pooling", "ops/pooling", "Pooling"),
    Page("ops.recurrent", "ops/recurrent", "Recurrent cells"),
    Page("ops.stochastic", "ops/stochastic", "Dropout"),
    Page("ops.weight_norm", "ops/weight_norm", "Weight normalization"),
    Page("interop.torch", "interop/torch", "PyTorch"),
    Page("configurations", "more/configurations", "Flags"),
    Page("io", "more/io", "Files"),
    Page("ids", "more/ids", "Identifiers"),
    Page("traceback_util", "more/traceback_util", "Tracebacks"),
    Page("typing", "more/typing", "Types"),
)


def _public(module: ModuleType) -> list[str]:
    table = TABLES.get(module.__name__)
    names = list(table.names) if table else getattr(module, "__all__", [])
    wanted = (name for name in names if not name.startswith("_"))
    return sorted(name for name in wanted if not inspect.ismodule(getattr(module, name)))


def _page(pages: list[Page], home: str) -> Page:
    """Find the page of a room whose homes fit best."""
    fits = [
        (len(prefix), number)
        for number, page in enumerate(pages)
        for prefix in page.homes or ("",)
        if f"{home}.".startswith(f"{prefix}." if prefix else "")
    ]
    return pages[max(fits)[1]] if fits else pages[0]


def submodules(address: str) -> list[str]:
    """Return the names of a room that are modules, and hence paths and no entries."""
    module = importlib.import_module(f"ramie.{address}")
    table = TABLES.get(module.__name__)
    return sorted(name for name in table.modules if name[0] != "_") if table else []


def catalogue() -> dict[str, Name]:
    """Return all public names by their addresses, in the order of the pages."""
    found = []
    for address in dict.fromkeys(page.address for page in PAGES):
        module = importlib.import_module(f"ramie.{address}")
        pages = [page for page in PAGES if page.address == address]
        table = TABLES.get(module.__name__)
        for short in _public(module):
            home, internal = table.names[short] if table else (module.__name__, short)
            value = getattr(module, short)
            page = _page(pages, home)
            found.append(Name(f"{address}.{short}", page, home, internal, value))
    order = {page: number for number, page in enumerate(PAGES)}
    found.sort(key=lambda name: order[name.page])
    return {name.address: name for name in found}
