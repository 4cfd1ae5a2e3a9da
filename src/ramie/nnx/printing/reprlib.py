"""How classes of users print like those of NNX: nested and indented.

A class derives from `Representable` and describes its objects in `__nnx_repr__`: first an `Object`,
then an `Attr` for each line.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from ramie.nnx.printing.text import describe

__all__ = ["Attr", "Object", "Representable"]


@dataclasses.dataclass
class Object:
    """What stands around the lines of an object.

    Attributes:
      type: the class, or its name.
      start: follows the name.
      end: closes.
      kv_sep: stands between key and value.
      indent: of the lines.
      empty_repr: stands between `start` and `end` if there are no lines.
      comment: follows `start`.
      same_line: whether all is put on one line.
    """

    type: str | type
    start: str = "("
    end: str = ")"
    kv_sep: str = "="
    indent: str = "  "
    empty_repr: str = ""
    comment: str = ""
    same_line: bool = False

    @property
    def elem_sep(self) -> str:
        """What stands between two lines."""
        return ", " if self.same_line else ",\n"


@dataclasses.dataclass
class Attr:
    """One line of an object.

    Attributes:
      key: its name.
      value: its value.
      start: what comes before.
      end: what comes after.
      use_raw_value: whether a value that is a string stands there without quotes.
      use_raw_key: accepted for compatibility; keys have no quotes.
    """

    key: str
    value: Any
    start: str = ""
    end: str = ""
    use_raw_value: bool = False
    use_raw_key: bool = False


class Representable:
    """An object whose text is what `__nnx_repr__` says.

    Example:
        >>> class Box(Representable):
        ...     def __nnx_repr__(self):
        ...         yield Object(type(self))
        ...         yield Attr("inside", [1, 2])
        >>> Box()
        Box(
          inside=[1, 2]
        )
    """

    __slots__ = ()

    def __nnx_repr__(self) -> Iterator[Object | Attr]:
        """Describe the object: an `Object`, then an `Attr` for each line."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it prints")

    def __repr__(self) -> str:
        return describe(self)
