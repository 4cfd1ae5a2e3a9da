"""What `inspect.signature` and editors show of classes that are made in unusual ways."""

import inspect
from typing import Any

__all__ = ["SignatureOfInit"]


class SignatureOfInit:
    """As ``__signature__`` of a class: its parameters, and of its subclasses, are of ``__init__``.

    For classes with a metaclass or a ``__new__`` that takes anything, which would be shown
    otherwise. A subclass may set a ``__signature__`` of its own.

    Example:
        >>> class Lenient:
        ...     __signature__ = SignatureOfInit()
        ...     def __new__(cls, *args, **kwargs):
        ...         return super().__new__(cls)
        ...     def __init__(self, width: int):
        ...         self.width = width
        >>> inspect.signature(Lenient)
        <Signature (width: int)>
    """

    def __get__(self, instance: Any, cls: type) -> inspect.Signature:
        if instance is not None:
            message = f"{cls.__name__!r} object has no attribute '__signature__'"
            raise AttributeError(message, name="__signature__", obj=instance)
        init: Any = cls.__init__  # type: ignore[misc]
        if init is object.__init__:
            return inspect.Signature()
        signature = inspect.signature(init)
        return signature.replace(parameters=[*signature.parameters.values()][1:])
