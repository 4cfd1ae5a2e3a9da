"""Showing models in notebooks."""

import importlib
import importlib.util
import sys
from typing import Any

__all__ = ["display", "rendered"]


def display(*args: Any) -> None:
    """Show objects: as trees to unfold in a notebook with Treescope installed, else as text.

    Args:
      *args: models, states, or anything else.

    Example:
        >>> from ramie import nnx
        >>> nnx.display(nnx.Dict(a=1))
        Dict({
          'a': 1
        })
    """
    if not _in_notebook() or importlib.util.find_spec("treescope") is None:
        for shown in args:
            print(shown)
        return
    treescope: Any = importlib.import_module("treescope")
    for shown in args:
        treescope.display(shown, ignore_exceptions=True, autovisualize=True)


def _in_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def rendered(node: Any, attributes: dict[str, Any], path: str | None, subtree_renderer: Any) -> Any:
    """Answer to Treescope, for the methods `__treescope_repr__`.

    Args:
      node: the object.
      attributes: what it holds, by name.
      path: where it is.
      subtree_renderer: shows what is inside.
    """
    repr_lib: Any = importlib.import_module("treescope.repr_lib")
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
