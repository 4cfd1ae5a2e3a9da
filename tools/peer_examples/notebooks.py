"""The notebooks of Flax's documentation and examples, cell by cell with both libraries."""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu"}
SECONDS = 600
_DECIMAL = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?(?!\d*\s?[KMG]?B\b)|\bnan\b|\binf\b")


def found(source: Path) -> dict[str, Path]:
    """Return the notebooks by their path without the ending."""
    files = [file for part in ("docs", "docs_nnx", "examples") for file in _below(source / part)]
    return {str(file.relative_to(source).with_suffix("")): file for file in sorted(files)}


def _below(folder: Path) -> list[Path]:
    return list(folder.rglob("*.ipynb"))


def _run(python: str, library: str, notebook: Path, out: Path) -> dict[str, Any]:
    command = [python, "-m", "tools.peer_examples.cells", library, str(notebook), str(out)]
    with open(out.with_suffix(".log"), "w", encoding="utf-8") as log:
        try:
            subprocess.run(
                command, cwd=ROOT, env={**os.environ, **QUIET}, stdout=log, stderr=log,
                timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            log.write(f"stopped after {SECONDS} s")
    if not out.exists():
        return {"cells": [], "seconds": 0.0}
    return dict(json.loads(out.read_text(encoding="utf-8")))


def decimals(text: str) -> list[str]:
    """Return the numbers with a point in a text, addresses and sizes in bytes left out.

    They are sorted because dictionaries may be printed in another order.
    """
    return sorted(_DECIMAL.findall(text))


def _ran(cells: Sequence[dict[str, Any]]) -> int:
    return sum(cell["error"] is None for cell in cells)


def _kind(error: str | None) -> str | None:
    return None if error is None else error.partition(":")[0]


def differences(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> list[str]:
    """Say which cells end in another way, or print other numbers."""
    told = []
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if _kind(a["error"]) != _kind(b["error"]):
            told.append(f"cell {number}: {a['error'] or 'runs'} / {b['error'] or 'runs'}")
        elif decimals(a["printed"]) != decimals(b["printed"]):
            told.append(f"cell {number}: other numbers")
        elif a.get("held") != b.get("held"):
            told.append(f"cell {number}: other values are held")
    if len(one) != len(other):
        told.append(f"stopped after {len(one)} / {len(other)} cells")
    return told


def compare(source: Path, flax: str, ramie: str, names: Sequence[str], keep: Path) -> int:
    """Print for each notebook how many cells run with either library; return 1 if they differ."""
    print("| notebook | cells | with Flax | with Ramie | s Flax | s Ramie | differ |", flush=True)
    print("|---" * 7 + "|", flush=True)
    notebooks = found(source)
    differ = 0
    for name in names or notebooks:
        out = keep / name.replace("/", "+")
        pythons = (("flax", flax), ("ramie", ramie))
        reports = [
            _run(python, library, notebooks[name], out.with_name(f"{out.name}-{library}.json"))
            for library, python in pythons
        ]
        one, other = (report["cells"] for report in reports)
        told = differences(one, other)
        row = [name, str(len(one)), str(_ran(one)), str(_ran(other))]
        row += [f"{report['seconds']:.1f}" for report in reports]
        print("| " + " | ".join([*row, "; ".join(told) or "no"]) + " |", flush=True)
        differ |= bool(told)
    return differ
