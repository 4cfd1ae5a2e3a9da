"""Stubs of packages whose names are looked up on demand: ``python -m tests.layout.stubs``.

A type checker does not run the table of a door; the stub beside it says the same as imports.
"""

import ast
from pathlib import Path

from tests.layout import sources

from ramie.foundation.doors import Table, read

HEADER = "# Made by `make stubs` from the table in __init__.py.\n"


def call_of(path: Path) -> ast.Call | None:
    """Return the call of `door` in the `__init__` of a package, None without one."""
    for node in ast.walk(sources.parse(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "doors.door":
            return node
    return None


def doors() -> dict[str, Table]:
    """Return the tables of all packages that have a door, by the name of the package."""
    found = {}
    for name, path in sources.modules().items():
        call = call_of(path) if path.name == "__init__.py" else None
        if call is not None:
            homes = ast.literal_eval(call.args[1])
            modules = [ast.literal_eval(k.value) for k in call.keywords if k.arg == "modules"]
            found[name] = read(name, homes, *modules)
    return found


def _line(home: str, internal: str, public: str) -> str:
    return f"from {home} import {internal} as {public}"


def stub(table: Table) -> str:
    """Return the text of a stub."""
    lines = [_line(home, internal, name) for name, (home, internal) in table.names.items()]
    for name, module in table.modules.items():
        path = sources.modules()[module]  # of a path of Flax, the file that answers to it
        home, _, last = sources.place_of(path).rpartition(".")
        lines.append(_line(home, last, name))
    return HEADER + "\n".join(sorted(lines)) + "\n"


def main() -> None:
    """Write the stub of each door."""
    for name, table in doors().items():
        path = sources.modules()[name].with_suffix(".pyi")
        path.write_text(stub(table), encoding="utf-8")


if __name__ == "__main__":
    main()
