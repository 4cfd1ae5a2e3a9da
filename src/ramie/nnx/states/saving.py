"""How states and variables are saved: as nested dictionaries of what variables hold.

Keys of random streams are typed arrays, which no file format has; their bits are saved instead.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ramie.nnx.states.nested import flattened, nested
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.serialization import state_dict

__all__ = ["restored"]


def _content(leaf: Any) -> Any:
    """Return what is saved of a leaf."""
    value = leaf.get_value() if isinstance(leaf, Variable) else leaf
    if not _is_key(value):
        return value
    if isinstance(value, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, value)
    return jax.random.key_data(value)


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _generator(dtype: Any) -> Any:
    """Return the name of the generator that keys of a dtype belong to."""
    return jax.random.key_impl(jnp.empty((), dtype))  # JAX tells it of arrays only


def _filled(path: tuple[Any, ...], leaf: Any, saved: Any) -> Any:
    """Return a leaf that holds what was saved.

    Raises:
      ValueError: if that is a container in the place of an array, or no bits of keys.
    """
    value = leaf.get_value() if isinstance(leaf, Variable) else leaf
    if hasattr(value, "shape") and isinstance(saved, Mapping):
        raise ValueError(
            f"At {'/'.join(map(str, path))} of a State is an array of shape {value.shape}, but a "
            f"container of {sorted(map(str, saved))} was saved there. Restore into the state of "
            "the model that was saved."
        )
    if _is_key(value) and not _is_key(saved):
        saved = _key_of(path, saved, _generator(value.dtype))
    return leaf.replace(saved) if isinstance(leaf, Variable) else saved


def _key_of(path: tuple[Any, ...], bits: Any, generator: Any) -> Any:
    try:
        return jax.random.wrap_key_data(bits, impl=generator)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"At {'/'.join(map(str, path))} a State has random keys of the generator {generator}, "
            f"but what was saved there does not hold such keys: {error}"
        ) from error


def _opened(place: Any, saved: Any) -> Any:
    """Return what was saved without the boxes in which Orbax keeps what variables hold.

    To Orbax, as to JAX, a variable is a container with the one entry `value`.

    Args:
      place: the leaves of a state, in nested dictionaries.
      saved: what was saved there.
    """
    if not isinstance(saved, Mapping):
        return saved
    if isinstance(place, Mapping):
        inner = {str(key): value for key, value in place.items()}
        return {
            key: _opened(inner[key], value) if key in inner else value
            for key, value in saved.items()
        }
    if not isinstance(place, Variable) or set(saved) != {"value"}:
        return saved
    held = place.get_value()
    return saved if isinstance(held, Mapping) and [*held] == ["value"] else saved["value"]


def _to_state_dict(state: State) -> Any:
    paths, leaves = flattened(state)
    contents = nested(zip(paths, map(_content, leaves), strict=True))
    return state_dict.to_state_dict(contents)


def restored(target: State, saved: Any) -> State:
    """Return a state that holds what was saved, in new variables.

    Args:
      target: a state of the structure that was saved.
      saved: the state dict.

    Raises:
      ValueError: if they do not fit; says where.

    Example:
      >>> from ramie import nnx
      >>> state = nnx.state(nnx.Dict(a=nnx.Param(1)))
      >>> restored(state, {"a": 2}).a.get_value(), state.a.get_value()
      (2, 1)
    """
    paths, leaves = flattened(target)
    contents = nested(zip(paths, map(_content, leaves), strict=True))
    places = nested(zip(paths, leaves, strict=True))
    values = state_dict.restore_dict(contents, _opened(places, saved))

    def at(path: tuple[Any, ...]) -> Any:
        found = values
        for key in path:
            found = found[key]
        return found

    pairs = [
        (path, _filled(path, leaf, at(path))) for path, leaf in zip(paths, leaves, strict=True)
    ]
    return type(target).from_flat_path(pairs)


def _variable_to_state_dict(variable: Variable[Any]) -> Any:
    return state_dict.to_state_dict(_content(variable))


def _restored_variable(target: Variable[Any], saved: Any) -> Variable[Any]:
    value = state_dict.from_state_dict(_content(target), _opened(target, saved), name="value")
    filled: Variable[Any] = _filled(("value",), target, value)
    return filled


state_dict.register_serialization_state(State, _to_state_dict, restored)
state_dict.register_family(Variable, _variable_to_state_dict, _restored_variable)
