"""The source files, highlighted, each line with an address; folders as lists."""

import html
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from tools.site.links import ROOT

__all__ = ["linked", "place", "write"]

_FOLDERS = ("src/ramie", "examples", "tools", "docs/pictures")
_SHOWN = {".py", ".pyi", ".md", ".toml", ".sh", ".js", ".css", ".yml"}
_LINK = re.compile(r"\((?:\.\./)*source/([^)#\s]+)\.html[)#]")
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{up}assets/images/favicon.png">
<link rel="stylesheet" href="{up}stylesheets/source.css">
</head>
<body>
<nav>{path}</nav>
{body}
</body>
</html>
"""


def place(path: Path) -> str:
    """Return the page of a file or folder, from the top of the site."""
    relative = path.relative_to(ROOT).as_posix()
    return f"source/{relative}/index.html" if path.is_dir() else f"source/{relative}.html"


def linked(text: str) -> set[Path]:
    """Return the files and folders whose pages a text links to."""
    found = {ROOT / name.removesuffix("/index") for name in _LINK.findall(text)}
    return {path for path in found if path.exists()}


def _trail(page: str, name: str) -> str:
    """Return links to the folders above."""
    parts = name.split("/")
    links = [f'<a href="{posixpath.relpath("index.html", posixpath.dirname(page))}">Ramie</a>']
    for number, part in enumerate(parts[:-1], 1):
        target = f"source/{'/'.join(parts[:number])}/index.html"
        links.append(f'<a href="{posixpath.relpath(target, posixpath.dirname(page))}">{part}</a>')
    return " / ".join([*links, html.escape(parts[-1])])


def _filled(page: str, name: str, body: str) -> str:
    up = "../" * page.count("/")
    return _PAGE.format(title=html.escape(name), up=up, path=_trail(page, name), body=body)


def _folder(path: Path, inside: Iterable[Path]) -> str:
    rows = [
        f'<li><a href="{one.name}/index.html">{one.name}/</a></li>'
        if one.is_dir()
        else f'<li><a href="{one.name}.html">{one.name}</a></li>'
        for one in sorted(inside, key=lambda one: (one.is_file(), one.name))
    ]
    return f"<ul>{''.join(rows)}</ul>"


def _files(more: Iterable[Path]) -> set[Path]:
    found = {
        path
        for folder in _FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in _SHOWN and path.is_file() and "__pycache__" not in path.parts
    }
    for path in more:
        inside = [path] if path.is_file() else path.iterdir()
        found |= {one for one in inside if one == path or (one.is_file() and one.suffix in _SHOWN)}
    return found


def write(folder: Path, more: Iterable[Path]) -> int:
    """Write the pages of all sources below a folder; return how many files they show.

    Args:
      folder: the top of the site.
      more: further files and folders of the repository that pages link to.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import TextLexer, get_lexer_for_filename
    from pygments.util import ClassNotFound

    formatter = HtmlFormatter(linenos="inline", lineanchors="L", anchorlinenos=True, wrapcode=True)
    files = _files(more)
    for path in files:
        text = path.read_text(encoding="utf-8")
        try:
            lexer = get_lexer_for_filename(path.name)
        except ClassNotFound:
            lexer = TextLexer()
        body = highlight(text, lexer, formatter)
        # `lineanchors` writes L-12; links of the reference say L12, as elsewhere.
        body = body.replace('id="L-', 'id="L').replace('name="L-', 'name="L')
        page = place(path)
        target = folder / page
        target.parent.mkdir(parents=True, exist_ok=True)
        name = path.relative_to(ROOT).as_posix()
        target.write_text(_filled(page, name, body.replace('href="#L-', 'href="#L')), "utf-8")
    shown = files | {parent for path in files for parent in path.parents if ROOT in parent.parents}
    for path in shown - files:
        page = place(path)
        body = _folder(path, (one for one in shown if one.parent == path))
        (folder / page).write_text(_filled(page, path.relative_to(ROOT).as_posix(), body), "utf-8")
    return len(files)
