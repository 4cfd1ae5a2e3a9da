"""Dataclasses that JAX takes apart and puts together: pytrees with named fields.

    from ramie import struct

    class Momentum(struct.PyTreeNode):
        velocity: Array
        decay: float = struct.field(pytree_node=False, default=0.9)

    state = Momentum(velocity)
    state = state.replace(velocity=state.decay * state.velocity + grads)

Fields are children of the pytree unless they say ``pytree_node=False``; those are static: JAX
compares and hashes them, and compiles anew when they change.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform, overload

import jax

__all__ = ["PyTreeNode", "dataclass", "field"]

C = TypeVar("C", bound=type)
TNode = TypeVar("TNode", bound="PyTreeNode")

_DATACLASS_OPTIONS = frozenset(inspect.signature(dataclasses.dataclass).parameters)


def field(
    pytree_node: bool = True, *, metadata: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    """Describe a field of a struct dataclass.

    Args:
        pytree_node: False makes the field static: part of the structure, hashable, not traced.
        metadata: Further metadata of the field.
        **kwargs: What `dataclasses.field` takes: ``default``, ``default_factory``, ``repr``, ...

    Example:
        >>> import jax
        >>> @dataclass
        ... class Scaled:
        ...     x: float
        ...     unit: str = field(pytree_node=False, default="m")
        >>> jax.tree.map(lambda x: 2 * x, Scaled(1.5))
        Scaled(x=3.0, unit='m')
    """
    return dataclasses.field(metadata={**(metadata or {}), "pytree_node": pytree_node}, **kwargs)


@overload
def dataclass(clz: C, **kwargs: Any) -> C: ...
@overload
def dataclass(clz: None = None, **kwargs: Any) -> Callable[[C], C]: ...


@dataclass_transform(field_specifiers=(field,))
def dataclass(clz: Any = None, **kwargs: Any) -> Any:
    """Make a class a frozen dataclass, a pytree, and serializable.

    The class gets the method ``replace(**changes)``, which returns a changed copy. Since JAX
    rebuilds instances with the generated constructor, often with values that are no arrays at
    all, ``__post_init__`` should not compute or check anything; write a classmethod ``create``
    for that. A class that is one already is returned as it is. Instances are equal if their
    fields are, and what is the very same object in both is, a NaN or an array included.

    Args:
        clz: The class. Without it, the result is a decorator with these options.
        **kwargs: Options of `dataclasses.dataclass`; ``frozen`` is True unless it is given.

    Raises:
        ValueError: A field is not a parameter of the constructor (``init=False``).

    Example:
        >>> @dataclass
        ... class Pair:
        ...     a: int
        ...     b: int
        >>> Pair(1, 2).replace(b=5)
        Pair(a=1, b=5)
    """
    if clz is None:
        return lambda later: dataclass(later, **kwargs)
    if "_flax_dataclass" in vars(clz):
        return clz
    compares = kwargs.get("eq", True) and "__eq__" not in vars(clz)
    node: Any = dataclasses.dataclass(**{"frozen": True, **kwargs})(clz)
    if compares:
        node.__eq__ = _equality([spec.name for spec in dataclasses.fields(node) if spec.compare])
    children: dict[bool, list[str]] = {True: [], False: []}
    for spec in dataclasses.fields(node):
        if not spec.init:
            raise ValueError(
                f"The field {spec.name!r} of {node.__qualname__} has init=False, but JAX rebuilds "
                "pytrees through the constructor, which must take every field. Make it a "
                "property, or compute it in a classmethod that calls the constructor."
            )
        children[bool(spec.metadata.get("pytree_node", True))].append(spec.name)
    jax.tree_util.register_dataclass(node, children[True], children[False])
    node.replace = _replace
    # The mark by which serialization, and code written for Flax, know these classes.
    node._flax_dataclass = True
    return node


def _equality(names: list[str]) -> Callable[[Any, object], Any]:
    """Make the comparison of fields as a tuple compares its items: what is the same is equal.

    From Python 3.13 on dataclasses leave that out, so that an instance with a NaN or an array would
    not equal its copy.
    """

    def __eq__(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return tuple([getattr(self, name) for name in names]) == tuple(
            [getattr(other, name) for name in names]
        )

    return __eq__


def _replace(self: Any, **overrides: Any) -> Any:
    """Return a copy with the given fields changed."""
    return dataclasses.replace(self, **overrides)


_replace.__name__ = "replace"


@dataclass_transform(field_specifiers=(field,))
class PyTreeNode:
    """A base class that makes each subclass what `dataclass` makes of a decorated one.

    Options of the dataclass are keywords of the class statement, and hold for that class only:
    ``class Config(PyTreeNode, kw_only=True)``. Type checkers understand it without a plugin.

    Example:
        >>> class Point(PyTreeNode):
        ...     x: float
        ...     y: float = 0.0
        >>> Point(1.0).replace(y=2.0)
        Point(x=1.0, y=2.0)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if kwargs.get("slots"):
            raise TypeError(
                f"{cls.__qualname__}: slots=True makes a second class, which cannot replace the "
                "one being defined here. Decorate a plain class: @struct.dataclass(slots=True)."
            )
        options = {name: kwargs.pop(name) for name in _DATACLASS_OPTIONS & kwargs.keys()}
        super().__init_subclass__(**kwargs)
        dataclass(cls, **options)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Only for type checkers, and for whoever constructs the base class itself.
        raise NotImplementedError(
            "PyTreeNode has no fields and cannot be constructed; define a subclass with fields."
        )

    def replace(self: TNode, **overrides: Any) -> TNode:
        """Return a copy with the given fields changed.

        Args:
            **overrides: New values by name of field.

        Raises:
            TypeError: There is no such field.
        """
        raise NotImplementedError  # every subclass gets a generated one
