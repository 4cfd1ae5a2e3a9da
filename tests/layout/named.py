"""Public names that no guide names: ``python -m tests.layout.named``.

A user looks for ``nnx.RoPE`` and finds the reference; a guide says when to take it. So each name of
`ROOMS` stands in a guide: with the room before it (``nn.Dense`` or ``linen.Dense`` for Linen), or
imported from the room in a block of code. Names of modules, which are paths, do not count. What
``ops`` offers is in its modules (``linear.dense``); a function that Linen or NNX offers as well
counts where a guide names it there.
"""

import functools
import re

from tests.layout import sources, stubs

ROOMS = {
    "linen": ("nn", "linen"),
    "nnx": ("nnx",),
    "checkpoint": ("checkpoint",),
    "training": ("training",),
    "ops": ("ops",),
}
# What a module of a room offers counts as well where users import the module.
MODULES = {
    "training": (
        "checkpoints",
        "common_utils",
        "dynamic_scale",
        "early_stopping",
        "lr_schedule",
        "prefetch_iterator",
        "train_state",
    ),
    "ops": tuple(stubs.doors()["ramie.ops"].modules),
}
GUIDES = sorted(
    {
        *(sources.ROOT / "docs" / "guides").glob("*.md"),
        *(sources.ROOT / "docs").glob("*.md"),
        *(sources.ROOT / "docs" / "notebooks").glob("*.ipynb"),
    }
    - {sources.ROOT / "docs" / name for name in ("errors.md", "layout.md")}
)
IMPORT = re.compile(r"from ramie\.([\w.]+) import (\([^)]*\)|[^\n]*)")


@functools.cache
def text() -> str:
    """Return all guides as one text."""
    return "\n".join(path.read_text(encoding="utf-8") for path in GUIDES)


@functools.cache
def _imported() -> frozenset[tuple[str, str]]:
    return frozenset(
        (module, name)
        for module, names in IMPORT.findall(text())
        for name in re.findall(r"\w+", names)
    )


def _stands(prefixes: tuple[str, ...], name: str) -> bool:
    prefix = "|".join(map(re.escape, prefixes))
    return bool(re.search(rf"(?<![\w])(?:{prefix})\.{name}\b", text()))


def _of_module(room: str, module: str) -> list[str]:
    if table := stubs.doors().get(f"ramie.{room}.{module}"):
        return list(table.names)
    path = sources.modules()[f"ramie.{room}.{module}"]
    for node in sources.parse(path).body:
        if getattr(getattr(node, "targets", [None])[0], "id", "") == "__all__":
            return [element.value for element in node.value.elts]
    return []


def public(room: str) -> list[str]:
    """Return the public names of a room; ``module.name`` for those in `MODULES`."""
    table = stubs.doors()[f"ramie.{room}"]
    own = [name for name in table.names if not name.startswith("_")]
    deeper = [
        f"{module}.{name}" for module in MODULES.get(room, ()) for name in _of_module(room, module)
    ]
    return sorted([*own, *deeper])


def _elsewhere(full: str) -> bool:
    """Tell whether a guide names a function of ``ops`` as one of Linen or of NNX."""
    module, _, name = full.rpartition(".")
    for room in ("linen", "nnx"):
        home, inside = stubs.doors()[f"ramie.{room}"].names.get(name, ("", ""))
        same = inside == name and f"{home}.".startswith(f"ramie.ops.{module}.")
        if same and _stands(ROOMS[room], name):
            return True
    return False


def unnamed(room: str) -> list[str]:
    """Return the public names of a room that no guide names."""
    missing = []
    for full in public(room):
        module, _, name = full.rpartition(".")
        prefixes = (module,) if module else ROOMS[room]
        home = f"{room}.{module}" if module else room
        there = _stands(prefixes, name) or (home, name) in _imported()
        if not (there or (room == "ops" and _elsewhere(full))):
            missing.append(full)
    return missing


def main() -> None:
    """Print them, room by room."""
    for room in ROOMS:
        missing = unnamed(room)
        print(f"{room}: {len(missing)} of {len(public(room))} are in no guide")
        for name in missing:
            print(f"  {name}")


if __name__ == "__main__":
    main()
