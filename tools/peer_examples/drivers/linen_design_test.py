"""The sketches that Linen was designed with: scripts that print."""

import contextlib
import io
import runpy
from pathlib import Path
from typing import Any

import numpy as np
from tools.peer_examples.record import Record

FOLDER = "linen_design_test"
NEEDS = ()
WHAT = "each script: what it prints, and the variables that it leaves"

SCRIPTS = (
    "attention_simple",
    "autoencoder",
    "linear_regression",
    "mlp_explicit",
    "mlp_inline",
    "mlp_lazy",
)


def run(record: Record, workdir: Path) -> None:
    """Run all scripts, those that end in an error included."""
    left: dict[str, Any] = {}
    for name in SCRIPTS:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                names = runpy.run_path(f"{name}.py", run_name="__main__")
        except Exception as error:
            names = {}
            print(f"{name}: {type(error).__name__}: {error}")
            printed.write(f"{type(error).__name__}")
        record.step({name: np.array(printed.getvalue())})
        kept = ("params", "mlp_variables", "init_variables", "y", "loss")
        left[name] = {kind: names[kind] for kind in kept if kind in names}
    record.parameters(left)
