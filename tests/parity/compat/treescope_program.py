"""Models as treescope shows them; `test_packages` runs it on Flax and on Ramie."""

import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import treescope
from flax import nnx


class Model(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(2, 3, rngs=rngs)
        self.state = nnx.BatchStat(jnp.zeros(3))


def names(value):
    """List the names that stand in the picture."""
    return sorted(set(re.findall(r"\b(\w+)=", treescope.render_to_text(value))))


def main():
    found = {"library": nn.Module.__module__.partition(".")[0]}
    model = Model(nnx.Rngs(0))
    zeros = nn.initializers.zeros  # how others print is a library's own
    found["linen"] = names(nn.Conv(3, (2, 2), kernel_init=zeros, name="layer"))
    found["nested"] = names(nn.Sequential([nn.Dense(3, kernel_init=zeros), nn.Dropout(0.5)]))
    found["variables"] = names(nn.Dense(3).init(jax.random.key(0), jnp.ones((1, 2))))
    found["nnx"] = names(model)
    found["param"] = names(model.first.kernel)
    print(json.dumps(found))


main()
