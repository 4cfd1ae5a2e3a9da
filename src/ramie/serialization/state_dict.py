"""State dicts: any registered container as nested dicts with string keys, and back.

A state dict is what is written to disk. Its leaves are arrays and plain values; its inner nodes
are `dict`s with string keys, whatever the containers were. Each container type states in a
registry how it becomes such a dict and how one of its instances takes a dict's values over.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from jax.tree_util import Partial

from ramie.errors.base import belongs_to, saved_instead

__all__ = [
    "are_leaves",
    "current_path",
    "dicts_are_plain",
    "from_state_dict",
    "is_serializable",
    "register_family",
    "register_serialization_state",
    "to_state_dict",
]

T = TypeVar("T")


class _Handler(NamedTuple):
    """How one container type becomes a state dict and takes one over."""

    to_state: Callable[[Any], Any]
    from_state: Callable[[Any, Any], Any]


class _Path(threading.local):
    """The names on the way to what this thread restores at the moment."""

    def __init__(self) -> None:
        self.names: list[str] = []


HANDLERS: dict[type, _Handler] = {}
_FAMILIES: dict[type, _Handler] = {}
"""Handlers of classes for their subclasses, such as those of users."""

_LEAVES: set[type] = set()
"""Types that were found to be no containers."""

_MOST_LEAVES = 50
_MANY = 16
"""Entries of a dict from which on it is worth while to ask of all of them at once."""
_PATH = _Path()


def current_path() -> str:
    """Return where in the tree the running `from_state_dict` is, as in `./params/Dense_0`.

    Restore functions given to `register_serialization_state` put it into their error messages.
    """
    return "/".join(_PATH.names)


@contextmanager
def _entering(name: str) -> Iterator[None]:
    _PATH.names.append(name)
    try:
        yield
    finally:
        _PATH.names.pop()


def register_serialization_state(
    ty: type,
    ty_to_state_dict: Callable[[Any], Any],
    ty_from_state_dict: Callable[[Any, Any], Any],
    override: bool = False,
) -> None:
    """Teach `to_state_dict` and `from_state_dict` a container type; subclasses are not included.

    Args:
      ty: the type.
      ty_to_state_dict: maps an instance to its state: a dict with string keys whose values went
        through `to_state_dict`, or one leaf.
      ty_from_state_dict: called as `f(instance, state)`; returns a copy of the instance that
        holds what the state holds. Children go through `from_state_dict(..., name=key)`, so that
        errors can name the path.
      override: replace an earlier registration. Struct dataclasses have one from the start.

    Raises:
      ValueError: if the type is registered already and `override` is not set.

    Example:
      >>> from ramie import serialization
      >>> class Counter:
      ...   def __init__(self, count):
      ...     self.count = count
      >>> serialization.register_serialization_state(
      ...   Counter, lambda c: {"count": c.count}, lambda c, state: Counter(state["count"]))
      >>> serialization.to_state_dict([Counter(3)])
      {'0': {'count': 3}}
    """
    if not override and (ty in HANDLERS or _is_struct_dataclass(ty)):
        raise ValueError(
            f'a serialization handler for "{ty.__name__}" is already registered; pass '
            "override=True to replace it."
        )
    HANDLERS[ty] = _Handler(ty_to_state_dict, ty_from_state_dict)


def register_family(
    base: type,
    to_state: Callable[[Any], Any],
    from_state: Callable[[Any, Any], Any],
) -> None:
    """Teach a class and its subclasses, but for those that are registered themselves.

    Args:
      base: the class.
      to_state: see `register_serialization_state`.
      from_state: likewise.
    """
    _FAMILIES[base] = _Handler(to_state, from_state)


def _find_handler(ty: type) -> _Handler | None:
    handler = HANDLERS.get(ty)
    if handler is not None or ty in _LEAVES:
        return handler
    if _is_struct_dataclass(ty):
        return _STRUCT
    for base, handler in _FAMILIES.items():
        if issubclass(ty, base):
            return handler
    return None


def _is_struct_dataclass(ty: type) -> bool:
    """Tell whether the class itself, not a base of it, was made by `struct.dataclass`."""
    return bool(ty.__dict__.get("_flax_dataclass", False))


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def is_serializable(target: Any) -> bool:
    """Tell whether the type of `target`, or `target` itself if it is a type, has a handler.

    Leaves (arrays, numbers, strings) have none, and named tuples are recognised without one.
    """
    ty = target if isinstance(target, type) else type(target)
    return _find_handler(ty) is not None


def to_state_dict(target: Any) -> Any:
    """Return the state of a tree as nested dicts with string keys.

    Args:
      target: an instance of a registered type, a named tuple, or a leaf.

    Returns:
      A dict whose leaves are shared with `target`; a leaf itself where `target` is one.

    Raises:
      ValueError: if two keys of a dict have the same string form.

    Example:
      >>> from ramie import serialization
      >>> serialization.to_state_dict({"layers": [1.0, (2.0, 3.0)]})
      {'layers': {'0': 1.0, '1': {'0': 2.0, '1': 3.0}}}
    """
    ty = type(target)
    handler = _find_handler(ty)
    if handler is not None:
        state = handler.to_state(target)
        if isinstance(state, dict) and handler.to_state is not dict_to_state:
            _check_string_keys(state, ty)
        return state
    if _is_namedtuple(target):
        return _namedtuple_to_state(target)
    _remember_leaf(target)
    return target


def _remember_leaf(value: Any) -> None:
    if len(_LEAVES) < _MOST_LEAVES and not _is_model(value):
        _LEAVES.add(type(value))


def _is_model(value: Any) -> bool:
    return belongs_to(value, "nnx") or belongs_to(value, "linen")


def _check_string_keys(state: dict[Any, Any], ty: type) -> None:
    for key in state:
        if not isinstance(key, str):
            raise TypeError(
                f"The state dict of a {ty.__qualname__} has the key {key!r} of type "
                f"{type(key).__name__}, but state dicts have string keys only. Correct the "
                "function registered for this type."
            )


def from_state_dict(target: T, state: Any, name: str = ".") -> T:
    """Return a copy of `target` that holds the values of a state dict.

    Containers are those of the target; leaves are taken from the state as they are (arrays are the
    very same, not copies), without looking at the target's leaf. Entries of a dict that the target
    lacks are ignored.

    Args:
      target: the tree whose structure and types the result has.
      state: what `to_state_dict` returned for such a tree.
      name: the last part of the path in error messages; for functions that restore a container.

    Raises:
      ValueError: if the state lacks something, or a sequence, named tuple or dataclass does not
        match; the message names the path.

    Example:
      >>> from ramie import serialization
      >>> serialization.from_state_dict({"a": (0, 0)}, {"a": {"0": 1, "1": 2}})
      {'a': (1, 2)}
    """
    handler = _find_handler(type(target))
    if handler is not None:
        restore = handler.from_state
    elif _is_namedtuple(target):
        restore = _restore_namedtuple
    else:
        if type(target) not in _LEAVES:
            _check_is_no_model(target, name)
            _remember_leaf(target)
        return state
    with _entering(name):
        return restore(target, state)


def _check_is_no_model(target: Any, name: str) -> None:
    """Refuse models that do not say how they are saved: they would be taken for leaves."""
    if _is_model(target):
        raise ValueError(
            f"At path {'/'.join((*_PATH.names, name))} the target is a {type(target).__name__}, "
            f"which takes no values. {saved_instead(target)}. Restore into that."
        )


def _check_is_dict(state: Any, what: str) -> None:
    if not isinstance(state, Mapping):
        raise ValueError(
            f"Expected the state dict of a {what}, but found a value of type "
            f"{type(state).__name__} at path {current_path()}. The state was saved from a tree "
            "of another structure."
        )


def _has_only_leaves(items: Mapping[Any, Any]) -> bool:
    """Tell of a mapping with many text keys whether all values are of types known as leaves."""
    if len(items) < _MANY:
        return False
    return are_leaves(set(map(type, items.values()))) and set(map(type, items)) == {str}


def are_leaves(types: set[type]) -> bool:
    """Tell whether all of some types are known as leaves; those that were not met yet are not."""
    return types <= _LEAVES and types.isdisjoint(HANDLERS)


def dicts_are_plain() -> bool:
    """Tell whether a dict is restored as `restore_dict` has it, and not as someone registered."""
    return HANDLERS[dict].from_state is restore_dict and HANDLERS[dict].to_state is dict_to_state


def dict_to_state(items: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the state of a mapping; for types that behave like `dict`."""
    if type(items) is dict and _has_only_leaves(items):
        return items.copy()
    # There may be very many leaves, for which a call takes longer than all else.
    leaves, handlers = _LEAVES, HANDLERS
    state = {
        str(key): value
        if (ty := type(value)) in leaves and ty not in handlers
        else to_state_dict(value)
        for key, value in items.items()
    }
    if len(state) != len(items):
        names = [str(key) for key in items]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(
            f"Dict keys do not have a unique string representation: {twice} each stand for several "
            f"of the keys {list(items)}. Rename them."
        )
    return state


def restore_dict(target: Mapping[Any, Any], state: Any) -> dict[Any, Any]:
    """Return a dict with the keys of `target` and the values of `state`; see `dict_to_state`."""
    _check_is_dict(state, "dict")
    if type(state) is dict and _has_only_leaves(target):
        with suppress(KeyError):  # what is missing is listed below
            return dict(zip(target, map(state.__getitem__, target), strict=True))
    missing = set(map(str, target)).difference(state)
    if missing:
        raise ValueError(
            "The target dict keys and state dict keys do not match, target dict contains keys "
            f"{missing} which are not present in state dict at path {current_path()}"
        )
    leaves, handlers = _LEAVES, HANDLERS  # see dict_to_state
    return {
        key: state[str(key)]
        if (ty := type(value)) in leaves and ty not in handlers
        else from_state_dict(value, state[str(key)], name=str(key))
        for key, value in target.items()
    }


def _sequence_to_state(items: Any) -> dict[str, Any]:
    return {str(index): to_state_dict(value) for index, value in enumerate(items)}


def _restore_list(target: Any, state: Any) -> list[Any]:
    _check_is_dict(state, "sequence")
    if len(state) != len(target):
        raise ValueError(
            "The size of the list and the state dict do not match, got "
            f"{len(target)} and {len(state)} at path {current_path()}"
        )
    names = [str(index) for index in range(len(target))]
    absent = [name for name in names if name not in state]
    if absent:
        raise ValueError(
            f"The state dict of a sequence of {len(names)} needs the keys '0' to "
            f"'{len(names) - 1}', but lacks {absent} at path {current_path()}"
        )
    return [
        from_state_dict(value, state[name], name=name)
        for name, value in zip(names, target, strict=True)
    ]


def _restore_tuple(target: tuple[Any, ...], state: Any) -> tuple[Any, ...]:
    return tuple(_restore_list(target, state))


def _namedtuple_to_state(value: Any) -> dict[str, Any]:
    return {name: to_state_dict(getattr(value, name)) for name in value._fields}


def _fields_of_old_encoding(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the layout of early releases, where names and values were listed apart."""
    if set(state) != {"name", "fields", "values"}:
        return state
    fields, values = state["fields"], state["values"]
    if not (isinstance(fields, Mapping) and isinstance(values, Mapping)):
        return state
    if set(fields) != set(values):
        raise ValueError(
            f"A named tuple in the old encoding lists the fields {sorted(fields)} but values for "
            f"{sorted(values)} at path {current_path()}"
        )
    return {fields[index]: values[index] for index in fields}


def _restore_namedtuple(target: Any, state: Any) -> Any:
    _check_is_dict(state, f"named tuple {type(target).__name__}")
    if set(state) != set(target._fields):
        state = _fields_of_old_encoding(state)
    if set(state) != set(target._fields):
        raise ValueError(
            "The field names of the state dict and the named tuple do not match, got "
            f"{set(state)} and {set(target._fields)} at path {current_path()}"
        )
    return target._replace(
        **{
            name: from_state_dict(getattr(target, name), state[name], name=name)
            for name in target._fields
        }
    )


def _data_fields(value: Any) -> list[str]:
    return [
        field.name for field in dataclasses.fields(value) if field.metadata.get("pytree_node", True)
    ]


def _struct_to_state(value: Any) -> dict[str, Any]:
    return {name: to_state_dict(getattr(value, name)) for name in _data_fields(value)}


def _restore_struct(target: Any, state: Any) -> Any:
    name_of_class = type(target).__name__
    _check_is_dict(state, f"dataclass {name_of_class}")
    names = _data_fields(target)
    missing = [name for name in names if name not in state]
    unknown = [name for name in state if name not in names]
    if missing or unknown:
        if missing:
            what = f"Missing field {missing[0]} in state dict while restoring an instance of"
            where = f"{name_of_class}, at path {current_path()}"
        else:
            listed = ", ".join(f'"{name}"' for name in unknown)
            what = f"Unknown field(s) {listed} in state dict while restoring an instance of"
            where = f"{name_of_class} at path {current_path()}"
        raise ValueError(
            f"{what} {where}: its data fields are {names}, of which the state dict lacks "
            f"{missing}; besides it has {unknown}. Restore into a target of the class that was "
            "saved, or edit the state dict."
        )
    return target.replace(
        **{name: from_state_dict(getattr(target, name), state[name], name=name) for name in names}
    )


def _partial_to_state(partial: Partial) -> dict[str, Any]:
    return {"args": to_state_dict(partial.args), "keywords": to_state_dict(partial.keywords)}


def _restore_partial(target: Partial, state: Any) -> Partial:
    _check_is_dict(state, "Partial")
    if not {"args", "keywords"} <= set(state):
        raise ValueError(
            "The state dict of a Partial needs the entries 'args' and 'keywords', but has "
            f"{sorted(state)} at path {current_path()}"
        )
    args = from_state_dict(target.args, state["args"], name="args")
    keywords = from_state_dict(target.keywords, state["keywords"], name="keywords")
    return Partial(target.func, *args, **keywords)


_STRUCT = _Handler(_struct_to_state, _restore_struct)

register_serialization_state(dict, dict_to_state, restore_dict)
register_serialization_state(list, _sequence_to_state, _restore_list)
register_serialization_state(tuple, _sequence_to_state, _restore_tuple)
register_serialization_state(Partial, _partial_to_state, _restore_partial)
