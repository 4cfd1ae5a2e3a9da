"""Notebooks as pages: their cells, and what these show when a kernel of Jupyter runs them.

They lie in ``docs/notebooks`` without results, so that a change of them can be read.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from tools.site.links import ROOT

__all__ = ["NOTEBOOKS", "as_markdown", "copy", "page", "pages", "ran"]

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
_KEPT = ROOT / "build" / "notebooks"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What a cell shows as HTML is a document of its own, as high as what is unfolded in it.
_FRAME = """\
<!doctype html>
<meta charset="utf-8">
<title>What a cell shows</title>
<style>body {{ margin: 0; }} :root {{ color-scheme: light; background: white; }}</style>
{shown}
<script>
const fit = () => {{ frameElement.style.height = `${{document.documentElement.scrollHeight}}px`; }};
if (window.frameElement) new ResizeObserver(fit).observe(document.body);
</script>
"""

Frames = dict[str, str]


def page(path: Path) -> str:
    """Return where a notebook is on the site."""
    return f"notebooks/{path.stem}.md"


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def as_markdown(path: Path) -> str:
    """Return the cells of a notebook as Markdown, without results."""
    return _joined([_source(cell) for cell in _cells(path)])


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part).replace(".ipynb)", ".md)") + "\n"


def _source(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return f"```python\n{text}\n```" if cell["cell_type"] == "code" else text


def ran(path: Path) -> list[dict[str, Any]]:
    """Run a notebook in a kernel, unless it and the library are as when it was last run."""
    from nbclient import NotebookClient
    from nbformat import read, writes

    sources = [path, *sorted((ROOT / "src" / "ramie").rglob("*.py"))]
    digest = hashlib.sha256(b"".join(one.read_bytes() for one in sources)).hexdigest()[:16]
    kept = _KEPT / f"{path.stem}-{digest}.ipynb"
    if not kept.is_file():
        notebook = read(path, as_version=4)
        quiet = ["--IPKernelApp.log_level=ERROR"]
        NotebookClient(notebook, timeout=300, extra_arguments=quiet).execute()
        _KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(writes(notebook), encoding="utf-8")
    return _cells(kept)


def _text_of(output: dict[str, Any]) -> str:
    """Return what a result is as text; nothing for what has a form of its own, or is a warning."""
    if output["output_type"] == "stream":
        text = "".join(output["text"]) if output["name"] == "stdout" else ""
    else:
        text = "" if _html_of(output) else "".join(output.get("data", {}).get("text/plain", ""))
    plain = _COLOURS.sub("", text).strip("\n")
    return f"```text\n{plain}\n```" if plain else ""


def _html_of(output: dict[str, Any]) -> str:
    return "".join(output.get("data", {}).get("text/html", ""))


def pages() -> tuple[dict[str, str], Frames]:
    """Return the pages of all notebooks as Markdown, and the documents that they frame."""
    texts, frames = {}, {}
    for path in NOTEBOOKS:
        parts = []
        for number, cell in enumerate(ran(path)):
            outputs = cell.get("outputs", [])
            parts += [_source(cell), *map(_text_of, outputs)]
            # Treescope first shows a place, then fills it by a script: both in one document.
            html = "\n".join(filter(None, map(_html_of, outputs)))
            if html:
                name = f"shown/{path.stem}-{number}.html"
                frames[f"notebooks/{name}"] = _FRAME.format(shown=html)
                parts.append(f'<iframe class="shown" src="{name}" title="What it shows"></iframe>')
        link = f"[This page is a notebook]({path.name}): open it in Jupyter."
        texts[page(path)] = _joined(parts).replace("\n\n", f"\n\n{link}\n\n", 1)
    return texts, frames


def copy(folder: Path) -> None:
    """Copy the notebooks themselves, for those who want to run them."""
    for path in NOTEBOOKS:
        shutil.copy(path, folder / "notebooks" / path.name)
