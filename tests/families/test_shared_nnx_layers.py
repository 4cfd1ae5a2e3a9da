"""Every NNX layer of the table, several times in one model: traced once, it gives the same bits."""

import jax
import jax.numpy as jnp
import pytest
from tests.families.nnx_rows import ROWS, fresh
from tests.tolerance import assert_exact

from ramie import nnx
from ramie.nnx.modules import sharing

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


class Thrice(nnx.Module):
    def __init__(self, row):
        self.layers = nnx.List([fresh(row) for _ in range(3)])

    def __call__(self, row, *args):
        return [row.call(layer, *args) for layer in self.layers]


@pytest.fixture
def everything_is_shared(monkeypatch):
    """Share single layers too, and return the programs that are made."""
    made = []

    class Noted(sharing._Shared):
        def __init__(self, call, *rest):
            super().__init__(call, *rest)
            made.append(type(call.objects[0]).__name__)

    monkeypatch.setattr(sharing, "_FEWEST_VARIABLES", 0)
    monkeypatch.setattr(sharing, "_is_composed", lambda cls: True)
    monkeypatch.setattr(sharing, "_Shared", Noted)
    return made


def _data(x):
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if is_key else x


@every_row
def test_layers_that_are_traced_once_give_the_same_bits(row, everything_is_shared):
    def step(model, *args):
        if not row.differentiable:
            return model(row, *args)

        def loss(model):
            out = model(row, *args)
            return sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(out)), out

        return nnx.value_and_grad(loss, has_aux=True)(model)

    results = []
    for enable in (False, True):
        model = Thrice(row)
        out = nnx.jit(lambda *a: step(*a), share_traces=enable)(model, *row.arguments())
        results.append((out, nnx.state(model)))
        assert bool(everything_is_shared) is enable
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    for want, got in zip(*map(jax.tree.leaves, results), strict=True):
        assert_exact(_data(got), _data(want))
