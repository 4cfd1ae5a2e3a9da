"""Creating variables without running the forward pass that asks for them.

What `init` returns depends on a forward pass only through shapes, as a rule. So the pass is traced
once, abstractly, and nothing of it is executed; initializers run for real while that goes on,
because their key is a real one. Should a variable turn out to depend on what was only traced, the
equations it needs are evaluated, if that keeps every bit. In all other cases (Python code that
needs values, effects such as printing, values kept outside of the call, errors) `attempt` says that
it did not succeed, and the caller runs the forward pass for real, from the beginning.
"""

import gc
import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.running import initializing
from ramie.core.scope.rng import LazyRng, host_key
from ramie.core.scope.shapes import is_self_contained, needs_key
from ramie.core.tracing.abstract import evaluate, needed_part, with_values, without_tracers
from ramie.core.tracing.trace import (
    at_traced_forward,
    is_top_level,
    leaves_nothing_behind,
    outside_traces,
    traced_forward,
)
from ramie.foundation.configurations import config

__all__ = [
    "NOT_POSSIBLE",
    "attempt",
    "create",
    "create_param",
    "may_attempt",
    "no_function",
    "param_in",
]

_jax_config: Any = jax.config


class _NotPossible:
    """Says that an attempt did not succeed."""

    def __repr__(self) -> str:
        return "<not possible abstractly>"


NOT_POSSIBLE = _NotPossible()


def may_attempt(*trees: Any) -> bool:
    """Tell whether `attempt` has a chance, here and with these arguments of the forward pass."""
    if not config.flax_fast_init or not is_top_level():
        return False
    if _jax_config.jax_check_tracer_leaks or _jax_config.jax_debug_key_reuse:
        return False
    if not jax.sharding.get_abstract_mesh().empty:
        return False  # arrays are placed as they are made
    return not any(isinstance(x, jax.core.Tracer) for x in jax.tree_util.tree_leaves(trees))


def attempt(forward: Callable[[], Any]) -> Any:
    """Run a function that creates variables, without executing what only its outputs need.

    Args:
      forward: makes a root scope of its own, and returns a tree of variables.

    Returns:
      The variables, or `NOT_POSSIBLE`. In that case `forward` may have run in part.
    """
    try:
        variables, state, part = _trace(forward)
    except Exception:  # whatever it is, the real forward pass raises it too, or succeeds
        return NOT_POSSIBLE
    if part is None:
        return NOT_POSSIBLE
    if not leaves_nothing_behind(state):
        gc.collect()  # a cycle may have kept a tracer; what is left now was kept on purpose
        if not leaves_nothing_behind(state):
            return NOT_POSSIBLE
    if not part.jaxpr.outvars:
        return with_values(variables, [])
    values = evaluate(part)
    # Arrays of keys have no such attribute, and are never weak.
    weak = [getattr(x, "weak_type", False) for x in values]
    if weak != [v.aval.weak_type for v in part.jaxpr.outvars]:
        return NOT_POSSIBLE
    return with_values(variables, values)


def _trace(forward: Callable[[], Any]) -> tuple[Any, Any, Any]:
    """Trace `forward` once.

    Returns:
      The variables with a slot for each tracer, as `with_values` takes them, the state of the
      trace, and the program that computes these tracers or None. Nothing here outlives the call
      that holds the trace: JAX remembers a trace for as long as the function lives, and equations
      may hold it.
    """
    variables: Any = None
    state: Any = None

    def traced() -> list[Any]:
        nonlocal variables, state
        with traced_forward() as state:
            made = forward()
        variables, tracers = without_tracers(made)
        return tracers

    closed = jax.make_jaxpr(traced)()
    return variables, state, None if closed.effects else needed_part(closed)


# As JAX shipped them: what another library put in their place is called.
_ZEROS, _ONES = jax.nn.initializers.zeros, jax.nn.initializers.ones
_NUMPY_ZEROS, _NUMPY_ONES = jnp.zeros, jnp.ones


def _constant(fill: int, shape: Any, dtype: Any = None) -> Any:
    """Make an array of zeros or ones by transfer, or None if JAX should make it."""
    if (
        _jax_config.jax_disable_jit
        or not jax.sharding.get_abstract_mesh().empty
        or not isinstance(shape, tuple | list)
        or not all(type(size) is int and size >= 0 for size in shape)
    ):
        return None
    try:
        kind = np.dtype(float if dtype is None else dtype)
    except TypeError:
        return None
    if dtype is None:
        kind = np.dtype(jax.dtypes.canonicalize_dtype(kind))
    if kind.itemsize > 4 and not _jax_config.jax_enable_x64:
        return None  # JAX warns and narrows
    # A plain array and no view: what several variables share cannot be donated.
    return jax.device_put(np.full(tuple(shape), fill, kind))


def _really(init_fn: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Any:
    made = None
    if not kwargs:
        if init_fn is _ZEROS or init_fn is _ONES:
            if 2 <= len(args) <= 3:
                made = _constant(int(init_fn is _ONES), *args[1:])
        elif (init_fn is _NUMPY_ZEROS or init_fn is _NUMPY_ONES) and 1 <= len(args) <= 2:
            made = _constant(int(init_fn is _NUMPY_ONES), *args)
    return init_fn(*args, **kwargs) if made is None else made


@initializing
def create(init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return `init_fn(*args, **kwargs)`, the first value of a variable."""
    if at_traced_forward():
        if not is_self_contained(init_fn, args, kwargs):
            return init_fn(*args, **kwargs)
    elif not (config.flax_fast_init and is_top_level()):
        return init_fn(*args, **kwargs)
    with outside_traces():
        return _really(init_fn, args, kwargs)


@initializing
def create_param(
    init_fn: Callable[..., Any], lazy: LazyRng, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Return `init_fn(key, *args, **kwargs)`, the first value of a parameter.

    Args:
      init_fn: the initializer.
      lazy: its key, not yet derived.
      args: see above.
      kwargs: see above.
    """
    is_traced = at_traced_forward()
    if not (is_traced or (config.flax_fast_init and is_top_level())):
        return init_fn(lazy.as_jax_rng() if needs_key(init_fn) else lazy.rng, *args, **kwargs)
    if is_traced and not is_self_contained(init_fn, args, kwargs):
        with outside_traces():
            derived = lazy.as_jax_rng()
        return init_fn(derived, *args, **kwargs)
    with outside_traces():
        key: Any = None
        if not needs_key(init_fn):
            key = lazy.rng
        elif getattr(init_fn, "takes_host_keys", False):
            key = host_key(lazy)
        if key is None:
            key = lazy.as_jax_rng()
        return _really(init_fn, (key, *args), kwargs)


def _failure_note(name: str, place: str, init_fn: Any, args: tuple[Any, ...]) -> str:
    """Say which parameter could not be made, and what is wrong if it is a common mistake.

    Args:
      name: its name.
      place: the path of its scope.
      init_fn: what was given as its initializer.
      args: what was given as arguments of it.
    """
    note = f'While initializing parameter "{name}" in {place}'
    if not callable(init_fn):
        return (
            f"{note}: its initializer is a {type(init_fn).__name__}, not a function. Give a name, "
            'an initializer and its arguments: self.param("w", nn.initializers.zeros, (3, 2)).'
        )
    called = getattr(init_fn, "__name__", type(init_fn).__name__)
    first = _first_parameter(init_fn)
    if first == "shape":
        return (
            f"{note}: an initializer takes a key first, and {called} takes a shape. Write self."
            f'param("{name}", nn.initializers.{called}, shape), or lambda key: {called}(shape).'
        )
    if not args:
        needs_shape = hasattr(init_fn, "output_shape") or first == "key"
        return f"{note}: {called} was given a key and no shape." if needs_shape else note
    sizes = args[0] if isinstance(args[0], tuple | list) else None
    wrong = [n for n in sizes or () if isinstance(n, float | str | tuple | list | type | None)]
    if wrong:
        return (
            f"{note}: its shape is {tuple(args[0])}, where {wrong[0]!r} is a "
            f"{type(wrong[0]).__name__}. Sizes are integers: give features as int."
        )
    if hasattr(init_fn, "output_shape") and isinstance(args[0], int | float | str):
        return f"{note}: its shape is {args[0]!r}; a shape is a tuple of integers, such as (3,)."
    return note


def no_function(col: str, name: str, place: str, given: Any) -> TypeError:
    """Make the error for a variable that was given a value in place of a function."""
    return TypeError(
        f'Variable "{name}" in {place} is made by a function, but got {type(given).__name__}. '
        f"Write self.variable({col!r}, {name!r}, lambda: value): the function is called when there "
        "is no value yet."
    )


def param_in(
    scope: Any,
    name: str,
    init_fn: Callable[..., Any],
    lazy: LazyRng,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Return the first value of a parameter as `create_param` does; say where it is if that fails.

    Raises:
      TypeError: if the initializer returns an initializer.
    """
    try:
        value = create_param(init_fn, lazy, args, kwargs)
    except Exception as error:
        error.add_note(_failure_note(name, scope.path_text, init_fn, args))
        raise
    if isinstance(value, FunctionType) or hasattr(value, "output_shape"):
        maker = getattr(init_fn, "__name__", "init")
        raise TypeError(
            f'The initializer of parameter "{name}" in {scope.path_text} returned another '
            f"initializer, not an array. Call it first: self.param({name!r}, "
            f"nn.initializers.{maker}(), shape)."
        )
    return value


def _first_parameter(function: Any) -> str:
    """Return the name of the first parameter of a function, empty where that is not known."""
    try:
        return next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return ""
