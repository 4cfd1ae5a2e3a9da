"""Pages that lie in the repository: guides, examples, the changelog."""

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.site import listings, notebooks
from tools.site.links import ROOT

__all__ = ["copy_pictures", "examples", "front", "navigation", "place", "sources", "title_of"]

_DOCS = ROOT / "docs"
_ALONE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "benchmarks/RESULTS.md": "measured.md",
}
_PICTURES = (".svg", ".png", ".jpg", ".gif")
_BULLET = re.compile(r"^(?:-|\d+\.) \[([^\]]+)\]\(([\w/.-]+\.md)\)", re.M)
_PROJECT = ("compat.md", "layout.md", "measured.md", "changelog.md", "contributing.md")


def _examples() -> list[Path]:
    return sorted((ROOT / "examples").glob("*/README.md"))


def sources() -> dict[Path, str]:
    """Return the files that become pages as they are, and their places on the site."""
    found = {path: path.relative_to(_DOCS).as_posix() for path in sorted(_DOCS.rglob("*.md"))}
    found |= {ROOT / name: page for name, page in _ALONE.items() if page != "index.md"}
    return found | {path: f"examples/{path.parent.name}.md" for path in _examples()}


def place(path: Path) -> str | None:
    """Return where a file or folder of the repository is on the site; None if it is not there."""
    known = sources() | {ROOT / "README.md": "index.md", ROOT / "docs": "index.md"}
    known[ROOT / "examples"] = "examples/index.md"
    if path.suffix == ".ipynb" and path.exists():
        return notebooks.page(path)
    for one in (path, path / "README.md"):
        if one in known:
            return known[one]
    if path.suffix in _PICTURES and path.exists():
        return pictures_place(path)
    return listings.place(path) if path.exists() and ROOT in path.parents else None


def pictures_place(path: Path) -> str:
    """Return where a picture is on the site."""
    base = _DOCS if _DOCS in path.parents else ROOT
    below = path.relative_to(base).as_posix()
    return below if base == _DOCS else f"pictures/{below}"


def copy_pictures(folder: Path) -> None:
    """Copy the pictures of guides and examples to where pages look for them."""
    for base in (_DOCS, *(path.parent for path in _examples())):
        for path in base.rglob("*"):
            if path.suffix in _PICTURES:
                target = folder / pictures_place(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)


def title_of(text: str) -> str:
    """Return the heading of a page."""
    found = re.search(r"^# (.+)$", text, re.M)
    return found[1].replace("`", "") if found else ""


def _first_sentence(text: str) -> str:
    paragraph = text.partition("\n# ")[2] if not text.startswith("# ") else text
    body = paragraph.partition("\n")[2].strip().partition("\n\n")[0].replace("\n", " ")
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", body)


def examples() -> str:
    """Return the page that lists all examples."""
    rows = [
        "# Examples",
        "Programs to start from. Each runs as it is, and is written to be copied.",
    ]
    for path in _examples():
        text = path.read_text(encoding="utf-8")
        name = path.parent.name
        rows.append(f"## [{title_of(text)}]({name}.md)\n\n`python -m examples.{name}`\n")
        rows.append(_first_sentence(text))
    rows.append("## Short programs")
    for path in sorted((ROOT / "examples").glob("*.py")):
        docstring = re.match(r'"""(.*?)(?:\n\n|""")', path.read_text(encoding="utf-8"), re.S)
        said = docstring[1].replace("\n", " ") if docstring else ""
        rows.append(f"- [{path.name}](../{listings.place(path)}): {said}")
    return "\n\n".join(rows) + "\n"


def front() -> str:
    """Return the first page: its frame, the first programs of the README, and all guides."""
    text = Path(__file__).with_name("front.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("## A first model")[2]
    programs = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    tabs = [
        f'=== "{style}"\n\n' + textwrap.indent(f"```python\n{program}```", "    ")
        for style, program in zip(("Linen", "NNX"), programs, strict=False)
    ]
    guides = (_DOCS / "guides" / "README.md").read_text(encoding="utf-8")
    topics = [
        f"- **{title}**: " + ", ".join(f"[{name}](guides/{file})" for name, file in entries)
        for title, entries in _sections(guides)
    ]
    text = text.replace("<!-- first model -->", "\n\n".join(tabs))
    return text.replace("<!-- topics -->", "\n".join(topics))


def _sections(readme: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for part in re.split(r"^## ", readme, flags=re.M)[1:]:
        title = part.partition("\n")[0].partition(":")[0].partition(",")[0]
        yield title, _BULLET.findall(part)


def navigation(
    reference: list[object], errors: list[object], there: Mapping[str, str]
) -> list[object]:
    """Return the navigation of the site; the guides in the order of their list.

    Args:
      reference: the part of it that is the reference.
      errors: the part of it that is about errors.
      there: all pages.
    """
    readme = (_DOCS / "guides" / "README.md").read_text(encoding="utf-8")
    guides: list[object] = ["guides/README.md"]
    listed = set()
    for title, entries in _sections(readme):
        inside = [{name: f"guides/{file}"} for name, file in entries]
        listed |= {f"guides/{file}" for _, file in entries}
        guides.append({title: inside})
    rest = sorted(page for page in there if page.startswith("guides/") and page not in listed)
    more = [page for page in rest if page != "guides/README.md"]
    more += [page for page in ("training.md", "serialization.md") if page in there]
    notebooks = sorted(page for page in there if page.startswith("notebooks/"))
    examples = sorted(page for page in there if re.fullmatch(r"examples/(?!index).*", page))
    return [
        {"Home": "index.md"},
        {"Guides": [*guides, {"More": more}]},
        *([{"Notebooks": notebooks}] if notebooks else []),
        {"Reference": reference},
        {"Examples": ["examples/index.md", *examples]},
        {"Errors": errors},
        {"Project": [page for page in _PROJECT if page in there]},
    ]
