"""Variables of JAX's experimental high-level types, which any transformed function may change."""

from typing import Any

from ramie import errors
from ramie.core.trace import is_box, is_top_level, trace_token
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.cells import contents, held_as, is_ref
from ramie.nnx.variable.metadata import Metadata, metadata_of
from ramie.typing import MISSING

__all__ = ["HijaxVariable"]


class HijaxVariable(Variable[Any]):
    """A variable whose value is in a box: ``nnx.Param(x, hijax=True)`` makes one.

    It counts as an instance of the class that was asked for, and has its methods. A function under
    `jax.jit` and the like that gets it as an argument, or from around, can change its value, which
    may also become another pytree. It cannot be returned from such a function.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> count = nnx.BatchStat(jnp.array(0), hijax=True)
        >>> @jax.jit
        ... def step(count):
        ...     count[...] += 1
        >>> step(count)
        >>> int(count[...]), isinstance(count, nnx.BatchStat)
        (1, True)
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
        setattribute(self, "_trace_state", trace_token() if trace is None else trace)
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
        return is_ref(self._raw_value) or is_box(self._raw_value)

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


Variable._class_of_boxed = HijaxVariable


def _restored(kind: type[Variable[Any]], value: Any, entries: dict[str, Any]) -> Variable[Any]:
    metadata = metadata_of(entries)
    return kind._make(held_as(value, metadata), metadata)
