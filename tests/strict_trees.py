"""A pytree that looks at its fields: what rebuilds it with anything but arrays fails."""

import dataclasses

import jax
import numpy as np

__all__ = ["Strict", "arrays"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Strict:
    """Two arrays, or two numbers of JAX's choosing; shapes, axes, indices and None are refused."""

    a: jax.Array
    b: jax.Array

    def __post_init__(self):
        for x in (self.a, self.b):
            # Variables of nnx stand for arrays.
            if not isinstance(x, jax.Array | np.ndarray) and not hasattr(x, "get_value"):
                raise TypeError(f"a field of Strict is a {type(x).__name__}: {x!r}")


def arrays(*shape):
    """Return a `Strict` of arrays of a shape, 0, 1, 2... and its double."""
    x = np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape)
    return Strict(jax.numpy.asarray(x), jax.numpy.asarray(2 * x))
