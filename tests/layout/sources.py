"""Every Python file of the repository, parsed once, and the imports found in it."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ramie"
PATHS = PACKAGE / "compat" / "paths"


@dataclass(frozen=True)
class Import:
    """One imported module: `lazy` inside a function, `typing_only` under TYPE_CHECKING."""

    target: str
    line: int
    lazy: bool
    typing_only: bool


def files(*folders: str) -> list[Path]:
    """Return the Python files below folders of the repository, sorted."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def source_files() -> list[Path]:
    return files("src/ramie")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def place_of(path: Path) -> str:
    """Return the dotted name of a file by the folder that it lies in."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_name(path: Path) -> str:
    """Return the dotted name under which a file of the package is imported."""
    if PATHS in path.parents:  # what answers to a path of Flax is imported by that path
        return place_of(PACKAGE / path.relative_to(PATHS))
    return place_of(path)


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def modules() -> dict[str, Path]:
    # `__init__` files below compat/paths stand for packages that have one of their own.
    found = {module_name(path): path for path in source_files() if PATHS in path.parents}
    rooms = [path for path in source_files() if PATHS not in path.parents]
    return {**found, **{module_name(path): path for path in rooms}}


def _is_typing_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = typing_only or _is_typing_guard(node)
        yield child, inside, guarded
        yield from _walk(child, inside, guarded)


@functools.cache
def imports(path: Path) -> tuple[Import, ...]:
    """Return what a file imports; `from package import name` counts as the module it loads."""
    found = []
    known = modules()
    for node, lazy, typing_only in _walk(parse(path), False, False):
        if isinstance(node, ast.Import):
            found += [Import(a.name, node.lineno, lazy, typing_only) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import"
            base = node.module or ""
            targets = {
                f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names
            }
            found += [Import(name, node.lineno, lazy, typing_only) for name in sorted(targets)]
    return tuple(found)
