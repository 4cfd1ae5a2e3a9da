"""The kinds of variables, their names as collections of Linen, and initializers with metadata."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ramie.core import laying
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.metadata import VariableMetadata
from ramie.nnx.variable.placement import initial_sharding

__all__ = [
    "BatchStat",
    "Cache",
    "Intermediate",
    "Param",
    "Perturbation",
    "register_variable_name",
    "variable_name_from_type",
    "variable_type_from_name",
    "with_metadata",
]

A = TypeVar("A")
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=type[Variable[Any]])


class Param(Variable[A]):
    """A parameter: what an optimizer changes.

    Example:
        >>> from ramie import nnx
        >>> layer = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        >>> isinstance(layer.kernel, nnx.Param)
        True
    """

    __slots__ = ()


class BatchStat(Variable[A]):
    """A statistic over batches, as the running mean of a normalization."""

    __slots__ = ()


class Cache(Variable[A]):
    """What a layer keeps from call to call, as the keys and values of autoregressive attention."""

    __slots__ = ()


class Intermediate(Variable[A]):
    """A value from inside a computation; `Module.sow` makes it."""

    __slots__ = ()


class Perturbation(Intermediate[A]):
    """Zeros added to a value inside a computation, whose gradient is that of the value."""

    __slots__ = ()


_by_name: dict[str, type[Variable[Any]]] = {}


def register_variable_name(name: str, typ: Any = None, *, overwrite: bool = False) -> Any:
    """Say which name stands for a kind of variable; without `typ`, use it as a decorator.

    Args:
      name: the name, such as that of a collection of Linen.
      typ: the class.
      overwrite: whether a name that is taken may get another class.

    Returns:
      The class.

    Raises:
      ValueError: if the name is taken.
    """
    if typ is None:
        return functools.partial(register_variable_name, name, overwrite=overwrite)
    known = _by_name.get(name)
    if known is not None and known is not typ and not overwrite:
        raise ValueError(
            f"Name {name} is already registered, for {known}; {typ} needs another one, or "
            "overwrite=True."
        )
    _by_name[name] = typ
    return typ


def variable_type_from_name(
    name: str, /, *, base: type[Variable[Any]] = Variable, allow_register: bool = False
) -> type[Variable[Any]]:
    """Return the kind of variable that a name stands for.

    Args:
      name: the name.
      base: the base of a new class.
      allow_register: make and register a class if there is none.

    Raises:
      ValueError: if the name is not registered.

    Example:
        >>> from ramie import nnx
        >>> nnx.variable_type_from_name("params").__name__
        'Param'
    """
    if name not in _by_name:
        if not allow_register:
            raise ValueError(
                f"Name {name} is not registered in the registry. To register a new name, use "
                "register_variable_name() or set allow_register=True."
            )
        return register_variable_name(name, type(name, (base,), {"__slots__": ()}))
    return _by_name[name]


def variable_name_from_type(typ: type[Variable[Any]], /, *, allow_register: bool = False) -> str:
    """Return the name of a kind of variable.

    Args:
      typ: the class.
      allow_register: register it under its own name if it has none.

    Raises:
      ValueError: if the class has no name.
    """
    for name, known in _by_name.items():
        if known is typ:
            return name
    if not allow_register:
        raise ValueError(
            f"Type {typ} is not registered in the registry. To register a new type, use "
            "register_variable_name() or set allow_register=True."
        )
    register_variable_name(typ.__name__, typ)
    return typ.__name__


_KINDS: Mapping[str, type[Variable[Any]]] = {
    "params": Param,
    "batch_stats": BatchStat,
    "cache": Cache,
    "intermediates": Intermediate,
    "perturbations": Perturbation,
}
for _name, _kind in _KINDS.items():
    register_variable_name(_name, _kind)


def with_metadata(
    initializer: F,
    on_set_value: Any = (),
    on_get_value: Any = (),
    on_create_value: Any = (),
    on_add_axis: Any = (),
    on_remove_axis: Any = (),
    **metadata: Any,
) -> F:
    """Wrap an initializer so that the variable made of its result has metadata.

    Args:
      initializer: any function that returns a value.
      on_set_value: a hook or several; see `Variable`. The same for the other four.
      **metadata: further entries.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> init = nnx.with_metadata(nnx.initializers.zeros_init(), note="mine")
        >>> nnx.Param(init(jax.random.key(0), (2,))).note
        'mine'
    """
    hooks = {
        "on_set_value": on_set_value,
        "on_get_value": on_get_value,
        "on_create_value": on_create_value,
        "on_add_axis": on_add_axis,
        "on_remove_axis": on_remove_axis,
    }
    several = {name: (hook,) if callable(hook) else tuple(hook) for name, hook in hooks.items()}

    @functools.wraps(initializer, updated=())
    def initialize(*args: Any, **kwargs: Any) -> VariableMetadata[Any]:
        value = laying.made(initializer, args, kwargs, initial_sharding(metadata))
        if isinstance(value, VariableMetadata):  # wrapped more than once
            inner = {name: getattr(value, name) for name in hooks}
            joined = {name: (*inner[name], *several[name]) for name in hooks}
            return VariableMetadata(
                value.raw_value, **joined, metadata={**value.metadata, **metadata}
            )
        return VariableMetadata(value, **several, metadata=metadata)

    wrapped: Any = initialize
    wrapped.boxing = lambda other: with_metadata(other, **hooks, **metadata), initializer
    return wrapped
