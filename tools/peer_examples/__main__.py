"""Run Flax's own examples with Flax and with Ramie, and print how far apart they are.

``python -m tools.peer_examples --source FOLDER --flax PYTHON --ramie PYTHON [NAME ...]``
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.peer_examples import comparison, notebooks, own_tests
from tools.peer_examples.record import load

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HEAD = ("example", "steps", "losses", "parameters", "s Flax", "s Ramie", "what was run")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu"}


def _names() -> list[str]:
    """Return the drivers, and the parts of those that have such."""
    names = []
    for stem in sorted(path.stem for path in (HERE / "drivers").glob("*.py")):
        driver = importlib.import_module(f"tools.peer_examples.drivers.{stem}")
        names += [f"{stem}/{part}" for part in getattr(driver, "PARTS", ())] or [stem]
    return names


NAMES = _names()


def _child(python: str, library: str, name: str, source: Path, folder: Path) -> dict[str, Any]:
    out = folder / f"{name.replace('/', '+')}-{library}"
    command = [python, "-m", "tools.peer_examples.child", library, name, str(source), str(out)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **QUIET}, capture_output=True, text=True, check=False
    )
    out.with_suffix(".log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if not out.with_suffix(".json").exists():
        lines = (done.stderr.strip() or "ended without a word").splitlines()
        return {"error": f"status {done.returncode}: {lines[-1]}"}
    return dict(json.loads(out.with_suffix(".json").read_text(encoding="utf-8")))


def _difference(value: float | None) -> str:
    if value is None:
        return "-"
    return "equal" if value == 0 else f"{value:.1e}"


def _row(name: str, flax: dict[str, Any], ramie: dict[str, Any], folder: Path) -> list[str]:
    for library, report in (("Flax", flax), ("Ramie", ramie)):
        if "missing" in report:
            return [name, *"-----", f"{library}: not installed: {', '.join(report['missing'])}"]
    errors = [report.get("error") for report in (flax, ramie)]
    told = flax.get("what", "")
    if any(errors):
        same = errors[0] == errors[1]
        told = f"both: {errors[0]}" if same else f"Flax: {errors[0]}; Ramie: {errors[1]}"
    plain = name.replace("/", "+")
    files = [folder / f"{plain}-{library}.npz" for library in ("flax", "ramie")]
    if not all(file.exists() for file in files):
        return [name, *"-----", told]
    one, other = (load(file) for file in files)
    if not comparison.finite(one):
        told += " (not all finite)"
    return [
        name,
        str(comparison.count(one, "step/")),
        _difference(comparison.largest(one, other, "step/")),
        _difference(comparison.largest(one, other, "params/")),
        *(f"{report.get('seconds', 0):.1f}" for report in (flax, ramie)),
        told,
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tools.peer_examples", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="Flax's source, unpacked")
    parser.add_argument("--flax", required=True, help="a Python that has Flax")
    parser.add_argument("--ramie", required=True, help="a Python that has Ramie")
    parser.add_argument("--tests", action="store_true", help="run the examples' own tests instead")
    parser.add_argument(
        "--notebooks", action="store_true", help="run the notebooks of documentation and examples"
    )
    parser.add_argument("--keep", type=Path, help="a folder for records and logs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    return parser


def main() -> int:
    """Run what was asked for; return 1 where something differs."""
    parser = _parser()
    options = parser.parse_args()
    source = options.source.resolve()
    if not (source / "examples").is_dir():
        parser.error(f"{options.source}: no folder 'examples' there; unpack Flax's .tar.gz of PyPI")
    for python in (options.flax, options.ramie):
        if shutil.which(python) is None:
            parser.error(f"no program {python!r}; name a Python, such as .venv-peers/bin/python")
    known = own_tests.folders(source) if options.tests else NAMES
    if options.notebooks:
        known = list(notebooks.found(source))
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no example {', '.join(unknown)}; there are {', '.join(known)}")
    if options.tests:
        return own_tests.compare(source, options.flax, options.ramie, options.names)
    worst = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if options.notebooks:
            pythons = (options.flax, options.ramie)
            return notebooks.compare(source, *pythons, options.names, folder)
        print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
        for name in options.names or NAMES:
            pythons = (("flax", options.flax), ("ramie", options.ramie))
            reports = [_child(python, lib, name, source, folder) for lib, python in pythons]
            row = _row(name, *reports, folder)
            print("| " + " | ".join(row) + " |", flush=True)
            worst |= row[2:4] != ["equal", "equal"]
    return worst


if __name__ == "__main__":
    sys.exit(main())
