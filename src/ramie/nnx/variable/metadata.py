"""What is known of a variable beside its value: an immutable mapping that exists once.

Most variables of a model have the same few entries. Equal metadata is one object, so comparing two
models, or hashing one, looks at identities only; and a change makes another object, so whoever
remembers the old one notices.
"""

import dataclasses
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Generic, NoReturn, TypeVar

__all__ = [
    "HOOKS",
    "REQUIRED",
    "Metadata",
    "VariableDef",
    "VariableMetadata",
    "completed",
    "metadata_of",
    "required",
]

A = TypeVar("A")
Hook = Callable[..., Any]

HOOKS = (
    "on_get_value",
    "on_set_value",
    "on_create_value",
    "on_add_axis",
    "on_remove_axis",
)
"""Names of entries that are functions called with the variable; subclasses may define methods."""

REQUIRED: Mapping[str, Any] = {"hijax": False, "ref": False, "eager_sharding": True}
"""Entries that every variable has, with their defaults; they come last."""


class VariableDef:
    """The part of a variable that is structure: its class and metadata. Equal ones are one object.

    Args:
      type: the class.
      metadata: what `Variable` was given beside the value.
    """

    __slots__ = ("metadata", "type")

    def __init__(self, type: type, metadata: "Metadata") -> None:
        self.type = type
        self.metadata = metadata

    def of(self, raw_value: Any) -> Any:
        """Return a variable of this class and metadata around a raw value."""
        cls: Any = self.type
        return cls._make(raw_value, self.metadata)

    def __repr__(self) -> str:
        return f"VariableDef({self.type.__name__}, {dict(self.metadata)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _variable_def, (self.type, self.metadata)


class Metadata(dict[str, Any]):
    """Entries by name, never changed after they were made. Use `metadata_of` to get one."""

    __slots__ = ("__weakref__", "defs", "get_hook", "in_box", "in_ref", "is_cell", "set_hook")

    defs: dict[type, VariableDef]
    get_hook: Any
    set_hook: Any
    is_cell: bool
    in_box: bool
    in_ref: bool

    # Equal entries are one object, so identity is enough.
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.defs = {}
        self.get_hook = self.get("on_get_value")
        self.set_hook = self.get("on_set_value")
        hijax, ref = bool(self.get("hijax")), bool(self.get("ref"))
        # What the variable holds may not be its value, but a mutable cell of JAX, and which one.
        self.is_cell = hijax or ref
        is_fixed = hijax and self.get("mutable") is False
        self.in_ref = ref and not is_fixed
        self.in_box = hijax and not ref and not is_fixed

    def definition(self, cls: type) -> VariableDef:
        """Return what stands for a variable of class `cls` with this metadata in a structure."""
        known = self.defs.get(cls)
        return self.defs.setdefault(cls, self._definition(cls)) if known is None else known

    def _definition(self, cls: type) -> VariableDef:
        return VariableDef(cls, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return metadata_of, (dict(self),)


class _UnhashableDef(VariableDef):
    """A definition with metadata that has no hash: there may be several equal ones."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _UnhashableDef) and (
            self.type is other.type and self.metadata == other.metadata
        )

    def __hash__(self) -> int:
        return hash(self.metadata)


class _UnhashableMetadata(Metadata):
    """Entries among which one has no hash: works, but not as part of something to be hashed."""

    __slots__ = ()

    def _definition(self, cls: type) -> VariableDef:
        return _UnhashableDef(cls, self)

    def __hash__(self) -> NoReturn:  # type: ignore[override]
        wrong = [name for name, value in self.items() if not _is_hashable(value)]
        raise TypeError(
            f"unhashable metadata: the entries {wrong} of a Variable have no hash, so JAX cannot "
            "tell compiled functions apart by them. Use a tuple in place of a list, for example."
        )


_interned: "weakref.WeakValueDictionary[frozenset[Any], Metadata]" = weakref.WeakValueDictionary()


def metadata_of(entries: Mapping[str, Any]) -> Metadata:
    """Return the one mapping with these entries. 1, 1.0 and True are different values here.

    Example:
        >>> metadata_of({"tag": "a"}) is metadata_of({"tag": "a"})
        True
    """
    try:
        key = frozenset([(name, type(value), value) for name, value in entries.items()])
        known = _interned.get(key)
    except TypeError:
        return _UnhashableMetadata(entries)
    return _interned.setdefault(key, Metadata(entries)) if known is None else known


@dataclasses.dataclass(frozen=True)
class VariableMetadata(Generic[A]):
    """A value and the metadata that the variable made from it gets. `with_metadata` returns it.

    Attributes:
      raw_value: the value.
      on_set_value: hooks; see `Variable`. The same for the other four.
      metadata: further entries.
    """

    raw_value: A
    on_set_value: tuple[Hook, ...] = ()
    on_get_value: tuple[Hook, ...] = ()
    on_create_value: tuple[Hook, ...] = ()
    on_add_axis: tuple[Hook, ...] = ()
    on_remove_axis: tuple[Hook, ...] = ()
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def entries(self) -> dict[str, Any]:
        """Return hooks and further entries as one dictionary."""
        hooks = {name: getattr(self, name) for name in HOOKS}
        return {**{k: v for k, v in hooks.items() if v}, **self.metadata}


def required(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that every variable has: those given, else the defaults."""
    return {name: entries.get(name, default) for name, default in REQUIRED.items()}


def completed(
    metadata: Mapping[str, Any],
    defaults: Metadata,
    eager_sharding: bool | None,
    cells: tuple[bool, bool],
) -> Metadata:
    """Put the entries of a new variable together; documented synonyms get one name."""
    entries = dict(metadata)
    for synonym in ("sharding", "sharding_names"):
        if synonym in entries:
            entries.setdefault("out_sharding", entries.pop(synonym))
    for name, default in defaults.items():
        entries.setdefault(name, default)
    entries["hijax"], entries["ref"] = map(bool, cells)
    if eager_sharding is not None:
        entries["eager_sharding"] = eager_sharding
    return metadata_of(entries)


def _variable_def(cls: type, metadata: Metadata) -> VariableDef:
    return metadata.definition(cls)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
