"""How a State is saved: as nested dictionaries of what its variables hold.

Keys of random streams are typed arrays, which no file format has; their bits are saved instead.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ramie.nnx.states.nested import flattened, nested
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.serialization import state_dict

__all__: list[str] = []


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


def _filled(leaf: Any, saved: Any) -> Any:
    """Return a leaf that holds what was saved."""
    value = leaf.get_value() if isinstance(leaf, Variable) else leaf
    if _is_key(value):
        saved = jax.random.wrap_key_data(saved, impl=_generator(value.dtype))
    return leaf.replace(saved) if isinstance(leaf, Variable) else saved


def _to_state_dict(state: State) -> Any:
    paths, leaves = flattened(state)
    contents = nested(zip(paths, map(_content, leaves), strict=True))
    return state_dict.to_state_dict(contents)


def _from_state_dict(target: State, saved: Any) -> State:
    paths, leaves = flattened(target)
    contents = nested(zip(paths, map(_content, leaves), strict=True))
    restored = state_dict.restore_dict(contents, saved)

    def at(path: tuple[Any, ...]) -> Any:
        found = restored
        for key in path:
            found = found[key]
        return found

    pairs = [(path, _filled(leaf, at(path))) for path, leaf in zip(paths, leaves, strict=True)]
    return type(target).from_flat_path(pairs)


state_dict.register_serialization_state(State, _to_state_dict, _from_state_dict)
