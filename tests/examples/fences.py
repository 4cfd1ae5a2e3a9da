"""Finding and running the code blocks of Markdown pages.

All Python blocks of a page run in order in one namespace, in an empty folder, under JAX's defaults.
A page promises results in three ways, and is held to each:

- a block of the language `text` behind a Python block is what that one printed;
- a comment `# -> value` behind an expression is its `repr`, or what it printed if it is None;
- a comment `# raises Error` behind a statement: it raises an error of this class, which is printed.
  What it says of this machine may be left out by `...`.

White space does not count. A block that imports a package which is not there and need not be
(`OPTIONAL`) is left out, and so are later blocks which use names that only such a block binds;
`tests/parity/examples` runs these pages where the packages are.
"""

import ast
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *GUIDES,
]
OPTIONAL = {"clu", "flax", "orbax", "tensorboardX", "tensorstore", "torch", "treescope"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"#\s*->\s*(.*)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line it starts on, and its text."""

    language: str
    line: int
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the syntax tree of a Python block."""
        return list(ast.walk(ast.parse(self.text)))

    @property
    def imports(self) -> set[str]:
        """The modules it imports."""
        found = {n.names[0].name for n in self.nodes if isinstance(n, ast.Import)}
        return found | {n.module for n in self.nodes if isinstance(n, ast.ImportFrom) and n.module}

    @property
    def binds(self) -> set[str]:
        """The names it assigns, defines or imports, at whatever depth."""
        names = {
            n.id for n in self.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        names |= {n.name for n in self.nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        aliases = [n for n in self.nodes if isinstance(n, ast.alias)]
        return names | {(n.asname or n.name).partition(".")[0] for n in aliases}

    @property
    def reads(self) -> set[str]:
        """The names it looks up."""
        return {n.id for n in self.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}

    @property
    def promises(self) -> dict[int, str]:
        """What its comments `# -> value` say, by line of the page."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        comments = [token for token in tokens if token.type == tokenize.COMMENT]
        found = [(token.start[0] + self.line, ARROW.match(token.string)) for token in comments]
        return {line: match[1] for line, match in found if match}


@dataclass(frozen=True)
class Shown:
    """What a block printed, and the value of each expression by the line it ends on."""

    output: str
    values: dict[int, str]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], text.count("\n", 0, found.start()) + 1, found[2])
        for found in FENCE.finditer(text)
    ]


def runnable(page: Path, available: set[str] | None = None) -> tuple[list[Block], dict[Block, str]]:
    """Sort the Python blocks of a page into those that can run here, and the others with reasons.

    Args:
        page: The page.
        available: Optional packages that are there; found out when not given.
    """
    if available is None:
        available = {name for name in OPTIONAL if importlib.util.find_spec(name)}
    run: list[Block] = []
    left_out: dict[Block, str] = {}
    bound: set[str] = set()
    missing: dict[str, str] = {}
    for block in blocks(page):
        if block.language != "python":
            continue
        if "ramie.compat" in block.imports:  # from here on, it answers to `flax`
            available = available | {"flax"}
        packages = {name.partition(".")[0] for name in block.imports}
        absent = sorted(packages & OPTIONAL - available)
        absent += sorted({missing[name] for name in block.reads & missing.keys() - block.binds})
        if absent:
            left_out[block] = f"line {block.line} needs {absent[0]}"
            missing |= dict.fromkeys(block.binds - bound, absent[0])
        else:
            run.append(block)
            bound |= block.binds
            missing = {name: why for name, why in missing.items() if name not in block.binds}
    return run, left_out


def plain_environment() -> dict[str, str]:
    """Return the environment of a newcomer: JAX's defaults, but our compilation cache.

    `NPROC` is how many threads XLA takes for its work. By default they are no more than the devices
    forced out of a small machine, and collectives that wait for each other may take them all.
    """
    strict = ("XLA_FLAGS", "JAX_NUMPY_RANK_PROMOTION", "PYTHONPATH")
    plain = {name: value for name, value in os.environ.items() if name not in strict}
    return plain | {"NPROC": "16"}


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


class PageServer:
    """A process that has imported JAX and runs pages; see `page_server.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("page_server.py"))],
            env=plain_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def run(self, page: Path, python: list[Block], folder: Path) -> dict[Block, Shown]:
        """Run Python blocks of a page in a folder; fail with the traceback if one raises."""
        assert self._process.stdin and self._process.stdout
        sources = [(block.line, block.text) for block in python]
        with tempfile.TemporaryDirectory() as place:
            results = Path(place, "results.json")
            request = {"page": str(page), "blocks": sources}
            request |= {"folder": str(folder), "results": str(results)}
            self._process.stdin.write(json.dumps(request) + "\n")
            code = self._process.stdout.readline().strip()
            assert code == "0", results.with_name("results.json.log").read_text(encoding="utf-8")
            shown = json.loads(results.read_text(encoding="utf-8"))
        return {
            block: Shown(output, {int(line): value for line, value in values.items()})
            for block, (output, values) in zip(python, shown, strict=True)
        }

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _left_out(printed: list[str], promised: list[str]) -> bool:
    """Tell whether words are the promised ones, in which `...` stands for any."""
    pattern = re.escape(" ".join(promised)).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, " ".join(printed)) is not None


def check(page: Path, shown: dict[Block, Shown]) -> None:
    """Compare what blocks showed with what the page promises."""
    every = blocks(page)
    for block, following in zip(every, [*every[1:], None], strict=True):
        if block not in shown:
            continue
        if following and following.language == "text":
            printed, promised = shown[block].output.split(), following.text.split()
            alike = printed == promised or (
                "# raises " in block.text and _left_out(printed, promised)
            )
            assert alike, f"line {following.line}: {printed}, not {promised}"
        for line, promise in block.promises.items():
            value = shown[block].values.get(line)
            assert value is not None, f"line {line}: `# ->` stands behind no whole expression"
            assert value.split() == promise.split(), f"line {line}: {value!r}, not {promise!r}"
