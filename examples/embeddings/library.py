"""Texts to search: what the functions of Python's library say of themselves, or lines of a file."""

import ast
import re
import sysconfig
from pathlib import Path

from examples.embeddings.settings import UsageError


def read(path: str) -> dict[str, str]:
    """Return texts by name: those of Python's library, or the lines of a file.

    Args:
      path: the file; nothing for Python's library.
    """
    if not path:
        return of_python()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--texts {path} cannot be read as text: {error}") from error
    found = {f"line {n}": line.strip() for n, line in enumerate(lines, 1) if line.strip()}
    if not found:
        raise UsageError(f"--texts {path} has no text in it.")
    return found


def of_python() -> dict[str, str]:
    """Return the first sentence on each public function and class of Python's library, by name.

    Nothing is imported. Methods are left out. Of several that say the same, the first is taken.
    """
    library = Path(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {}
    for path in sorted([*library.glob("*.py"), *library.glob("[a-z]*/*.py")]):
        parts = [*path.relative_to(library).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        if _is_public(parts):
            said = _functions(path.read_text(encoding="utf-8", errors="replace"))
            found |= {".".join([*parts, name]): text for name, text in said.items()}
    if not found:
        raise UsageError(f"{library} has no source of Python's library; pass --texts FILE.")
    first = {text: name for name, text in reversed(found.items())}
    return {name: text for name, text in found.items() if first[text] == name}


def _is_public(parts: list[str]) -> bool:
    left_out = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "encodings"}
    return not left_out & set(parts) and not any(part.startswith("_") for part in parts)


def _functions(source: str) -> dict[str, str]:
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            said = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
            sentence = re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.) ", said)[0]
            if " " in sentence:
                found[node.name] = sentence
    return found
