"""Which attributes of a Pytree are data, and which are static: marks, and what decides without.

Data attributes become children of the pytree; static ones belong to its structure. A mark decides,
then an annotation of the class or the metadata of a dataclass field, then the value: arrays,
variables and other Pytrees are data.
"""

import dataclasses
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias, TypeVar, dataclass_transform, get_type_hints

import jax
import numpy as np

from ramie.typing import MISSING

__all__ = [
    "Data",
    "Mark",
    "Static",
    "data",
    "data_in",
    "dataclass",
    "declared",
    "has_data",
    "is_data",
    "is_plain",
    "register_data_type",
    "static",
]

T = TypeVar("T")
_DATA_TAG, _STATIC_TAG = "__data__", "__static__"
Data: TypeAlias = Annotated[T, _DATA_TAG]
"""Annotation of a class attribute: its values are data."""
Static: TypeAlias = Annotated[T, _STATIC_TAG]
"""Annotation of a class attribute: its values are static."""

_FIELD = "static"
"""Key in the metadata of a dataclass field, as `jax.tree_util.register_dataclass` has it."""


class Mark:
    """A value on its way into an attribute, with the decision what the attribute is.

    Args:
      value: the value.
      is_data: the decision.
    """

    __slots__ = ("is_data", "value")

    def __init__(self, value: Any, is_data: bool) -> None:
        self.value = value
        self.is_data = is_data

    def __repr__(self) -> str:
        return f"nnx.{'data' if self.is_data else 'static'}({self.value!r})"


def _marked(value: Any, is_data: bool, options: Mapping[str, Any]) -> Any:
    if value is not MISSING and not options:
        return Mark(value, is_data)
    given = options.get("metadata") or {}
    if _FIELD in given:
        raise ValueError(
            f"Cannot use '{_FIELD}' key in metadata argument for "
            f"nnx.{'data' if is_data else 'static'}: it says that itself. Leave the key out, or "
            "write dataclasses.field(metadata=...)."
        )
    metadata = {**given, _FIELD: not is_data}
    field: Any = dataclasses.field
    return field(**{**options, "metadata": metadata})


def data(value: Any = MISSING, /, **kwargs: Any) -> Any:
    """Mark a value, or a field of a dataclass, as data: a child of the pytree.

    Args:
      value: assigned to an attribute, it is stored, and the attribute is data from then on.
      **kwargs: without a value, options of `dataclasses.field`.

    Raises:
      ValueError: if `metadata` has a key "static".

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> class Net(nnx.Pytree):
        ...     def __init__(self):
        ...         self.numbers = nnx.data([1, 2])
        ...         self.name = "net"
        >>> jax.tree.leaves(Net())
        [1, 2]
    """
    return _marked(value, True, kwargs)


def static(value: Any = MISSING, /, **kwargs: Any) -> Any:
    """Mark a value, or a field of a dataclass, as static: part of the structure.

    Args:
      value: assigned to an attribute, it is stored, and the attribute is static from then on.
      **kwargs: without a value, options of `dataclasses.field`.

    Raises:
      ValueError: if `metadata` has a key "static".
    """
    return _marked(value, False, kwargs)


@dataclass_transform(field_specifiers=(dataclasses.field, data, static))
def dataclass(cls: Any = None, /, *, eq: bool = True, **options: Any) -> Any:
    """Make a Pytree class a dataclass whose fields can be declared with `data` and `static`.

    Args:
      cls: the class.
      eq: whether instances compare by their fields; they have no hash then.
      **options: as for `dataclasses.dataclass`.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> @nnx.dataclass
        ... class Point(nnx.Pytree):
        ...     x: int = nnx.data()
        ...     label: str = nnx.static(default="p")
        >>> jax.tree.leaves(Point(3))
        [3]
    """
    if cls is None:
        return lambda cls: dataclass(cls, eq=eq, **options)
    options.setdefault("repr", False)
    return dataclasses.dataclass(eq=eq, **options)(cls)


def declared(cls: type) -> dict[str, bool]:
    """Return what the body of one class declares: for attributes by name, whether they are data.

    Raises:
      ValueError: if annotation and field contradict each other, or `static` is no bool.
    """
    found: dict[str, bool] = {}
    annotations: Mapping[str, Any] = inspect.get_annotations(cls)
    unresolved = any(
        isinstance(x, str) and ("Data[" in x or "Static[" in x) for x in annotations.values()
    )
    if unresolved:
        annotations = _resolved(cls, annotations)
    for name, annotation in annotations.items():
        if isinstance(annotation, str):
            tags: tuple[Any, ...] = (_written_tag(annotation),)
        else:
            tags = getattr(annotation, "__metadata__", ())
        if _DATA_TAG in tags or _STATIC_TAG in tags:
            found[name] = _DATA_TAG in tags
    for name, value in cls.__dict__.items():
        if isinstance(value, dataclasses.Field) and _FIELD in value.metadata:
            is_static = value.metadata[_FIELD]
            place = f"attribute '{cls.__name__}.{name}'"
            if not isinstance(is_static, bool):
                raise ValueError(
                    f"Invalid '{_FIELD}' metadata for {place}: expected bool, got "
                    f"{type(is_static).__name__}. True makes it static, False data."
                )
            if found.setdefault(name, not is_static) is is_static:
                one, other = ("Data", "static") if is_static else ("Static", "data")
                raise ValueError(
                    f"Conflicting pytree annotation for {place}: nnx.{one}[...] in the annotation, "
                    f"and its field makes it {other}. Keep one of the two."
                )
    return found


def _resolved(cls: type, annotations: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except Exception:  # a name that is only known to type checkers
        return annotations


def _written_tag(annotation: str) -> str:
    head = annotation.partition("[")[0].rpartition(".")[2]
    return {"Data": _DATA_TAG, "Static": _STATIC_TAG}.get(head, "")


# --- values ---------------------------------------------------------------------------------------

_data_types: set[type] = {jax.Array, np.ndarray, jax.Ref}
_PLAIN = frozenset(
    (int, float, bool, complex, str, bytes, types.NoneType, types.FunctionType, types.MethodType)
) | {types.BuiltinFunctionType, types.EllipsisType, type, range, slice, jax.custom_jvp}
_known: dict[Any, bool | None] = {cls: None for cls in _PLAIN}


def register_data_type(type_: T, /) -> T:
    """Let values of a class be data wherever nothing else decides. Works as a decorator.

    Args:
      type_: the class; subclasses are included.
    """
    cls: Any = type_
    _data_types.add(cls)
    _known.clear()
    _known.update({cls: None for cls in _PLAIN if cls is not type_})
    return type_


def is_data(value: Any) -> bool:
    """Tell whether an attribute that gets this value is data, if nothing else decides.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> nnx.is_data(jnp.ones(2)), nnx.is_data(nnx.Param(1)), nnx.is_data([1, 2])
        (True, True, False)
    """
    cls = type(value)
    if cls in _known:
        return bool(_known[cls])
    if cls is Mark:
        return bool(value.is_data)
    found = isinstance(value, tuple(_data_types))
    # An unknown class may be registered as a pytree or as data after this.
    if found and isinstance(cls, type) and not isinstance(value, jax.core.Tracer):
        _known[cls] = True
    return found


def is_plain(value: Any) -> bool:
    """Tell whether a value is known to hold no data without looking into it."""
    return _known.get(type(value), False) is None


def _stops(value: Any) -> bool:
    return type(value) is Mark or is_data(value)


def data_in(value: Any) -> list[Any]:
    """List what is data, or marked, inside a value; the value itself included."""
    if is_plain(value):
        return []
    if type(value) in (list, tuple) and all(map(is_plain, value)):
        return []
    leaves: Iterable[Any] = jax.tree_util.tree_leaves(value, is_leaf=_stops)
    return [leaf for leaf in leaves if _stops(leaf)]


def has_data(value: Any) -> bool:
    """Tell whether there is data inside a value."""
    return bool(data_in(value))
