"""The pages of the reference: one for each public module or subject of a large room."""

import importlib
import inspect
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from unittest import mock

from tools.site import docstrings, entries
from tools.site.catalogue import PAGES, Name, Page, catalogue, submodules
from tools.site.links import relative

__all__ = ["Link", "anchors", "navigation", "pages", "with_guides"]

_ANCHOR = re.compile(r"\{ #([\w.]+)(?: data-toc-label=\"\w+\")? \}$", re.M)
_COMMANDS = "reference/command_line.md"
_GROUPS = {
    "linen": "Linen",
    "nnx": "NNX",
    "training": "Training",
    "checkpoint": "Checkpoints",
    "ops": "Operations",
    "trees": "Trees and state",
    "metrics": "Metrics and tests",
    "interop": "Other libraries",
    "more": "More",
}

Link = tuple[str, str]


def _first_line(name: Name) -> str:
    text = entries.summary(name)
    return text.replace("\n", " ").replace("|", "\\|")


def _table(names: Sequence[Name], page: str = "") -> str:
    rows = [
        f"| [`{name.address}`]({page}#{name.address}) | {_first_line(name)} |" for name in names
    ]
    table = "\n".join(["| name | what it is |", "|---|---|", *rows])
    return f'<div class="names" markdown data-search-exclude>\n\n{table}\n\n</div>'


def _path(page: Page) -> str:
    return f"reference/{page.file}.md"


def _of(page: Page, names: Mapping[str, Name]) -> list[Name]:
    return [name for name in names.values() if name.page is page]


def _introduction(page: Page) -> str:
    """Return what a module says of itself; a part of a room leaves that to the room."""
    module = importlib.import_module(f"ramie.{page.address}")
    text = docstrings.markdown(inspect.getdoc(module) or "", {}) if not page.homes else ""
    shown = f"```python\nfrom ramie import {page.address}\n```"
    if "." in page.address:
        parent, _, last = page.address.rpartition(".")
        shown = f"```python\nfrom ramie.{parent} import {last}\n```"
    return f"{text}\n\n{shown}".strip()


def _boost(page: Page) -> str:
    """Let the search find first what most people mean: layers, not the functions in them."""
    group, _, subject = page.file.partition("/")
    if group in ("ops", "more", "trees") or subject == "bridge":
        weight = 0.4
    else:
        weight = 4 if group in ("linen", "nnx") else 2
    return f"---\nsearch:\n  boost: {weight}\n---"


def _page(page: Page, names: Mapping[str, Name]) -> str:
    around = entries.Around(names, "../" * (page.file.count("/") + 1))
    here = _of(page, names)
    parts = [_boost(page), f"# {page.title}", _introduction(page), _table(here)]
    return "\n\n".join([*parts, *(entries.entry(name, around) for name in here)]) + "\n"


def _room(group: str, names: Mapping[str, Name]) -> str:
    """Return the page of a group, which lists what its pages have."""
    parts = [f"# {_GROUPS[group]}"]
    pages = [page for page in PAGES if page.file.startswith(f"{group}/")]
    for room in dict.fromkeys(page.address for page in pages if page.homes):
        parts.append(
            docstrings.markdown(inspect.getdoc(importlib.import_module(f"ramie.{room}")) or "", {})
        )
    for page in pages:
        file = page.file.rpartition("/")[2]
        parts += [f"## [{page.title}]({file}.md)", _table(_of(page, names), f"{file}.md")]
    for room in dict.fromkeys(page.address for page in pages if page.homes):
        shown = ", ".join(f"`{room}.{module}`" for module in submodules(room))
        parts += ["## Modules", f"Paths that can be imported as in Flax: {shown}."]
    return "\n\n".join(parts) + "\n"


def _commands() -> str:
    """Return the help of all commands."""
    from ramie.cli.main import main

    parts = ["# Command line", "What `ramie` prints for `--help`, command by command."]
    todo: list[tuple[str, ...]] = [()]
    while todo:
        words = todo.pop(0)
        text = io.StringIO()
        settings = mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1")
        with settings, redirect_stdout(text), suppress(SystemExit):
            main([*words, "--help"])
        shown = re.sub(r"`(?:\S*python\S* -m |\S*/)ramie", "`ramie", text.getvalue())
        name = " ".join(("ramie", *words))
        parts.append(
            f"## `{name}` {{ #{name.replace(' ', '-')} }}\n\n```text\n{shown.strip()}\n```"
        )
        listed = re.search(
            r"^(?:sub)?commands:\n(?:.*\n)*?((?:    \S.*\n|      .*\n)+)", shown, re.M
        )
        found = re.findall(r"^    (\w[\w-]*)", listed[1], re.M) if listed else []
        todo = [(*words, command) for command in found] + todo
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """Return all pages of the reference as Markdown, by their place on the site."""
    names = catalogue()
    found = {_path(page): _page(page, names) for page in PAGES}
    found |= {f"reference/{group}/index.md": _room(group, names) for group in _GROUPS}
    found[_COMMANDS] = _commands()
    parts = [
        "# Reference",
        "All public names, with signatures, types and examples that run in the tests.",
    ]
    for group, title in _GROUPS.items():
        parts += [f"## [{title}]({group}/index.md)", "\n".join(_contents(group))]
    parts += ["## [Command line](command_line.md)", "`ramie ckpt`, `ramie plan`, `ramie demo`."]
    parts += [
        "## [Errors](../errors.md)",
        "Each class: what it means, and how to mend the program.",
    ]
    found["reference/index.md"] = "\n\n".join(parts) + "\n"
    return found


def with_guides(text: str, page: str, guides: Mapping[str, Sequence[Link]]) -> str:
    """Let the entries of a page list the guides that mention their names.

    Args:
      text: the page.
      page: its place on the site.
      guides: for each address the guides that mention it, by title and place.
    """

    def links(found: re.Match[str]) -> str:
        there = [f"[{title}]({relative(page, place)})" for title, place in guides.get(found[1], ())]
        return f'<p class="mentioned" markdown>In guides: {", ".join(there)}</p>' if there else ""

    return re.sub(entries.guides_of(r"([\w.]+)"), links, text)


def _contents(group: str) -> Iterator[str]:
    for page in PAGES:
        if page.file.startswith(f"{group}/"):
            yield f"- [{page.title}]({page.file}.md) `{page.address}`"


def navigation() -> list[object]:
    """Return the reference as a part of the navigation."""
    found: list[object] = ["reference/index.md"]
    for group, title in _GROUPS.items():
        inside = [
            {page.title.rpartition(": ")[2].capitalize(): _path(page)}
            for page in PAGES
            if page.file.startswith(f"{group}/")
        ]
        found.append({title: [f"reference/{group}/index.md", *inside]})
    return [*found, {"Command line": _COMMANDS}]


def anchors(written: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses that pages describe, and the page of each."""
    return {
        address: page
        for page, text in written.items()
        if page.startswith("reference/") and page != _COMMANDS
        for address in _ANCHOR.findall(text)
    }
