"""Run one example with one library in a process of its own.

Usage: ``python -m tools.peer_examples.child LIBRARY NAME SOURCE FILE``. What was noted goes to
FILE.npz; seconds, versions and what went wrong to FILE.json.
"""

import importlib
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def take(library: str) -> str:
    """Make `flax` the library that was asked for; return which one it is."""
    if library == "ramie":
        import ramie.compat

        ramie.compat.install()
    import flax

    return f"{flax.__name__} from {Path(str(flax.__file__)).parent.name}"


def missing(names: Iterable[str]) -> list[str]:
    """Return those of the packages that are not there."""
    lacking = []
    for name in names:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            lacking.append(name)
    return lacking


def run(library: str, name: str, source: Path, out: Path) -> dict[str, Any]:
    """Run the example; return what is known of the run."""
    name, _, part = name.partition("/")
    driver = importlib.import_module(f"tools.peer_examples.drivers.{name}")
    lacking = missing([library, *driver.NEEDS])
    if lacking:
        return {"missing": lacking}
    report: dict[str, Any] = {"library": take(library), "what": driver.WHAT}
    import jax
    import numpy as np
    from tools.peer_examples.record import Record

    report["jax"] = jax.__version__
    random.seed(0)
    np.random.seed(0)
    record = Record()
    folder = source / "examples" / driver.FOLDER
    sys.path.insert(0, str(folder))
    os.chdir(folder)  # sst2 reads a file of its own by name
    with tempfile.TemporaryDirectory() as workdir:
        start = time.perf_counter()
        try:
            driver.run(record, Path(workdir), *filter(None, [part]))
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            report["error"] = f"{type(error).__name__}: {first}"
        report["seconds"] = time.perf_counter() - start
    record.save(out.with_suffix(".npz"))
    return report


def main() -> None:
    """Do as the command line says."""
    library, name, source, out = sys.argv[1:]
    report = run(library, name, Path(source), Path(out))
    Path(out).with_suffix(".json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main()
