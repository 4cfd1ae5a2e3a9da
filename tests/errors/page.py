"""The page on errors, made of the docstrings of their classes: ``python -m tests.errors.page``."""

import inspect
from pathlib import Path

from ramie import errors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"
_HEAD = """\
# Errors

The exceptions of `ramie.errors`. Each is a `RamieError`, and also the builtin exception that a
caller would expect. A message says what was wrong, where, what was expected and what to do, and
ends with the address of its section here. The sections are the docstrings of the classes;
`python -m tests.errors.page` writes them.
"""


def _section(cls: type) -> str:
    text = inspect.getdoc(cls) or ""
    text = text.partition("\nArgs:")[0].partition("\nExample:")[0].strip()
    bases = ", ".join(f"`{base.__name__}`" for base in cls.__bases__)
    body = text.replace("``", "`").replace("::\n", ":\n")
    anchor = f'<a id="flax.errors.{cls.__name__}"></a>'
    return f"{anchor}\n\n## {cls.__name__}\n\n{body}\n\nAlso caught as: {bases}.\n"


def page() -> str:
    """Return the text of the page."""
    classes = [
        cls
        for name, cls in sorted(vars(errors).items())
        if inspect.isclass(cls) and cls.__name__ == name and issubclass(cls, errors.RamieError)
    ]
    return "\n".join([_HEAD, *map(_section, classes)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
