"""Every layer of the table, several times in one model: traced once, it gives the same bits."""

import jax
import pytest
from tests.families.row import randomised
from tests.families.table import ROWS
from tests.families.thrice import everything_is_shared, thrice  # noqa: F401, a fixture
from tests.tolerance import assert_exact

import ramie.linen as nn

# Their layer is made around them, so it lies elsewhere and is not shared.
AROUND = ("weight_norm", "spectral_norm")

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@every_row
def test_layers_that_are_traced_once_give_the_same_bits(row, everything_is_shared):  # noqa: F811
    model = thrice(nn, row)
    variables = randomised(model.init(row.keys(), *row.arguments()))

    def apply(variables, *args):
        return row.apply(model, variables, *args)

    want = jax.jit(lambda *a: apply(*a))(variables, *row.arguments())
    assert not everything_is_shared
    with nn.share_traces():
        got = jax.jit(lambda *a: apply(*a))(variables, *row.arguments())
    assert bool(everything_is_shared) is not row.name.startswith(AROUND)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    jax.tree_util.tree_map(assert_exact, got, want)
