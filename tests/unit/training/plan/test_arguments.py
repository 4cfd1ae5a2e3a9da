"""Arguments of each kind: what they hold, and what of them is given away."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from ramie import nnx
from ramie.training.plan import plan


def _abstract(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


def test_arrays_of_each_dtype_are_counted_as_the_compiler_does():
    """Half bytes, and float64, which JAX makes float32 of."""
    arguments = {
        "half": _abstract(16, dtype=jnp.int4),
        "truth": _abstract(16, dtype=jnp.bool_),
        "pairs": _abstract(16, dtype=jnp.complex64),
        "small": _abstract(16, dtype=jnp.float8_e4m3fn),
        "wide": np.zeros(16),
        "none": _abstract(0, 3),
        "key": jax.eval_shape(lambda: jax.random.key(0)),
    }
    found = plan(
        lambda **given: given,
        topology="cpu:1",
        **arguments,
    )
    rows = {row.name: row.bytes for row in found.collections}
    assert rows == {
        "half": 8,
        "truth": 16,
        "pairs": 128,
        "small": 16,
        "wide": 64,
        "none": 0,
        "key": 8,
    }
    assert found.memory.arguments == sum(rows.values())


@pytest.mark.parametrize(("donate", "aliased"), [(-1, 256), (1, 256), (None, 0)])
def test_arguments_are_also_counted_from_the_end(donate, aliased):
    x = _abstract(8, 8)
    found = plan(lambda x, y: jnp.sin(x) + y, x, x, topology="cpu:1", donate=donate)
    assert found.memory.aliased == aliased


class Block(nnx.Module):
    def __init__(self, rngs):
        self.up = nnx.Linear(32, 64, rngs=rngs)
        self.down = nnx.Linear(64, 32, rngs=rngs)

    def __call__(self, x):
        return x + self.down(jnp.tanh(self.up(x)))


class Net(nnx.Module):
    def __init__(self, rngs):
        self.tower = nnx.Repeat(Block, 5, rngs=rngs, scan=True)
        self.head = nnx.Linear(32, 8, rngs=rngs)

    def __call__(self, x):
        return self.head(self.tower(x))


def _step(model, optimizer, x):
    loss, gradients = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


def test_what_a_step_donates_by_itself_is_seen_and_modules_in_loops_are_named():
    def make():
        model = Net(nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    model, optimizer = nnx.eval_shape(make)
    found = plan(
        nnx.jit(_step, donate="auto"),
        model,
        optimizer,
        _abstract(4096, 32),
        topology="cpu:2",
        specs=(None, None, P("data")),
    )
    parameters = 5 * (2 * 32 * 64 + 64 + 32) + 32 * 8 + 8
    # Parameters, two moments, and a counter each of Adam and of the optimizer.
    assert found.memory.aliased == 3 * 4 * parameters + 2 * 4
    # What five layers keep for the backward pass, each from its own module, and from a line here.
    kept = [row for row in found.temporaries if row.shape == "f32[5,2048,64]"]
    assert kept and all(row.bytes == 5 * 2048 * 64 * 4 for row in kept)
    assert {row.path for row in kept} <= {"Net/tower/layers", "Net/tower/layers/up"}
    assert all(row.source.rpartition(":")[0].endswith("test_arguments.py") for row in kept)
    assert any(row.path.startswith("Net/tower") for row in found.collectives)
    # Without it nothing is given away.
    bare = plan(nnx.jit(_step), model, optimizer, _abstract(4096, 32), topology="cpu:2")
    assert bare.memory.aliased == 0
