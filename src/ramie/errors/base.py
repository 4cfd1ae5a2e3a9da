"""The root of every exception Ramie raises on purpose, and how messages name locations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["FlaxError", "MissingExtraError", "MissingInJaxError", "RamieError"]


_PAGE = "docs/errors.md"


class RamieError(Exception):
    """Root of the catalogue: ``except ramie.errors.RamieError`` catches all of it and nothing else.

    Each subclass also derives from the builtin exception a caller would expect (``ValueError``,
    ``TypeError``, ``LookupError``, ...), so code written against builtins keeps working.

    Args:
        message: What happened, where, what was expected, and what to do about it.

    Example:
        >>> from ramie import errors
        >>> issubclass(errors.ScopeParamShapeError, ValueError)
        True
    """

    def __init__(self, message: str) -> None:
        super().__init__(message + _reference(type(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        # Constructors take the facts and compose the text, so the default reduction (class, text)
        # cannot rebuild most of them, and an error raised in a worker process would be lost.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


FlaxError = RamieError
"""The documented name of the root; the same class as `RamieError`."""


class MissingExtraError(RamieError, ImportError):
    """An optional dependency is needed for what was asked, and it is not installed.

    Args:
        package: The import name that could not be found.
        extra: The extra of ``ramie`` that installs it.
        purpose: What it is needed for, to be read after the word "to".
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"The package {package!r} is needed to {purpose}, and it is not installed. "
            f"Install it with: pip install 'ramie[{extra}]'"
        )
        self.package = package
        self.extra = extra


class MissingInJaxError(RamieError, NotImplementedError):
    """This version of JAX lacks something that a feature needs.

    A few features need parts of JAX that are not public, and that any version of JAX may change.
    Everything else works without them.

    Args:
        name: What is missing, with the module that would have it.
        purpose: What it is needed for, to be read after the word "to".
        version: That of JAX.
    """

    def __init__(self, name: str, purpose: str, version: str) -> None:
        super().__init__(
            f"JAX {version} has no {name!r}, which Ramie needs to {purpose}. It is not a public "
            "part of JAX, and all that does not need it works. Use a version of JAX that Ramie was "
            "tested with (its README lists them), or a newer Ramie."
        )
        self.name = name
        self.version = version


def _reference(cls: type[RamieError]) -> str:
    """Where the mistake is explained at length: a section of our page; nothing for other classes.

    The address is relative to the documentation, wherever that is served. Its last part is what
    messages of Flax end with, which programs look for.
    """
    if cls is RamieError or not cls.__module__.startswith("ramie.errors."):
        return ""
    return f" ({_PAGE}#flax.errors.{cls.__name__})"


def _rebuild(cls: type[RamieError], args: tuple[Any, ...], state: dict[str, Any]) -> RamieError:
    """Make the pickled error again, from its text and not from the facts of its constructor."""
    error = cls.__new__(cls, *args)
    super(RamieError, error).__init__(*args)
    error.__dict__.update(state)
    return error


def belongs_to(value: Any, api: str) -> bool:
    """Tell whether the class of a value derives from one of ``linen`` or ``nnx``.

    For messages of rooms that may import neither.

    Args:
        value: Any object.
        api: The name of the room.
    """
    return _derives(type(value), f"ramie.{api}")


def _derives(cls: type, package: str) -> bool:
    return any(f"{base.__module__}.".startswith(f"{package}.") for base in cls.__mro__)


def saved_instead(value: Any) -> str:
    """Say what is saved in place of a module or a tensor of another library, as a sentence.

    Args:
        value: What was to be saved.

    Returns:
        The sentence without its end; "" for other objects.
    """
    cls = type(value)
    if cls not in _INSTEAD:  # asked for each of very many leaves
        _INSTEAD[cls] = _saved_instead_of(cls)
    return _INSTEAD[cls]


_INSTEAD: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _saved_instead_of(cls: type) -> str:
    if _derives(cls, "ramie.nnx"):
        return "Of a model of NNX its state is saved: nnx.state(model), or nnx.split(model)[1]"
    if _derives(cls, "ramie.linen"):
        return "Of a module of Linen its variables are saved, which model.init(key, x) returns"
    if _derives(cls, "torch"):
        return (
            "Of PyTorch arrays are saved: tensor.detach().cpu().numpy(), after .float() where "
            "NumPy lacks the dtype, or what ramie.interop.torch makes of a state dict"
        )
    if _derives(cls, "tensorflow"):
        return "Of TensorFlow arrays are saved: tensor.numpy()"
    return ""


def path_text(path: str | Iterable[Any]) -> str:
    """Write a scope path as users see it: ``"/encoder/dense"``; the root is ``"/"``."""
    if isinstance(path, str):
        return path
    return "/" + "/".join(str(part) for part in path)


def in_module(module: str | None) -> str:
    """Return `` in Module X``, or nothing when the module is not known."""
    return f" in Module {module}" if module else ""
