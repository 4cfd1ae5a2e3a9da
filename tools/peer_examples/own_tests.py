"""The tests that stand beside the examples, with both libraries."""

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1", "JAX_PLATFORMS": "cpu"}


def _outcomes(python: str, plugins: Sequence[str], file: Path) -> dict[str, str]:
    """Return what became of each test of one file."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-c", "/dev/null"]
        command = [python, "-m", "pytest", *plugins, *options, f"--rootdir={file.parent}"]
        subprocess.run(
            [*command, file.name],
            cwd=file.parent,
            env={**os.environ, **QUIET},
            capture_output=True,
            check=False,
        )
        if not report.exists():
            return {"(the file)": "ended early"}
        cases = ET.parse(report).iter("testcase")
        return {case.get("name", ""): _outcome(case) for case in cases}


def _outcome(case: ET.Element) -> str:
    for child in case:
        if child.tag in ("failure", "error"):
            return f"failed: {(child.get('message') or '').splitlines()[0][:100]}"
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def folders(source: Path) -> list[str]:
    """Return the examples that have tests."""
    return sorted({file.parent.name for file in (source / "examples").glob("*/*_test.py")})


def compare(source: Path, flax: str, ramie: str, names: Sequence[str]) -> int:
    """Print for each test file how its tests end with either library; return 1 if they differ."""
    print("| tests | with Flax | with Ramie | differ |\n|---|---|---|---|", flush=True)
    differ = 0
    for file in sorted((source / "examples").glob("*/*_test.py")):
        if names and file.parent.name not in names:
            continue
        one = _outcomes(flax, [], file)
        other = _outcomes(ramie, ["-p", "ramie.compat.pytest_plugin"], file)
        apart = [name for name in {**one, **other} if one.get(name) != other.get(name)]
        cells = [f"{file.parent.name}/{file.name}", _counts(one), _counts(other)]
        told = "; ".join(f"{name}: {one.get(name)} / {other.get(name)}" for name in apart)
        print("| " + " | ".join([*cells, told or "no"]) + " |", flush=True)
        differ |= bool(apart)
    return differ


def _counts(outcomes: dict[str, str]) -> str:
    kinds = [outcome.partition(":")[0] for outcome in outcomes.values()]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
