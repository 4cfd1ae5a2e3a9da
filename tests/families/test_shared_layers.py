"""Every layer of the table, several times in one model: traced once, it gives the same bits."""

from typing import Any

import jax
import pytest
from tests.families.row import randomised
from tests.families.table import ROWS
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie.linen.machinery import sharing

# Their layer is made around them, so it lies elsewhere and is not shared.
AROUND = ("weight_norm", "spectral_norm")

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


class Thrice(nn.Module):
    row: Any

    @nn.compact
    def __call__(self, *args):
        return [self.row.make(nn)(*args, **self.row.kwargs) for _ in range(3)]


@pytest.fixture
def everything_is_shared(monkeypatch):
    """Share single layers too, and return the programs that are made."""
    made = []

    class Noted(sharing._Shared):
        def __init__(self, call, *rest):
            super().__init__(call, *rest)
            made.append(type(call.module).__name__)

    monkeypatch.setattr(sharing, "_FEWEST_VARIABLES", 0)
    monkeypatch.setattr(sharing, "_is_plain", lambda cls: True)
    monkeypatch.setattr(sharing, "_Shared", Noted)
    return made


@every_row
def test_layers_that_are_traced_once_give_the_same_bits(row, everything_is_shared):
    model = Thrice(row)
    variables = randomised(model.init(row.keys(), *row.arguments()))

    def apply(variables, *args):
        return row.apply(_WithoutSettings(model), variables, *args)

    want = jax.jit(lambda *a: apply(*a))(variables, *row.arguments())
    assert not everything_is_shared
    with nn.share_traces():
        got = jax.jit(lambda *a: apply(*a))(variables, *row.arguments())
    assert bool(everything_is_shared) is not row.name.startswith(AROUND)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    jax.tree_util.tree_map(assert_exact, got, want)


class _WithoutSettings:
    """A model whose layers take the keyword arguments of the row themselves."""

    def __init__(self, model):
        self.model = model

    def apply(self, variables, *args, rngs, mutable, **kwargs):
        return self.model.apply(variables, *args, rngs=rngs, mutable=mutable)
