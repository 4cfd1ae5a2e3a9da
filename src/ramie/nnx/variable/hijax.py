"""Variables of JAX's experimental high-level types, which any transformed function may change."""

from typing import Any

import jax

from ramie import errors
from ramie.core.tracing.trace import box_owner, has_boxes, is_box, is_top_level, trace_token
from ramie.nnx.variable.base import Variable, definition_of
from ramie.nnx.variable.cells import contents, held_as, is_ref
from ramie.nnx.variable.metadata import Metadata, VariableDef, metadata_of
from ramie.typing import MISSING

__all__ = ["HijaxVariable"]


class HijaxVariable(Variable[Any], registered=False):
    """A variable of JAX's experimental high-level types: ``nnx.Param(x, hijax=True)`` makes one.

    It counts as an instance of the class that was asked for, and has its methods.

    JAX 0.10 has boxes for values. A function under `jax.jit` and the like that gets the
    variable as an argument, or from around, can change its value then, which may also become
    another pytree. It cannot be returned from such a function, and nothing can be differentiated
    with respect to it, only to what `nnx.with_vars(v, mutable=False)` gives. `jax.tree.map` hands
    out the box, which has the operators and methods of the variable.

    JAX 0.12 has none. The variable passes through all transformations there and is
    differentiated as others are, but it changes outside of them only. With ``ref=True`` as well, it
    changes inside of them in all versions.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> count = nnx.BatchStat(jnp.array(0), hijax=True)
        >>> count[...] += 1
        >>> int(jax.jit(lambda count: count + 1)(count)), isinstance(count, nnx.BatchStat)
        (2, True)
    """

    __slots__ = ("_kind",)

    _kind: type[Variable[Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs  # the class that was asked for has used them
        try:
            object.__getattribute__(self, "_kind")
        except AttributeError:
            raise TypeError(
                f"{type(self).__name__} was called, but such a variable is made as one of another "
                "kind: nnx.Param(x, hijax=True)."
            ) from None

    @classmethod
    def _of(
        cls, kind: type[Variable[Any]], value: Any, metadata: Metadata, trace: Any = None
    ) -> "HijaxVariable":
        self = object.__new__(cls)
        setattribute = object.__setattr__
        setattribute(self, "_kind", kind)
        setattribute(self, "_trace_token", trace_token() if trace is None else trace)
        setattribute(self, "_var_metadata", metadata)
        setattribute(self, "_raw_value", value)
        return self

    @property  # type: ignore[misc]  # read-only
    def __class__(self) -> type[Variable[Any]]:  # type: ignore[override]
        """The kind of variable, for `isinstance`."""
        return self._kind

    def _check_can_update(self) -> None:
        if not self._is_in_cell():
            self._check_trace()

    def _check_trace(self) -> None:
        if not self.mutable:
            raise errors.ImmutableVariableError(
                f"Cannot update a {self._kind.__name__} that nnx.with_vars(..., mutable=False) "
                "made: change the variable that it is a copy of, or the copy that "
                "nnx.with_vars(..., mutable=True) makes of it."
            )
        if not (self._is_in_cell() or is_top_level()):
            raise errors.ImmutableVariableError(
                "Cannot update a non-ref HijaxVariable inside of a JAX transformation: this "
                f"{self._kind.__name__} keeps its value in no cell that jit, grad, scan and the "
                "like let a function change. Make it with ref=True, as in "
                f"{self._kind.__name__}(x, hijax=True, ref=True), convert it with "
                "nnx.with_vars(model, ref=True), or return the new value and store it outside."
            )
        super()._check_trace()

    def _is_in_cell(self) -> bool:
        return self.mutable and (is_ref(self._raw_value) or is_box(self._raw_value))

    @property
    def mutable(self) -> bool:
        """Whether its value can change: False where `nnx.with_vars` was told so."""
        return self._var_metadata.get("mutable") is not False

    def get_value(self, *, index: Any = MISSING) -> Any:
        """Return the value, or the part of it at `index`, as the kind of variable does."""
        return self._kind.get_value(self, index=index)

    def set_value(self, value: Any, *, index: Any = MISSING) -> None:
        """Store a value, or replace the part at `index`, as the kind of variable does."""
        self._kind.set_value(self, value, index=index)

    def __getattr__(self, name: str) -> Any:
        if name not in HijaxVariable.__slots__:
            for base in self._kind.__mro__:
                if name in vars(base) and base is not Variable:
                    found = vars(base)[name]
                    return found.__get__(self, self._kind) if hasattr(found, "__get__") else found
        return super().__getattr__(name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        value = contents(self._raw_value)
        return _restored, (self._kind, value, dict(self._var_metadata))


class _Fixed(HijaxVariable, registered=False):
    """What stands between a variable that cannot change and its value, where others have a box.

    Trees of either kind have the same structure down to the box. So `jax.tree.map` over variables
    hands out a gradient with each box, and this is what it is.
    """

    __slots__ = ()


Variable._class_of_boxed = HijaxVariable
_VALUE_KEY = jax.tree_util.GetAttrKey("value")


def _children(variable: HijaxVariable) -> tuple[tuple[Any], VariableDef | None]:
    """Return what is in the raw slot; what the variable is, is said by a box that has an owner."""
    held, definition = variable._raw_value, definition_of(variable)
    if has_boxes():
        if is_box(held) and box_owner(held) == definition:
            return (held,), None
        if not variable.mutable:
            return (_Fixed._of(variable._kind, held, variable._var_metadata),), None
    return (held,), definition


def _from_children(definition: VariableDef | None, children: Any) -> Any:
    (held,) = children
    if definition is not None:
        return definition.of(held)
    if type(held) is _Fixed:
        return definition_of(held).of(held._raw_value)
    # What a function made of the box, such as an array or another variable, takes its place.
    return box_owner(held).of(held) if is_box(held) else held


def _with_key(children: tuple[tuple[Any], Any]) -> tuple[tuple[tuple[Any, Any]], Any]:
    ((held,), definition) = children
    return ((_VALUE_KEY, held),), definition


def _children_of_fixed(variable: _Fixed) -> tuple[tuple[Any], VariableDef]:
    return (variable._raw_value,), definition_of(variable)


def _fixed_from_children(definition: VariableDef, children: Any) -> Any:
    return _Fixed._of(definition.type, children[0], definition.metadata)


jax.tree_util.register_pytree_with_keys(
    HijaxVariable, lambda v: _with_key(_children(v)), _from_children, _children
)
jax.tree_util.register_pytree_with_keys(
    _Fixed, lambda v: _with_key(_children_of_fixed(v)), _fixed_from_children, _children_of_fixed
)


def _restored(kind: type[Variable[Any]], value: Any, entries: dict[str, Any]) -> Variable[Any]:
    metadata = metadata_of(entries)
    definition = metadata.definition(kind)
    restored: Variable[Any] = definition.of(held_as(value, definition))
    return restored
