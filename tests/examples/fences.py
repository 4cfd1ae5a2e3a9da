"""Finding and running the code blocks of Markdown pages."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Blocks share one namespace, as on a page read from top to bottom; each one's output is kept apart.
RUNNER = """
import contextlib, io, json, sys
namespace, outputs = vars(sys.modules["__main__"]), []
for line, source in json.loads(sys.stdin.read()):
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        exec(compile("\\n" * line + source, sys.argv[1], "exec"), namespace)
    outputs.append(captured.getvalue())
print(json.dumps(outputs))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line it starts on, and its text."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], text.count("\n", 0, found.start()) + 1, found[2])
        for found in FENCE.finditer(text)
    ]


def plain_environment() -> dict[str, str]:
    """Return the environment of a newcomer: JAX's defaults, but our compilation cache."""
    strict = ("XLA_FLAGS", "JAX_NUMPY_RANK_PROMOTION", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in strict}


def run_python(arguments: list[str], folder: Path, text: str = "") -> str:
    """Run a program in a folder; return what it printed, or fail with its traceback."""
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=plain_environment(),
        input=text,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def run_page(page: Path, folder: Path) -> list[str]:
    """Run the Python blocks of a page in a fresh process; return what each one printed."""
    sources = [(block.line, block.text) for block in blocks(page) if block.language == "python"]
    text = run_python(["-c", RUNNER, page.name], folder, json.dumps(sources))
    outputs: list[str] = json.loads(text.splitlines()[-1])
    return outputs
