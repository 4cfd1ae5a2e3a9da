"""A program written for Flax, with nothing in it that knows of Ramie.

Run it with `python -m ramie.compat examples/flax_program.py`.
"""

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.frozen_dict import FrozenDict
from flax.traverse_util import flatten_dict


class Net(nn.Module):
    """Two dense layers around a normalisation."""

    @nn.compact
    def __call__(self, x):
        """Map features [batch, 4] to two scores [batch, 2]."""
        x = nn.LayerNorm()(nn.Dense(8)(x))
        return nn.Dense(2)(nn.relu(x))


variables = FrozenDict(Net().init(jax.random.key(0), jnp.ones((1, 4))))
print("flax", flax.__version__, "is answered by", nn.Module.__module__.partition(".")[0])
for path, value in flatten_dict(variables["params"], sep="/").items():
    print(path, value.shape)
