"""What is known of an initializer without running it: the shapes it gives, whether it draws.

Checking a parameter against its initializer is a service to the user that must not cost a trace
each time. The answer is kept per initializer and arguments. Because initializers are often made
anew at each call (``nn.initializers.normal(0.02)``, a lambda), a function is identified by its code
and the constants it closes over; whatever closes over something that can change is not cached.
"""

import functools
import types
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import numpy as np

from ramie.core.running import initializing

__all__ = [
    "expected_shapes",
    "is_self_contained",
    "leaf_shapes",
    "mismatch",
    "needs_key",
    "stable_key",
]

Shapes = tuple[tuple[int, ...], ...]

_ATOMS = (int, float, complex, str, bytes, bool, type(None), type, np.dtype)
_LIMIT = 8192
_cache: dict[Hashable, Shapes] = {}
_described: dict[Hashable, Shapes] = {}  # the same for initializers that need no further look


def needs_key(init_fn: Callable[..., Any]) -> bool:
    """Tell whether an initializer's result depends on its key; if not known, it does."""
    if init_fn is jax.nn.initializers.zeros or init_fn is jax.nn.initializers.ones:
        return False
    return getattr(init_fn, "needs_key", True) is not False


class _Unkeyable(Exception):
    """The value can change, so nothing may be remembered about it."""


def _key(value: Any, depth: int = 0) -> Hashable:
    """Return something hashable that stands for `value` for ever."""
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None or isinstance(value, type):
        return value
    if kind is float or isinstance(value, _ATOMS):
        return (kind, value)
    if depth > 8:
        raise _Unkeyable
    if isinstance(value, tuple | list):
        return (kind, *[_key(v, depth + 1) for v in value])
    shape_rule = getattr(kind, "output_shape", None)
    if shape_rule is not None:  # a described initializer: immutable, hashed by value
        return value
    if isinstance(value, types.FunctionType):
        return _function_key(value, depth)
    if isinstance(value, functools.partial):
        keywords = tuple((k, _key(v, depth + 1)) for k, v in value.keywords.items())
        return (kind, _key(value.func, depth + 1), _key(value.args, depth + 1), keywords)
    if isinstance(value, types.BuiltinFunctionType | np.ufunc):
        return value
    raise _Unkeyable


def _function_key(fn: types.FunctionType, depth: int) -> Hashable:
    parts: list[Hashable] = [fn.__code__, id(fn.__globals__)]
    if fn.__closure__:
        for cell in fn.__closure__:
            try:
                contents = cell.cell_contents
            except ValueError:  # not assigned yet
                raise _Unkeyable from None
            parts.append(_key(contents, depth + 1))
    if fn.__defaults__:
        parts.append(_key(fn.__defaults__, depth + 1))
    if fn.__kwdefaults__:
        parts.extend((k, _key(v, depth + 1)) for k, v in fn.__kwdefaults__.items())
    return tuple(parts)


def stable_key(fn: Callable[..., Any]) -> Hashable:
    """Return something equal for functions of the same code that close over equal constants.

    Returns:
      It, or None for a function that closes over what can change.
    """
    try:
        key = _key(fn)
        hash(key)
    except (_Unkeyable, TypeError):
        return None
    return key


def is_self_contained(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Tell whether a call reads only real arrays and values that never change: no tracer.

    A function that closes over other things (`self`, an array) is not looked into: False.
    """
    try:
        if not hasattr(type(fn), "output_shape"):
            _key(fn)
        for value in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(value, jax.core.Tracer):
                return False
            if not isinstance(value, jax.Array | np.ndarray):
                _key(value)
    except _Unkeyable:
        return False
    return True


def leaf_shapes(value: Any) -> Shapes:
    """Return the shapes of the leaves of a pytree, in order."""
    return tuple(np.shape(leaf) for leaf in jax.tree_util.tree_leaves(value))


@initializing
def _evaluate(init_fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Shapes:
    def leaves() -> list[Any]:  # and no more: a class of the user may refuse shapes in its fields
        return jax.tree_util.tree_leaves(init_fn(jax.random.key(0), *args, **kwargs))

    return leaf_shapes(jax.eval_shape(leaves))


def expected_shapes(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Shapes:
    """Return the shapes of the leaves that `init_fn(key, *args, **kwargs)` would return.

    A function that closes over arrays or other mutable things is evaluated abstractly each time;
    for everything else the first answer is kept. A function is taken to be pure: one whose shape
    depends on a global that changes between calls would be trusted wrongly.

    Raises:
      Exception: whatever `init_fn` raises when it is traced.
    """
    try:
        if not kwargs and (known := _described.get((init_fn, args))) is not None:
            return known
        key = (
            _key(init_fn),
            _key(args),
            tuple((k, _key(v)) for k, v in kwargs.items()) if kwargs else None,
        )
        known = _cache.get(key)
    except (_Unkeyable, TypeError):  # TypeError: an object whose hash refuses
        return _evaluate(init_fn, args, kwargs)
    if known is None:
        if len(_cache) >= _LIMIT:
            _cache.clear()
            _described.clear()
        described = hasattr(type(init_fn), "output_shape")
        if described:
            known = (tuple(init_fn.output_shape(*args, **kwargs)),)  # type: ignore[attr-defined]
        else:
            known = _evaluate(init_fn, args, kwargs)
        _cache[key] = known
        if not kwargs and (described or not needs_key(init_fn)):
            _described[init_fn, args] = known
    return known


def mismatch(
    value: Any, init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, Any] | None:
    """Compare a parameter that exists with what its initializer would give.

    Returns:
      None if they agree; otherwise what was found and what was expected: two shapes, or the shapes
      of all leaves where their number differs.
    """
    expected: Any = expected_shapes(init_fn, args, kwargs)
    shape = getattr(value, "shape", None)
    found: Any = (shape,) if type(shape) is tuple else leaf_shapes(value)
    if found == expected:
        return None
    if len(found) != len(expected):
        return found, expected
    return next((got, want) for got, want in zip(found, expected, strict=True) if got != want)
