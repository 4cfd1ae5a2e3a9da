"""The types that signatures of Ramie speak of, and the few small classes that go with them.

Names and meanings are those of ``flax.typing``. Aliases that mention `FrozenDict` are resolved on
first use, because the types stand below the containers.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeGuard,
    TypeVar,
    runtime_checkable,
)

import jax
import numpy as np

if TYPE_CHECKING:
    from ramie.trees.frozen import FrozenDict as FrozenDict

    FrozenVariableDict = FrozenDict[str, Mapping[str, Any]]

__all__ = [
    "MISSING",
    "Array",
    "ArrayPytree",
    "Axes",
    "Axis",
    "AxisName",
    "BaseConfigContext",
    "Collection",
    "CollectionFilter",
    "ConvGeneralDilatedT",
    "DotGeneralT",
    "Dtype",
    "EinsumT",
    "FrozenDict",
    "FrozenVariableDict",
    "HashableMapping",
    "In",
    "InOutAxis",
    "InOutScanAxis",
    "Initializer",
    "Key",
    "LaxPadding",
    "Leaf",
    "LogicalNames",
    "LogicalPartitionSpec",
    "LogicalPartitionSpecPytree",
    "LogicalRules",
    "Missing",
    "MutableCollection",
    "MutableVariableDict",
    "Out",
    "PRNGFoldable",
    "PRNGKey",
    "PRNGSequenceFilter",
    "PaddingLike",
    "PartitionSpecPytree",
    "Path",
    "PathParts",
    "PrecisionLike",
    "PromoteDtypeFn",
    "PytreeDeque",
    "RNGSequences",
    "ScanAxis",
    "Shape",
    "ShapeDtype",
    "Sharding",
    "SizeBytes",
    "TupleArg",
    "VariableDict",
    "has_shape_dtype",
    "is_key_like",
]

# --- arrays ---------------------------------------------------------------------------------------

Array = jax.Array | Any
"""An array, or what JAX takes for one."""
ArrayPytree = Any
"""A pytree with arrays as leaves."""
Leaf = Any
"""A leaf of a pytree."""
PRNGKey = jax.Array
"""A random key, typed (`jax.random.key`) or raw uint32 (`jax.random.PRNGKey`)."""
Shape = Sequence[int]
"""The sizes of an array, axis by axis."""
Dtype = str | type[Any] | np.dtype[Any] | jax.typing.DTypeLike | Any
"""What `jnp.dtype` accepts, and the extended dtypes of JAX."""
Initializer = jax.nn.initializers.Initializer | Callable[..., Any]
"""``initializer(key, shape, dtype) -> array``."""
Axis = int | None
Axes = int | Sequence[int]

PrecisionLike = (
    str | jax.lax.Precision | tuple[str, str] | tuple[jax.lax.Precision, jax.lax.Precision] | None
)
"""Numerical precision of a product: None for the backend's default."""
DotGeneralT = Callable[..., Array]
"""A function with the signature of `jax.lax.dot_general`."""
ConvGeneralDilatedT = Callable[..., Array]
"""A function with the signature of `jax.lax.conv_general_dilated`."""
EinsumT = Callable[..., Array]
"""A function with the signature of `jax.numpy.einsum`."""
PaddingLike = str | int | Sequence[int | tuple[int, int]]
"""Padding as layers take it: a mode, one width, or widths per axis."""
LaxPadding = str | Sequence[tuple[int, int]]
"""Padding as `jax.lax` takes it: "SAME", "VALID", or (low, high) per spatial axis."""

# --- paths, variables, collections ----------------------------------------------------------------


@runtime_checkable
class Key(Hashable, Protocol):
    """A key of a mapping that can be sorted: hashable, with ``<``."""

    def __lt__(self: Any, other: Any, /) -> bool:
        """Order it before another key."""
        ...


def is_key_like(x: Any) -> TypeGuard[Key]:
    """Whether ``x`` can serve as a key: it is hashable and its type defines ``<``."""
    return hasattr(x, "__hash__") and hasattr(x, "__lt__")


Path = str
"""A path as one string, parts joined by a slash."""
PathParts = tuple[Key, ...]
"""A path as a tuple of keys."""
PRNGFoldable = int | str
"""What a random key can be folded with: a count or a name."""
RNGSequences = dict[str, PRNGKey]
"""Named random streams."""
Collection = Mapping[str, Any]
"""The variables of one kind, nested by module."""
VariableDict = Mapping[str, Collection]
"""All collections of a model by name, as `init` returns them."""
MutableCollection = dict[str, Any]
MutableVariableDict = dict[str, MutableCollection]
CollectionFilter = Any
"""Which collections: True, False, a name, a container of names, or a DenyList."""
PRNGSequenceFilter = Any
"""Which random streams: the same forms as for collections."""

# --- axes of transforms, and sharding -------------------------------------------------------------

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])
TupleArg = TypeVar("TupleArg", bound=tuple[Any, ...])


@dataclass(frozen=True)
class In(Generic[T]):
    """An axis that holds for a collection on its way into a transform only.

    Args:
        axis: The axis of the values that go in.
    """

    axis: T


@dataclass(frozen=True)
class Out(Generic[T]):
    """An axis that holds for a collection on its way out of a transform only.

    Args:
        axis: The axis of the values that come out.
    """

    axis: T


ScanAxis = int
InOutScanAxis = ScanAxis | In[ScanAxis] | Out[ScanAxis]
InOutAxis = Axis | In[Axis] | Out[Axis]

AxisName = str | tuple[str, ...] | None
"""The mesh axis, or axes, one array axis is split over; None for none."""
LogicalNames = tuple[str | None, ...]
"""A name, or None, for each axis of an array."""
LogicalRules = Sequence[tuple[str, AxisName]]
"""Pairs (logical name, mesh axis), searched in order."""
Sharding = tuple[AxisName, ...]
"""The mesh axes each axis of an array is split over."""
LogicalPartitionSpec = Any
LogicalPartitionSpecPytree = Any
PartitionSpecPytree = Any

# --- structural types ----------------------------------------------------------------------------


@runtime_checkable
class ShapeDtype(Protocol):
    """Anything with a shape and a dtype: arrays, tracers, `jax.ShapeDtypeStruct`."""

    shape: Shape
    dtype: Dtype


def has_shape_dtype(x: Any) -> TypeGuard[ShapeDtype]:
    """Whether ``x`` has the attributes ``shape`` and ``dtype``."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


class PromoteDtypeFn(Protocol):
    """A function that casts several arrays to one dtype, called with them as one tuple."""

    def __call__(self, args: TupleArg, /, *, dtype: Any = None, inexact: bool = True) -> TupleArg:
        """Return ``args`` in a common dtype, ``dtype`` if it is given."""
        ...


class Missing:
    """The type of `MISSING`."""


MISSING = Missing()
"""Stands for an argument that was not given, where None is a value of its own."""


@dataclass(frozen=True, slots=True)
class SizeBytes:
    """A number of elements and of bytes, which add up and print for people.

    Args:
        size: Number of elements.
        bytes: Number of bytes.

    Example:
        >>> SizeBytes(12, 48) + SizeBytes(4, 1500)
        16 (1.5 KB)
    """

    size: int
    bytes: int

    @classmethod
    def from_array(cls, x: ShapeDtype) -> SizeBytes:
        """Count what has a shape and a dtype; a random key counts the words it is made of."""
        size = math.prod(int(n) for n in x.shape)
        return cls(size, size * _itemsize(x.dtype))

    @classmethod
    def from_any(cls, x: Any) -> SizeBytes:
        """Count an array; anything else is nothing."""
        return cls.from_array(x) if has_shape_dtype(x) else cls(0, 0)

    def __add__(self, other: SizeBytes) -> SizeBytes:
        return type(self)(self.size + other.size, self.bytes + other.bytes)

    def __bool__(self) -> bool:
        return bool(self.size)

    def __repr__(self) -> str:
        return f"{self.size:,} ({_bytes_text(self.bytes)})"


def _bytes_text(count: int) -> str:
    """Write a number of bytes in decimal units; a thousand itself still in the smaller one."""
    if count <= 1000:
        return f"{count:,} B"
    amount, units = count / 1000, ["KB", "MB", "GB"]
    while amount > 1000 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{amount:,.1f} {units[0]}"


def _itemsize(dtype: Any) -> int:
    """Bytes per element. Extended dtypes (random keys) know theirs; NumPy knows the rest."""
    size = getattr(dtype, "itemsize", None)
    return size if isinstance(size, int) else np.dtype(dtype).itemsize


# --- containers -----------------------------------------------------------------------------------


class HashableMapping(Mapping[K, V], Hashable):
    """A read-only mapping that hashes by its contents, whatever their order.

    Args:
        mapping: The items.
        copy: False takes the mapping itself, which must then not be changed any more.
    """

    _mapping: Mapping[K, V]

    def __init__(self, mapping: Mapping[K, V], copy: bool = True) -> None:
        self._mapping = dict(mapping) if copy else mapping

    def __getitem__(self, key: K) -> V:
        return self._mapping[key]

    def __contains__(self, key: object) -> bool:
        return key in self._mapping

    def __iter__(self) -> Iterator[K]:
        return iter(self._mapping)

    def __len__(self) -> int:
        return len(self._mapping)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashableMapping) and self._mapping == other._mapping

    def __hash__(self) -> int:
        return hash(frozenset(self._mapping.items()))

    def __repr__(self) -> str:
        return repr(self._mapping)

    def update(self, other: Mapping[K, V]) -> HashableMapping[K, V]:
        """Return a new mapping with the items of ``other`` added or replaced."""
        return HashableMapping({**self._mapping, **other}, copy=False)


class PytreeDeque(deque[T]):
    """A deque that JAX treats as a pytree, keyed like a sequence."""


jax.tree_util.register_pytree_with_keys(
    PytreeDeque,
    lambda d: (tuple((jax.tree_util.SequenceKey(i), x) for i, x in enumerate(d)), ()),
    lambda _, children: PytreeDeque(children),
    lambda d: (tuple(d), ()),
)


class BaseConfigContext(ABC):
    """A setting kept on a stack: set it for good, for a ``with`` block, or for a function.

    Constructing ``Setting(value)`` sets the current value. Entered as a context manager or put
    on a function as a decorator, it first takes that back and then holds for the block or for
    each call of the function only.

    Args:
        value: The new value.
    """

    def __init__(self, value: Any, /) -> None:
        stack = self.get_stack()
        self._replaced = tuple(stack[-1:])
        self._value = value
        stack[-1:] = [value]

    @classmethod
    @abstractmethod
    def get_default(cls) -> Any:
        """Return the value that holds while nothing is set."""

    @classmethod
    @abstractmethod
    def get_stack(cls) -> list[Any]:
        """Return the stack of values, one per thread where threads matter."""

    @classmethod
    def current_value(cls) -> Any:
        """Return the value that holds now."""
        stack = cls.get_stack()
        return stack[-1] if stack else cls.get_default()

    def _take_back(self) -> None:
        self.get_stack()[-1:] = self._replaced

    def __enter__(self) -> None:
        self._take_back()
        self.get_stack().append(self._value)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        self.get_stack().pop()
        return False

    def __call__(self, f: F) -> F:
        """Make ``f`` run with the value set."""
        self._take_back()

        @functools.wraps(f)
        def with_value(*args: Any, **kwargs: Any) -> Any:
            stack = self.get_stack()
            stack.append(self._value)
            try:
                return f(*args, **kwargs)
            finally:
                stack.pop()

        return with_value  # type: ignore[return-value]


def __getattr__(name: str) -> Any:
    if name in ("FrozenDict", "FrozenVariableDict"):
        from ramie.trees.frozen import FrozenDict

        globals()["FrozenDict"] = FrozenDict
        globals()["FrozenVariableDict"] = FrozenDict[str, Mapping[str, Any]]
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
