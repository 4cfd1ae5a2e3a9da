"""Cursors: change immutable, nested data by assignment, and build the changed copy at the end.

    from ramie.cursor import cursor

    c = cursor(train_state)
    c.params["Dense_0"]["bias"] = jnp.zeros(3)
    c.step += 1
    train_state = c.build()

Dictionaries, FrozenDicts, lists, tuples, named tuples and dataclasses are rebuilt; the original
is never written to.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import operator
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from ramie.errors import CursorFindError as CursorFindError
from ramie.errors import TraverseTreeError as TraverseTreeError
from ramie.foundation.operators import ValueOperators
from ramie.trees.frozen import FrozenDict as FrozenDict

__all__ = ["AccessType", "Cursor", "Indexable", "ParentKey", "cursor", "is_named_tuple"]

A = TypeVar("A")

UpdateFn = Callable[[str, Any], Any]
CondFn = Callable[[str, Any], bool]


@runtime_checkable
class Indexable(Protocol):
    """Anything that can be written ``obj[key]``."""

    def __getitem__(self, key: Any) -> Any:
        """Return the item of a key."""
        ...


class AccessType(enum.Enum):
    """How a value is reached from its parent: ``parent[key]`` or ``parent.key``."""

    ITEM = enum.auto()
    ATTR = enum.auto()


Step = tuple[Any, AccessType]


@dataclasses.dataclass
class ParentKey(Generic[A]):
    """Where a cursor stands: its parent, and the way from there.

    Args:
        parent: The cursor of the parent.
        key: The key, index or name of the attribute.
        access_type: Which of them it is.
    """

    parent: Cursor[A]
    key: Any
    access_type: AccessType


def is_named_tuple(obj: Any) -> bool:
    """Whether ``obj`` is an instance of a named tuple."""
    return isinstance(obj, tuple) and hasattr(obj, "_fields")


def cursor(obj: A) -> Cursor[A]:
    """Return a cursor on an object, through which a changed copy of it is made.

    Args:
        obj: Any nesting of dictionaries, lists, tuples, named tuples and dataclasses.

    Example:
        >>> data = {"a": (1, 2), "b": 3}
        >>> c = cursor(data)
        >>> c["a"][0] += 10
        >>> c["b"] = None
        >>> c.build(), data
        ({'a': (11, 2), 'b': None}, {'a': (1, 2), 'b': 3})
    """
    return Cursor(obj, None)


def _value(x: Any) -> Any:
    """The value of an assignment: what a cursor stands on, changes included."""
    return x.build() if isinstance(x, Cursor) else x


class Cursor(ValueOperators, Generic[A]):
    """A place inside an object, and the changes made below it.

    Reading an attribute or item gives the cursor of that place; assigning one records a change.
    In arithmetic and comparisons a cursor acts as the value it stands on.

    Args:
        obj: The value at this place.
        parent_key: The way here from the parent; None at the root.
    """

    _obj: A
    _parent_key: ParentKey[Any] | None
    _changes: dict[Any, Cursor[Any]]  # the places looked at or assigned below this one
    _assigned: bool

    def __init__(self, obj: A, parent_key: ParentKey[Any] | None) -> None:
        # Straight into the dictionary: __setattr__ records changes of the object.
        vars(self).update(_obj=obj, _parent_key=parent_key, _changes={}, _assigned=False)

    @property
    def _root(self) -> Cursor[Any]:
        place: Cursor[Any] = self
        while place._parent_key is not None:
            place = place._parent_key.parent
        return place

    @property
    def _path(self) -> str:
        """The code that reaches this place from the root, such as ``.params['kernel'][0]``."""
        way = self._parent_key
        if way is None:
            return ""
        if way.access_type is AccessType.ATTR:
            return f"{way.parent._path}.{way.key}"
        return f"{way.parent._path}[{way.key!r}]"

    # --- reading ----------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Cursor[Any]:
        if is_named_tuple(self._obj):
            return getattr(self, _field_at(self._obj, key))
        key = _normal_key(self._obj, key)
        if key in self._changes:
            return self._changes[key]
        if not isinstance(self._obj, Indexable):
            raise TypeError(f"Cannot index into {self._obj!r}{self._where()}.")
        try:
            value = self._obj[key]
        except KeyError:
            raise KeyError(f"Key {key!r} not found in {self._obj!r}{self._where()}") from None
        return self._child(key, AccessType.ITEM, value)

    def __getattr__(self, name: str) -> Cursor[Any]:
        # The slots are missing while copy and pickle make an instance, and they probe for dunders.
        if name in ("_obj", "_parent_key", "_changes", "_assigned") or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name in self._changes:
            return self._changes[name]
        try:
            value = getattr(self._obj, name)
        except AttributeError:
            raise AttributeError(
                f"Attribute {name} not found in {self._obj!r}{self._where()}"
            ) from None
        return self._child(name, AccessType.ATTR, value)

    def _child(self, key: Any, access: AccessType, value: Any) -> Cursor[Any]:
        child = Cursor(value, ParentKey(self, key, access))
        self._changes[key] = child
        return child

    def _where(self) -> str:
        return f" at {self._path}" if self._parent_key is not None else ""

    # --- changing ---------------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        if is_named_tuple(self._obj):
            setattr(self, _field_at(self._obj, key), value)
            return
        if not isinstance(self._obj, (dict, FrozenDict, list, tuple)):
            raise TypeError(
                f"A cursor cannot change items of a {type(self._obj).__name__}{self._where()}; "
                "only dictionaries, lists and tuples are rebuilt. Assign the whole value."
            )
        self._assign(_normal_key(self._obj, key), AccessType.ITEM, value)

    def __setattr__(self, name: str, value: Any) -> None:
        obj = self._obj
        if is_named_tuple(obj):
            names: Any = obj._fields  # type: ignore[attr-defined]
        elif _is_dataclass_instance(obj):
            names = [field.name for field in dataclasses.fields(obj) if field.init]  # type: ignore[arg-type]
        else:
            raise TypeError(
                f"A cursor cannot change attributes of a {type(obj).__name__}{self._where()}; "
                "only dataclasses and named tuples are rebuilt. Assign the whole value."
            )
        if name not in names:
            raise AttributeError(
                f"{type(obj).__name__}{self._where()} has no field {name!r} that can be set; its "
                f"fields are {list(names)}."
            )
        self._assign(name, AccessType.ATTR, value)

    def _assign(self, key: Any, access: AccessType, value: Any) -> None:
        vars(self._child(key, access, _value(value)))["_assigned"] = True

    def _is_changed(self) -> bool:
        return self._assigned or any(child._is_changed() for child in self._changes.values())

    def set(self, value: Any) -> A:
        """Replace the value at this place and build the whole.

        Args:
            value: The new value.

        Returns:
            A copy of the root object with this and all other recorded changes.

        Example:
            >>> cursor({"a": [1, 2]})["a"][1].set(5)
            {'a': [1, 5]}
        """
        way = self._parent_key
        if way is None:
            return _value(value)
        if way.access_type is AccessType.ITEM:
            way.parent[way.key] = value
        else:
            setattr(way.parent, way.key, value)
        return self._root.build()

    def build(self) -> A:
        """Return the object with the recorded changes, as a copy where there are any.

        Containers without changes are shared with the original.

        Example:
            >>> c = cursor([1, (2, 3)])
            >>> c[1][0] = 0
            >>> c.build()
            [1, (0, 3)]
        """
        changes = {
            key: child.build() for key, child in self._changes.items() if child._is_changed()
        }
        return _rebuilt(self._obj, changes, self._where()) if changes else self._obj

    def apply_update(self, update_fn: UpdateFn) -> Cursor[A]:
        """Record changes for all values that a function maps to something else.

        Values are visited from the outside in, as they were before any change; the object the
        cursor stands on is not. Where the function returns another object than it was given,
        that is the change, and nothing below it is visited.

        Args:
            update_fn: Called as ``update_fn(path, value)``, with the keys, indices and names that
                lead from here to the value joined by slashes: ``"params/Dense_0/kernel"``.

        Returns:
            This cursor; call `build` on it.

        Example:
            >>> data = {"kernel": 1.0, "bias": {"x": 2.0}}
            >>> cursor(data).apply_update(lambda p, v: 0.0 if p.endswith("x") else v).build()
            {'kernel': 1.0, 'bias': {'x': 0.0}}
        """
        for path, value in list(_traverse_tree((), self._obj, update_fn=update_fn)):
            place = self._at(path[:-1])
            key, access = path[-1]
            if access is AccessType.ITEM:
                place[key] = value
            else:
                setattr(place, key, value)
        return self

    def find(self, cond_fn: CondFn) -> Cursor[Any]:
        """Return the cursor of the one place that satisfies a condition.

        Args:
            cond_fn: Called as ``cond_fn(path, value)``; paths and order as in `apply_update`.
                Below a match the search does not go on.

        Raises:
            CursorFindError: There is no such place, or more than one.

        Example:
            >>> cursor({"a": [1, 2], "b": 3}).find(lambda path, value: value == 2).set(0)
            {'a': [1, 0], 'b': 3}
        """
        found = self.find_all(cond_fn)
        first, second = next(found, None), next(found, None)
        if first is None or second is not None:
            raise CursorFindError(first, second)
        return first

    def find_all(self, cond_fn: CondFn) -> Generator[Cursor[Any], None, None]:
        """Iterate over the cursors of all places that satisfy a condition.

        Args:
            cond_fn: As for `find`.

        Example:
            >>> c = cursor({"a": [1, 2], "b": 3})
            >>> for place in c.find_all(lambda path, value: path.startswith("a/")):
            ...     place.set(0)
            {'a': [0, 2], 'b': 3}
            {'a': [0, 0], 'b': 3}
        """
        for path in _traverse_tree((), self._obj, cond_fn=cond_fn):
            yield self._at(path)

    def _at(self, path: tuple[Step, ...]) -> Cursor[Any]:
        place: Cursor[Any] = self
        for key, access in path:
            place = place[key] if access is AccessType.ITEM else getattr(place, key)
        return place

    # --- as the value -----------------------------------------------------------------------------

    def _operated(self) -> Any:
        return self._obj

    def _operand(self) -> Any:
        return self.build()

    def __str__(self) -> str:
        return str(self._obj)

    def __repr__(self) -> str:
        return self._listing(0)

    def _listing(self, margin: int) -> str:
        pad = " " * margin
        entries = []
        for key, child in self._changes.items():
            head = f"{pad}    {key!r}: "
            # What belongs to a child is indented to the column where it starts.
            entries.append(head + child._listing(len(head)))
        inner = ",\n".join(entries)
        changes = "{\n" + inner + f"\n{pad}  }}" if entries else "{}"
        value = repr(self._obj).replace("\n", f"\n{pad}  ") if margin else repr(self._obj)
        return f"Cursor(\n{pad}  _obj={value},\n{pad}  _changes={changes}\n{pad})"

    # NumPy arrays on the left leave the operation to the cursor.
    __array_ufunc__ = None

    def __len__(self) -> int:
        return len(self._obj)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return bool(self._obj)

    def __contains__(self, item: Any) -> bool:
        return item in self._obj  # type: ignore[operator]

    def __iter__(self) -> Iterator[Cursor[Any]]:
        return iter(self._items("__iter__"))

    def __reversed__(self) -> Iterator[Cursor[Any]]:
        return reversed(self._items("__reversed__"))

    def _items(self, method: str) -> list[Cursor[Any]]:
        if not isinstance(self._obj, (tuple, list)):
            raise NotImplementedError(
                f"{method} method only implemented for tuples and lists, not type "
                f"{type(self._obj)}. Go through the keys, or use find_all."
            )
        return [self[index] for index in range(len(self._obj))]

    def __round__(self, ndigits: int | None = None) -> Any:
        return round(self._obj, ndigits)  # type: ignore[call-overload]


def _is_dataclass_instance(obj: Any) -> bool:
    return dataclasses.is_dataclass(obj) and not isinstance(obj, type)


def _field_at(obj: Any, index: Any) -> str:
    """The name of a named tuple's field, which index and name must both lead to."""
    try:
        return obj._fields[index]
    except (IndexError, TypeError) as error:
        raise type(error)(
            f"{type(obj).__name__} has no item {index!r}; its fields are {list(obj._fields)}."
        ) from None


def _normal_key(obj: Any, key: Any) -> Any:
    """Check an index of a list or tuple, and count it from the front."""
    if isinstance(key, slice):
        raise TypeError("A cursor stands on one item, not on a slice. Loop over its items.")
    if not isinstance(obj, (list, tuple)):
        return key
    try:
        index = operator.index(key)
    except TypeError:
        raise TypeError(
            f"The indices of a {type(obj).__name__} are integers, but {key!r} was given."
        ) from None
    if not -len(obj) <= index < len(obj):
        raise IndexError(
            f"The index {index} is out of range for a {type(obj).__name__} of {len(obj)} items."
        )
    return index % len(obj)


def _rebuilt(obj: Any, changes: dict[Any, Any], where: str) -> Any:
    """Copy a container with some of its items or fields replaced."""
    if is_named_tuple(obj):
        return obj._replace(**changes)
    if isinstance(obj, FrozenDict):
        return type(obj)({**obj, **changes})
    if _is_dataclass_instance(obj):
        return dataclasses.replace(obj, **changes)
    if isinstance(obj, (dict, list)):
        result: Any = copy.copy(obj)
    elif isinstance(obj, tuple):
        result = list(obj)
    else:
        raise TypeError(
            f"The changes made below {type(obj).__name__}{where} cannot be built: only "
            "dictionaries, lists, tuples, named tuples and dataclasses are rebuilt."
        )
    for key, value in changes.items():
        result[key] = value
    return tuple(result) if isinstance(obj, tuple) else result


def _steps(obj: Any) -> list[tuple[Step, Any]]:
    """The children of a container, each with the step that leads to it."""
    if is_named_tuple(obj):
        names = obj._fields
    elif _is_dataclass_instance(obj):
        names = [field.name for field in dataclasses.fields(obj)]
    elif isinstance(obj, (dict, FrozenDict)):
        return [((key, AccessType.ITEM), value) for key, value in obj.items()]
    elif isinstance(obj, (list, tuple)):
        return [((index, AccessType.ITEM), value) for index, value in enumerate(obj)]
    else:
        return []
    return [((name, AccessType.ATTR), getattr(obj, name)) for name in names]


def _traverse_tree(
    path: tuple[Step, ...],
    obj: Any,
    *,
    update_fn: UpdateFn | None = None,
    cond_fn: CondFn | None = None,
) -> Generator[Any, None, None]:
    """Walk a tree from the outside in, and stop at what a function changes or selects.

    Args:
        path: The steps that lead to ``obj``.
        obj: Where to start; it is not visited itself.
        update_fn: Yield ``(steps, new value)`` where it returns another object.
        cond_fn: Yield the steps of each value for which it is true.

    Raises:
        TraverseTreeError: Not exactly one of the two functions is given.
    """
    if (update_fn is None) == (cond_fn is None):
        raise TraverseTreeError(update_fn, cond_fn)
    for step, value in _steps(obj):
        steps = (*path, step)
        text = "/".join(str(key) for key, _ in steps)
        if update_fn is not None:
            new = update_fn(text, value)
            if new is not value:
                yield steps, new
                continue
        elif cond_fn is not None and cond_fn(text, value):
            yield steps
            continue
        yield from _traverse_tree(steps, value, update_fn=update_fn, cond_fn=cond_fn)
