"""What a trace of a module depends on, as a value that can be hashed and compared."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.scope.variables import Variable
from ramie.core.tracing.sameness import Same
from ramie.linen.machinery.context import context, interceptors, named_call
from ramie.linen.module import Module
from ramie.serialization.state_dict import is_serializable, to_state_dict

__all__ = ["ModuleKey", "fingerprint"]

_ATOMS = (int, float, complex, str, bytes, type(None), type, np.dtype)


def _itself(cls: type) -> Hashable:
    return cls


def fingerprint(
    value: Any,
    seen: dict[int, int] | None = None,
    class_key: Callable[[type], Hashable] = _itself,
) -> Hashable:
    """Return something equal for values that lead to the same trace.

    Names and places of modules do not count; what they share does. Containers and types that
    serialize are compared by content, functions by identity.

    Args:
      value: a module, or a value of one of its fields.
      seen: the modules met so far, by identity, with their numbers.
      class_key: what stands for the class of a module.
    """
    seen = {} if seen is None else seen
    inner = functools.partial(fingerprint, seen=seen, class_key=class_key)
    kind = type(value)
    if isinstance(value, _ATOMS):
        return kind, value
    if isinstance(value, Module):
        return _of_module(value, seen, inner, class_key)
    if isinstance(value, Variable):
        return Variable, value.collection, value.name, value.unbox
    if isinstance(value, list | tuple):
        return (kind, *[inner(item) for item in value])
    if isinstance(value, Mapping):
        return (kind, *[(key, inner(item)) for key, item in value.items()])
    if isinstance(value, functools.partial):
        parts = value.func, value.args, value.keywords
        return (kind, *[inner(part) for part in parts])
    if isinstance(value, jax.core.Tracer):
        return object()  # lives for this trace only: no other call may use it
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        words: Any = jax.random.key_data(value) if _is_key(value) else value  # type: ignore[arg-type]
        array = np.asarray(words)
        return kind, str(value.dtype), array.shape, array.tobytes()
    if dataclasses.is_dataclass(value) and hasattr(value, "_flax_dataclass"):
        fields = dataclasses.fields(value)
        return (kind, *[inner(getattr(value, f.name)) for f in fields])
    if is_serializable(value):
        return kind, inner(to_state_dict(value))
    try:
        hash(value)
    except TypeError:
        return Same(value)
    return kind, value


def _is_key(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jax.dtypes.prng_key))


def _of_module(
    module: Module,
    seen: dict[int, int],
    inner: Callable[[Any], Hashable],
    class_key: Callable[[type], Hashable],
) -> Hashable:
    number = seen.get(id(module))
    if number is not None:
        return Module, number
    seen[id(module)] = len(seen)
    own = module.__dict__
    state = own["_state"]
    fields = [(name, inner(own.get(name))) for name in module._plan.fields]
    return (
        class_key(type(module)),
        own["scope"] is None,
        state.in_compact_method,
        state.in_setup,
        tuple(sorted(state.autoname_cursor.items())) if state.in_compact_method else (),
        *fields,
    )


class ModuleKey:
    """Stands for modules as a compile-time constant of a compiled function.

    A compiled function keeps its constants; to not keep modules and their variables alive with
    them, `payload` is taken away when the call is over, and comparison does without it.

    Args:
      modules: the modules, and variables, that the function is called with.
      payload: what the function needs while it is being traced.
      class_key: what stands for the class of a module.
    """

    def __init__(
        self,
        modules: list[Any],
        payload: Any = None,
        class_key: Callable[[type], Hashable] = _itself,
    ) -> None:
        seen: dict[int, int] = {}
        # Interceptors, captures and names leave their marks in a trace.
        around = (*interceptors.get(), context.capture[-1], named_call.get())
        self._key = (*[fingerprint(module, seen, class_key) for module in modules], *around)
        self._hash = hash(self._key)
        self.payload = payload

    @classmethod
    def from_module(cls, module: Module) -> "ModuleKey":
        """Make the key of one module."""
        return cls([module])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModuleKey) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash
