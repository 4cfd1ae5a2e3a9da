"""What calls of modules have to agree in, so that the trace of one may stand for the other.

A call is taken apart into arrays, which may differ, and all else, which is described by a value:
equal ones cannot be told apart by what runs. Whatever nobody can describe makes the call one of
its own.
"""

import dataclasses
import functools
import inspect
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

import jax
import numpy as np

from ramie.core.sharding import get_logical_axis_rules
from ramie.core.tracing.program import NotShared
from ramie.core.tracing.reads import names_in
from ramie.core.tracing.sameness import Same
from ramie.core.tracing.trace import trace_settings, trace_token
from ramie.foundation.configurations import FLAGS, config
from ramie.nnx.graph.structure import LEAF, REF, GraphDef, NodeDef, Static, VariableDef
from ramie.nnx.graph.walk import build, entries_of
from ramie.nnx.modes import set_graph_mode, set_graph_updates, use_eager_sharding
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.defaults import here

__all__ = ["Known", "Parts", "settings"]

_LARGEST = 1 << 16  # elements of an array of NumPy that is compared by content
_MOST = 4000  # things outside of the model that are looked at for one call
_ATOMS = (int, str, bytes, type(None), type(Ellipsis), type, np.dtype)
_EXACT = frozenset((int, bool, str, bytes, type(None), type))
_LIBRARIES = frozenset(("jax", "jaxlib", "numpy", "ramie", "builtins", "functools", "math"))

Known = dict[int, tuple[Any, Hashable]]
"""By identity, what never changes and its description."""


def settings() -> Hashable:
    """Return something equal where JAX and this library are set alike."""
    return (
        trace_settings(),
        tuple([config._values[flag.name] for flag in FLAGS]),
        (set_graph_mode.current_value(), set_graph_updates.current_value()),
        (use_eager_sharding.current_value(), here.hijax, here.ref),
        tuple(map(repr, get_logical_axis_rules())),
    )


class Parts:
    """Arguments of a call taken apart; the module is the first of them.

    Args:
      roots: the arguments.
      known: descriptions of earlier calls; new ones are added.

    Attributes:
      may_store: for each leaf, whether it is a variable that may be stored to here.
      objects: all objects, the module first.
      structure: equal for arguments that differ in arrays only.
      shapes: what is known of each array, and which variables may be stored to.
      arrays: the arrays, in order.
      leaves: the variables and arrays that hold them.

    Raises:
      NotShared: if nothing tells whether arguments are equal.
    """

    __slots__ = (
        "_entries",
        "_held",
        "arrays",
        "leaves",
        "may_store",
        "objects",
        "shapes",
        "structure",
    )

    def __init__(self, roots: tuple[Any, ...], known: Known) -> None:
        self.objects: list[Any] = []
        self._entries, self.leaves = entries_of(roots, self.objects, several=True)
        self.arrays: list[Any] = []
        self._held: list[tuple[Any, list[Any]] | None] = []  # of what is no array itself
        others = _Others(known)
        described = [others.entry(entry) for entry in self._entries]
        described.extend(self._leaf(leaf, others) for leaf in self.leaves)
        now = trace_token()
        self.may_store = tuple(
            [isinstance(x, Variable) and x._trace_token is now for x in self.leaves]
        )
        self.structure = tuple(described)
        self.shapes = (tuple(map(_shape, self.arrays)), self.may_store)

    def _leaf(self, leaf: Any, others: "_Others") -> Hashable:
        value = leaf._raw_value if isinstance(leaf, Variable) else leaf
        if isinstance(value, jax.Array):
            self.arrays.append(value)
            self._held.append(None)
            return None
        flat, treedef = jax.tree_util.tree_flatten(value)
        self._held.append((treedef, flat))
        known = [x for x in flat if not isinstance(x, jax.Array)]
        self.arrays.extend(x for x in flat if isinstance(x, jax.Array))
        places = tuple(isinstance(x, jax.Array) for x in flat)
        return (treedef, places, *map(others.described, known))

    def rebuilt(self, arrays: Sequence[Any]) -> Any:
        """Make the arguments once more with other arrays, of new objects."""
        rest = iter(arrays)
        values = [self.value(number, rest) for number in range(len(self.leaves))]
        return build(GraphDef(self._entries), values)

    def value(self, number: int, arrays: Iterator[Any]) -> Any:
        """Return the value of a leaf with other arrays in it."""
        held = self._held[number]
        if held is None:
            return next(arrays)
        treedef, flat = held
        return jax.tree_util.tree_unflatten(
            treedef, [next(arrays) if isinstance(x, jax.Array) else x for x in flat]
        )

    def arrays_by_leaf(self) -> list[list[Any]]:
        """Return the arrays of each leaf."""
        rest = iter(self.arrays)
        return [
            [next(rest)]
            if held is None
            else [next(rest) for x in held[1] if isinstance(x, jax.Array)]
            for held in self._held
        ]

    def are_still(self, before: "Parts") -> bool:
        """Tell whether nothing but values of variables is another than before."""
        return (
            len(self.objects) == len(before.objects)
            and all(map(_is_same, self.objects, before.objects))
            and all(map(_is_same, self.leaves, before.leaves))
            and self.structure == before.structure
        )


def _shape(x: Any) -> Any:
    return x.aval if isinstance(x, jax.core.Tracer) else jax.typeof(x)


def _is_same(a: Any, b: Any) -> bool:
    return a is b


def _compares_by_identity(cls: Any) -> bool:
    """Tell whether nothing says when instances are equal and may stand for one another."""
    return cls.__hash__ in (None, object.__hash__)


class _Others:
    """Describes what a call reads beside variables and arrays: settings, functions, classes."""

    __slots__ = ("_classes", "_known", "_left", "_met")

    def __init__(self, known: Known) -> None:
        self._known = known
        self._left = _MOST
        self._met: dict[int, int] = {}
        self._classes: set[type] = set()

    def entry(self, entry: Any) -> Hashable:
        """Describe an entry of a structure; see `described`."""
        kind = entry.__class__
        if kind is NodeDef:
            cls, its_layout, statics, kinds, life = entry
            described = self.described
            values = [x if x.__class__ in _EXACT else described(x) for x in statics]
            return cls, its_layout, life, self.class_described(cls), kinds, *values
        if kind is VariableDef:
            metadata = entry.metadata
            if metadata.is_cell or metadata.get_hook or metadata.set_hook:
                raise NotShared("has a variable with hooks, or one that any function may change")
            description: Hashable = entry
            return description
        if kind is Static:
            return Static, self.described(entry.value)
        if entry is REF:
            raise NotShared("has an array reference")
        return LEAF if entry is LEAF else (kind, *entry)

    def described(self, x: Any) -> Hashable:
        """Return something equal for what cannot be told apart.

        Raises:
          NotShared: if it can change without being another one.
        """
        kind = type(x)
        known = self._known.get(id(x))
        if known is not None:
            return known[1]
        if kind is float:
            return kind, x.hex()  # zeros have signs
        if isinstance(x, _ATOMS):
            return kind, x
        if kind is complex:
            return kind, x.real.hex(), x.imag.hex()
        self._left -= 1
        if self._left < 0:
            raise NotShared("reads more than is looked at")
        if isinstance(x, tuple | list):
            return (kind, *map(self.described, x))
        if isinstance(x, set | frozenset):
            return kind, frozenset(map(self.described, x))
        if isinstance(x, Mapping):
            return (kind, *[(self.described(k), self.described(v)) for k, v in x.items()])
        if isinstance(x, functools.partial):
            return (kind, *map(self.described, (x.func, x.args, x.keywords)))
        if isinstance(x, jax.core.Tracer | Variable | Pytree):
            raise NotShared("reads a traced value, a variable or a module that is no argument")
        if isinstance(x, np.ndarray | np.generic):
            if x.size > _LARGEST or x.dtype.hasobject:
                raise NotShared("reads a large array of NumPy")
            return kind, x.dtype, x.shape, x.tobytes()
        if kind is FunctionType:
            return self._function(x)
        if kind is MethodType:
            return kind, self.described(x.__func__), self.described(x.__self__)
        if _top(kind.__module__) in _LIBRARIES:
            return self._always(x, (kind, x))
        return self._object(x)

    def _always(self, x: Any, description: Hashable) -> Hashable:
        hash(description)
        self._known[id(x)] = x, description
        return description

    def _once(self, x: Any, describe: Callable[[Any], Hashable]) -> Hashable:
        known = self._met.get(id(x))
        if known is not None:
            return "met", known
        self._met[id(x)] = len(self._met)
        return describe(x)

    def _object(self, x: Any) -> Hashable:
        """Describe an object of a user by its identity or value, and by what it holds."""
        kind = type(x)
        if any(isinstance(v, MemberDescriptorType) for b in kind.__mro__ for v in vars(b).values()):
            if _compares_by_identity(kind):
                raise NotShared(f"reads a {kind.__name__}, which has slots")
            return kind, x
        held = getattr(x, "__dict__", {})
        own: Any = kind
        if not dataclasses.is_dataclass(x):
            own = Same(x) if _compares_by_identity(kind) else (kind, x)
        return self._once(
            x, lambda _: (own, *[(name, self.described(value)) for name, value in held.items()])
        )

    def _function(self, f: FunctionType) -> Hashable:
        if _top(f.__module__) in _LIBRARIES and f.__closure__ is None:
            return self._always(f, Same(f))
        return self._once(f, self._function_once)

    def _function_once(self, f: Any) -> Hashable:
        parts = [self._read(f), self.described(f.__defaults__), self.described(f.__kwdefaults__)]
        return (f.__code__, *parts, self.described(f.__dict__))

    def _read(self, f: FunctionType) -> Hashable:
        """Describe what a function finds in closures and among globals."""
        outside = f.__globals__
        cells = [self._cell(cell) for cell in f.__closure__ or ()]
        if _top(outside.get("__name__", "")) in _LIBRARIES:
            return (*cells,)
        found = names_in(f.__code__)
        if found is not None and found.is_visible:
            raise NotShared("does something that can be seen each time")
        names = () if found is None else found.names
        read = [self._global(outside[name]) for name in names if name in outside]
        return (Same(outside), *cells, *read)

    def _cell(self, cell: Any) -> Hashable:
        try:
            contents = cell.cell_contents
        except ValueError:  # nothing is in it yet
            return None
        return self._global(contents) if callable(contents) else self.described(contents)

    def _global(self, x: Any) -> Hashable:
        if isinstance(x, jax.core.Tracer):
            raise NotShared("reads a traced value that is no argument")
        is_named = callable(x) or inspect.ismodule(x) or isinstance(x, jax.Array | Variable)
        return Same(x) if is_named else self.described(x)

    def class_described(self, cls: type) -> Hashable:
        """Describe what the methods of a class read."""
        if cls in self._classes:
            return None
        self._classes.add(cls)
        functions, names = _own_of(cls)
        if not functions and not names:
            return None
        values = [self.described(getattr(cls, name, None)) for name in names]
        return (*map(self._read, functions), *values)


_known: weakref.WeakKeyDictionary[type, tuple[tuple[Any, ...], tuple[str, ...]]]
_known = weakref.WeakKeyDictionary()


def _own_of(cls: type) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the functions of a class of a user, and the names of its plain attributes."""
    known = _known.get(cls)
    if known is None:
        known = _known[cls] = _look_at(cls)
    return known


def _look_at(cls: type) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    functions: list[Any] = []
    names: list[str] = []
    for base in cls.__mro__:
        if _top(base.__module__) in _LIBRARIES:
            continue
        for name, value in tuple(vars(base).items()):
            if isinstance(value, MemberDescriptorType):
                raise NotShared("has slots")
            if isinstance(value, property):
                functions.extend(f for f in (value.fget, value.fset) if f is not None)
            elif isinstance(value, staticmethod | classmethod):
                functions.append(value.__func__)
            elif callable(value):
                functions.append(inspect.unwrap(value))
            elif not name.startswith("_"):
                names.append(name)
    return tuple([f for f in functions if type(f) is FunctionType]), tuple(names)


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]
