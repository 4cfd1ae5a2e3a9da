"""Showing models in notebooks."""

import importlib
import importlib.util
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ramie.foundation.terminals import in_notebook, shows_colours
from ramie.nnx.printing.text import Describable

__all__ = ["display", "rendered"]


def display(*args: Any) -> None:
    """Show objects: as trees to unfold in a notebook with Treescope installed, else as text.

    Args:
      *args: models, states, or anything else. On a terminal, what NNX prints is coloured; the
        environment variable `NO_COLOR` turns that off.

    Example:
        >>> from ramie import nnx
        >>> nnx.display(nnx.Dict(a=1))
        Dict({
          'a': 1
        })
    """
    if in_notebook() and importlib.util.find_spec("treescope") is not None:
        _unfold(args)
        return
    coloured = shows_colours()
    for shown in args:
        described = isinstance(shown, Describable) or hasattr(type(shown), "__nnx_repr__")
        print(_coloured(str(shown)) if coloured and described else shown)


def _unfold(args: tuple[Any, ...]) -> None:
    treescope: Any = importlib.import_module("treescope")
    with _quiet():
        for shown in args:
            treescope.display(shown, ignore_exceptions=True, autovisualize=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what NumPy 2.5 says when Treescope looks at all its names, old ones included."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The chararray class", DeprecationWarning)
        yield


_TOKENS = re.compile(
    r"(?P<dim># .*$)|(?P<green>'[^'\n]*')|(?P<cyan>\b\w+(?==))|(?P<bold>\b[A-Z]\w*(?=[(\[]))"
    r"|(?P<magenta>\b(?:True|False|None)\b|(?<![\w.])-?\d[\d.]*(?:e[+-]?\d+)?)",
    re.MULTILINE,
)
_CODES = {"dim": 2, "green": 32, "cyan": 36, "bold": 1, "magenta": 35}


def _coloured(text: str) -> str:
    """Colour notes, strings, names, classes and numbers."""
    return _TOKENS.sub(lambda m: f"\x1b[{_CODES[m.lastgroup or 'bold']}m{m[0]}\x1b[0m", text)


def rendered(node: Any, attributes: dict[str, Any], path: str | None, subtree_renderer: Any) -> Any:
    """Answer to Treescope, for the methods `__treescope_repr__`.

    Args:
      node: the object.
      attributes: what it holds, by name.
      path: where it is.
      subtree_renderer: shows what is inside.
    """
    repr_lib: Any = importlib.import_module("treescope.repr_lib")
    with _quiet():
        return repr_lib.render_object_constructor(
            object_type=type(node),
            attributes=attributes,
            path=path,
            subtree_renderer=subtree_renderer,
            color=_color(type(node)),
        )


def _color(cls: type) -> str:
    """Return a colour that is the same for a class in every process."""
    hue = sum((place + 1) * ord(letter) for place, letter in enumerate(cls.__qualname__)) % 360
    return f"oklch(0.785 0.103 {hue})"
