"""The pages on errors: on the site, each class has one, cut out of ``docs/errors.md``.

A message ends with ``docs/errors.md#flax.errors.NAME``. In the repository that is a section of the
file; on the site a small page at this very address leads on to the page of the class.
"""

import re

from tools.site.links import ROOT, moved
from tools.site.pages import place

__all__ = ["REDIRECT", "pages", "redirect"]

REDIRECT = "docs/errors.md/index.html"
_SECTION = re.compile(
    r'^<a id="(flax\.errors\.(\w+))"></a>\n\n## \w+\n\n(.*?)(?=^<a id=|\Z)', re.M | re.S
)
_LINES = re.compile(r"^```python\n.*?^```\n", re.M | re.S)
_LEADING = """\
<!doctype html>
<meta charset="utf-8">
<title>Errors</title>
<link rel="canonical" href="../../errors.html">
<script>
const name = location.hash.replace("#flax.errors.", "");
location.replace(name ? `../../errors/${encodeURIComponent(name)}.html` : "../../errors.html");
</script>
<p>The pages on <a href="../../errors.html">errors</a>.</p>
"""


def redirect() -> str:
    """Return the page at the address that messages print."""
    return _LEADING


def pages() -> dict[str, str]:
    """Return the list of errors, and the page of each, by their place on the site."""
    source = ROOT / "docs" / "errors.md"
    text = source.read_text(encoding="utf-8")
    head = text.partition('<a id="')[0].strip()
    lines = _LINES.search(f"{head}\n")
    beginning = lines[0] if lines else ""
    found, rows = {}, ["| class | what it means |", "|---|---|"]
    for anchor, name, body in _SECTION.findall(text):
        first = body.partition("\n\n")[0].replace("\n", " ")
        rows.append(f'| <a id="{anchor}"></a>[`{name}`](errors/{name}.md) | {first} |')
        begins = "\n```python\n" in body
        before = (
            f'??? note "The first lines of the program"\n\n{_indented(beginning)}\n'
            if begins
            else ""
        )
        described, also, rest = body.partition("Also caught as: ")
        bases, _, program = rest.partition("\n\n")
        parts = [f"# {name}", described.strip(), f"{also}{bases}", before.strip(), program.strip()]
        page = f"errors/{name}.md"
        whole = "\n\n".join(part for part in parts if part) + "\n"
        found[page] = moved(whole, source, page, place)
    table = "\n".join(rows)
    shown = f'{head}\n\n<div class="names" markdown>\n\n{table}\n\n</div>\n'
    return {"errors.md": shown, **found}


def _indented(text: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in text.splitlines(True))
