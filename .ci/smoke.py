"""What an installed Ramie must do at least: a step in both styles, a checkpoint, Flax's name."""

import tempfile
from importlib.metadata import distribution
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import ramie
import ramie.compat
import ramie.linen as nn
from ramie import checkpoint, nnx

assert "site-packages" in ramie.__file__, f"not the installed one: {ramie.__file__}"
files = {str(file) for file in distribution("ramie").files or ()}
assert {"ramie/py.typed", "ramie/linen/__init__.pyi"} <= files
assert any(name.endswith("licenses/LICENSE") for name in files)

x, y = jnp.linspace(-1, 1, 8)[:, None], jnp.ones((8, 1))
net = nn.Dense(1)
variables = net.init(jax.random.key(0), x)
grads = jax.grad(lambda v: ((net.apply(v, x) - y) ** 2).mean())(variables)
assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))

model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)


@nnx.jit
def step(model, optimizer):
    """Train, and return the loss."""
    loss, grads = nnx.value_and_grad(lambda m: ((m(x) - y) ** 2).mean())(model)
    optimizer.update(model, grads)
    return loss


assert step(model, optimizer) > step(model, optimizer)
with tempfile.TemporaryDirectory() as folder:
    checkpoint.save(folder, variables, 1)
    again = checkpoint.restore(folder, variables)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), variables, again))
    assert list(Path(folder).iterdir())

ramie.compat.install()
import flax.linen  # noqa: E402

assert flax.linen.Dense is nn.Dense
