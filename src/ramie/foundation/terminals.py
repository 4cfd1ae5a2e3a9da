"""Who reads what is printed: a terminal, a notebook, or a file."""

import os
import sys
from typing import Any

__all__ = ["Tables", "in_notebook", "shows_colours"]


class Tables:
    """What tables of models do.

    Attributes:
      always_coloured: whether they have codes for colours in files and pipes, too. Programs written
        for Flax get them, and some look for them.
    """

    always_coloured = False


def in_notebook() -> bool:
    """Tell whether a kernel of IPython runs this program, as in notebooks; its shell has none."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def shows_colours(stream: Any = None) -> bool:
    """Tell whether codes for colours are shown as colours there.

    Args:
      stream: where the text goes; by default the standard output. In a notebook it is the cell.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if in_notebook():
        return True
    stream = sys.stdout if stream is None else stream
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False
