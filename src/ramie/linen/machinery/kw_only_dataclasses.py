"""Dataclasses whose keyword-only fields stay so in subclasses.

Python's own `dataclasses` knows keyword-only fields; what it lacks, and code written for Flax uses,
is that a subclass which gives such a field a new default need not mark it again, and that a
decorator can append fields of its own.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY as KW_ONLY
from dataclasses import MISSING
from typing import Any

__all__ = ["KW_ONLY", "dataclass", "field"]


def field(*, metadata: Any = None, kw_only: Any = MISSING, **kwargs: Any) -> Any:
    """Describe a field, as `dataclasses.field` does.

    Args:
      metadata: a mapping of the user's own.
      kw_only: whether the constructor takes the field by keyword only.
      **kwargs: as for `dataclasses.field`.
    """
    return dataclasses.field(metadata=metadata, kw_only=kw_only, **kwargs)


def dataclass(
    cls: type | None = None,
    extra_fields: Iterable[tuple[str, Any, Any]] | None = None,
    **kwargs: Any,
) -> Any:
    """Make a class a dataclass; usable with and without arguments.

    Args:
      cls: the class.
      extra_fields: fields to append: name, annotation and default or `field`.
      **kwargs: as for `dataclasses.dataclass`.
    """
    if cls is None:
        return lambda cls: _make(cls, extra_fields or (), kwargs)
    return _make(cls, extra_fields or (), kwargs)


def _make(cls: Any, extra_fields: Iterable[tuple[str, Any, Any]], kwargs: Any) -> type:
    annotations = dict(inspect.get_annotations(cls))
    for name, annotation, default in extra_fields:
        annotations[name] = annotation
        setattr(cls, name, default)
    cls.__annotations__ = annotations
    for base in cls.__mro__[1:]:
        for inherited in getattr(base, "__dataclass_fields__", {}).values():
            if inherited.kw_only and inherited.name in annotations:
                _keep_keyword_only(cls, inherited.name)
    make: Callable[[type], type] = dataclasses.dataclass(**kwargs)
    return make(cls)


def _keep_keyword_only(cls: Any, name: str) -> None:
    default = cls.__dict__.get(name, MISSING)
    if not isinstance(default, dataclasses.Field):
        setattr(cls, name, dataclasses.field(default=default, kw_only=True))
    elif default.kw_only is MISSING:
        default.kw_only = True
