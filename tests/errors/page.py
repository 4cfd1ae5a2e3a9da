"""The page on errors, made of the docstrings of their classes: ``python -m tests.errors.page``.

What stands below a docstring is written by hand, in the page: a program that causes the error, and
how to mend it.
"""

import inspect
import re
from pathlib import Path

from ramie import errors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
_SECTION = re.compile(
    r'^<a id="flax\.errors\.(\w+)"></a>$.*?^Also caught as: .*?\n(.*?)(?=^<a id="flax|\Z)',
    re.M | re.S,
)


def classes() -> list[type[errors.RamieError]]:
    """Return the classes of the catalogue, each once, by name."""
    return [
        cls
        for name, cls in sorted(vars(errors).items())
        if inspect.isclass(cls) and cls.__name__ == name and issubclass(cls, errors.RamieError)
    ]


def by_hand(text: str) -> dict[str, str]:
    """Return what is written by hand about each class."""
    return {name: written.strip() for name, written in _SECTION.findall(text)}


def _section(cls: type, written: str) -> str:
    text = inspect.getdoc(cls) or ""
    text = text.partition("\nArgs:")[0].partition("\nExample:")[0].strip()
    bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
    body = text.replace("``", "`").replace("::\n", ":\n")
    anchor = f'<a id="flax.errors.{cls.__name__}"></a>'
    head = f"{anchor}\n\n## {cls.__name__}\n\n{body}\n\nAlso caught as: {bases}.\n"
    return f"{head}\n{written}\n" if written else head


def page() -> str:
    """Return the text of the page: its head and what is written by hand as they are there."""
    text = PAGE.read_text(encoding="utf-8")
    written = by_hand(text)
    head = text.partition('<a id="flax')[0]
    return "\n".join(
        [head.strip("\n") + "\n", *(_section(c, written.get(c.__name__, "")) for c in classes())]
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
