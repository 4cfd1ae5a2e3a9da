"""Build the site: ``python -m tools.site``, or ``make docs``.

All pages are written as Markdown into ``build/pages`` first, the reference among them; Material for
MkDocs makes them into ``site``. It is served by any server of files, and needs no network.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tools.site import errors, links, listings, notebooks, pages, reference
from tools.site.links import ROOT

PAGES = ROOT / "build" / "pages"
SITE = ROOT / "site"
CONFIGURATION = ROOT / "build" / "mkdocs.yml"
HERE = Path(__file__).parent
_ALSO_GUIDES = ("training.md", "serialization.md")


def _stem(page: str) -> str:
    return page.rpartition("/")[2].removesuffix(".md")


def _room(page: str) -> str:
    """Return where names without a room are looked for first."""
    if page.startswith("reference/"):
        part = page.split("/")[1]
        return {"trees": "struct", "metrics": "", "interop": "", "more": ""}.get(part, part)
    return "nnx" if "nnx" in page else "linen"


def _mentions(texts: Mapping[str, str], targets: links.Targets) -> dict[str, list[tuple[str, str]]]:
    """Return for each name the guides that mention it, by title and place."""
    found: dict[str, list[tuple[str, str]]] = {}
    for page, text in texts.items():
        if page.startswith(("guides/", "notebooks/")) or page in _ALSO_GUIDES:
            for address in sorted(links.code_names(text, targets)):
                found.setdefault(address, []).append((pages.title_of(text), page))
    return found


def written(more: Mapping[str, str]) -> tuple[dict[str, str], links.Targets]:
    """Return all pages as Markdown, by their place on the site, links and names resolved.

    Args:
      more: pages that are no files of the repository.

    Returns:
      The pages, and what names can be linked to.
    """
    texts = {
        page: links.moved(path.read_text(encoding="utf-8"), path, page, pages.place)
        for path, page in pages.sources().items()
    }
    texts |= {"index.md": pages.front(), "examples/index.md": pages.examples()}
    texts |= {**errors.pages(), **more}
    entries = reference.pages()
    described = {f"errors.{_stem(page)}": page for page in texts if page.startswith("errors/")}
    targets = links.Targets(reference.anchors(entries), described)
    guides = _mentions(texts, targets)
    entries = {page: reference.with_guides(text, page, guides) for page, text in entries.items()}
    return {
        page: links.linked(text, page, targets, _room(page))
        for page, text in {**texts, **entries}.items()
    }, targets


def stage() -> tuple[dict[str, str], links.Targets]:
    """Write all pages and sources into the folder that the generator reads."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shown, frames = notebooks.pages()
    texts, targets = written(shown)
    for page, text in texts.items():
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    pages.copy_pictures(PAGES)
    notebooks.copy(PAGES)
    for place, text in {**frames, errors.REDIRECT: errors.redirect()}.items():
        (PAGES / place).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / place).write_text(text, encoding="utf-8")
    shutil.copytree(HERE / "theme", PAGES, dirs_exist_ok=True)
    return texts, targets


def link_code(texts: Mapping[str, str], targets: links.Targets) -> None:
    """Link the names in the code of the built pages; entries of the reference link in words."""
    for page, text in texts.items():
        names = {} if page.startswith("reference/") else links.imported(text)
        path = SITE / re.sub(r"(README)?\.md$", lambda m: "index.html" if m[1] else ".html", page)
        if names:
            html = path.read_text(encoding="utf-8")
            path.write_text(links.linked_code(html, page, targets, names), encoding="utf-8")


def _configure(texts: Mapping[str, str]) -> None:
    """Write the configuration: what never changes, and the navigation. JSON is YAML."""
    classes = sorted(page for page in texts if page.startswith("errors/"))
    settings = {
        "INHERIT": str(HERE / "mkdocs.yml"),
        "docs_dir": str(PAGES),
        "site_dir": str(SITE),
        "nav": pages.navigation(reference.navigation(), ["errors.md", *classes], texts),
    }
    CONFIGURATION.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def main() -> int:
    """Build, and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m tools.site", description="Build the site.")
    parser.parse_args()
    started = time.monotonic()
    texts, targets = stage()
    files = listings.write(PAGES, listings.linked("\n".join(texts.values())))
    _configure(texts)
    read = time.monotonic() - started
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    code = subprocess.run([*command, "-f", str(CONFIGURATION)], env=quiet, check=False).returncode
    if code == 0:
        link_code(texts, targets)
        took = time.monotonic() - started
        print(
            f"{len(texts)} pages and {files} sources in {took:.0f} s ({read:.0f} s to write them)"
        )
        print(f"Open it by: {sys.executable} -m http.server --directory {SITE.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
