"""What may hold an array of a model, or memory of it, and what can be read from it then."""

import copy

import jax
import jax.numpy as jnp
import numpy as np

from ramie import nnx

SIZE = 64


def made(value=1.0):
    """Make a model of two variables."""
    return nnx.Dict(
        w=nnx.Param(jnp.full((SIZE, SIZE), value, jnp.float32) + 0), other=nnx.Param(jnp.ones(SIZE))
    )


HOLDERS = {
    "a name": lambda module: module.w[...],
    "the raw value": lambda module: module.w.raw_value,
    "a list": lambda module: [module.w[...]],
    "a state": lambda module: nnx.to_pure_dict(nnx.state(module)),
    "leaves of a split": lambda module: jax.tree.leaves(nnx.split(module)),
    "a clone of the model": lambda module: nnx.clone(module, variables=True),
    "a copy of the variable": lambda module: module.w.copy(),
    "copy.copy": lambda module: copy.copy(module.w),
    "another module": lambda module: nnx.Dict(tied=nnx.Param(module.w[...])),
    "a closure": lambda module: (lambda w: lambda: w)(module.w[...]),
    "a view": lambda module: np.asarray(module.w[...])[3:5],
    "a memoryview": lambda module: memoryview(module.w[...]),
    "DLPack": lambda module: np.from_dlpack(module.w[...]),
    "DLPack of JAX": lambda module: jnp.from_dlpack(module.w[...]),
    "an alias": lambda module: jax.device_put(module.w[...], jax.devices()[0]),
    "a part": lambda module: module.w[...].addressable_data(0),
    "a residual": lambda module: jax.vjp(lambda x: x * x, module.w[...])[1],
    "a compiled closure": lambda module: jax.jit((lambda w: lambda: w + 0)(module.w[...])),
    "an iterator": lambda module: iter(module.w[...]),
    "a pytree": lambda module: jax.tree.map(lambda x: x, nnx.state(module)),
}


def content(held):
    """Return what can be read from a holder."""
    if callable(held) and not isinstance(held, nnx.Pytree | nnx.Variable):
        try:
            held = held()
        except TypeError:
            held = held(jnp.ones((SIZE, SIZE)))
    if isinstance(held, memoryview):
        return [np.array(held)]
    if hasattr(held, "__next__"):
        return [np.array(x) for x in copy.copy(list(held))]
    leaves = jax.tree.leaves(held, is_leaf=lambda x: isinstance(x, nnx.Variable))
    leaves = [x.raw_value if isinstance(x, nnx.Variable) else x for x in leaves]
    return [np.array(x) for x in leaves if isinstance(x, jax.Array | np.ndarray)]
