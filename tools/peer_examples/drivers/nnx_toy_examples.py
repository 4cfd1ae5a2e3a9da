"""The small programs in NNX: scripts that train as soon as they are run."""

import contextlib
import io
import os
import re
import runpy
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from tools.peer_examples.held import held, total
from tools.peer_examples.record import Record

FOLDER = "nnx_toy_examples"
NEEDS = ("matplotlib",)
PARTS = (
    "01_functional_api",
    "02_lifted_transforms",
    "03_train_state",
    "04_data_parallel_with_jit",
    "05_vae",
    "06_scan_over_layers",
    "07_array_leaves",
    "08_save_load_checkpoints",
    "09_parameter_surgery",
    "10_fsdp_and_optimizer",
    "hijax_basic",
    "hijax_demo",
)
WHAT = "the whole script; before each batch the sum of all that it holds, and what it printed"
_DRAWS = ("choice", "randint", "uniform")
_DECIMAL = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?|\bnan\b|\binf\b")


@contextlib.contextmanager
def _watched(record: Record) -> Iterator[None]:
    """Note what a script holds whenever it draws a batch."""
    import numpy as np

    def noting(draw: Any) -> Any:
        def watched(*args: Any, **kwargs: Any) -> Any:
            frame: Any = sys._getframe(1)  # the script
            record.step({"held": total(frame.f_globals)})
            return draw(*args, **kwargs)

        return watched

    with contextlib.ExitStack() as stack:
        for name in _DRAWS:
            original = getattr(np.random, name)
            stack.enter_context(mock.patch.object(np.random, name, noting(original)))
        yield


def _data() -> types.ModuleType:
    """Return the package `datasets` with binary images in the place of MNIST."""
    import numpy as np

    draw = np.random.default_rng(0)
    images = {
        split: {"image": list(255 * draw.integers(0, 2, (size, 28, 28), np.uint8))}
        for split, size in (("train", 600), ("test", 60))
    }
    module: Any = types.ModuleType("datasets")
    module.load_dataset = lambda _: images
    return module  # type: ignore[no-any-return]


def run(record: Record, workdir: Path, part: str) -> None:
    """Run one script as it is."""
    import numpy as np

    os.environ["MPLBACKEND"] = "agg"
    sys.modules["datasets"] = _data()
    printed = io.StringIO()
    with _watched(record), contextlib.redirect_stdout(printed):
        names = runpy.run_path(f"{part}.py", run_name="__main__")
    numbers = np.array([float(x) for x in _DECIMAL.findall(printed.getvalue())])
    record.step({"printed": numbers})
    record.parameters(held(names))
