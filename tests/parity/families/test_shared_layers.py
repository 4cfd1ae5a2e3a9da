"""Every layer of the table three times in one model, traced once, against Flax's."""

import pytest

flax = pytest.importorskip("flax")

import flax.linen as peer_nn  # noqa: E402
import jax  # noqa: E402
from tests.families.row import randomised  # noqa: E402
from tests.families.table import ROWS as TABLE  # noqa: E402
from tests.families.thrice import everything_is_shared, thrice  # noqa: E402, F401, a fixture
from tests.tolerance import assert_close  # noqa: E402

import ramie.linen as nn  # noqa: E402

ROWS = [row for row in TABLE if row.peer]
# Their layer is made around them, so it lies elsewhere and is not shared.
AROUND = ("weight_norm", "spectral_norm")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_layers_that_are_traced_once_give_the_results_of_flax(row, everything_is_shared):  # noqa: F811
    ours, theirs = thrice(nn, row), thrice(peer_nn, row)
    variables = randomised(ours.init(row.keys(), *row.arguments()))
    want = jax.jit(lambda v, *a: row.apply(theirs, v, *a))(variables, *row.arguments())
    with nn.share_traces():
        got = jax.jit(lambda v, *a: row.apply(ours, v, *a))(variables, *row.arguments())
    assert bool(everything_is_shared) is not row.name.startswith(AROUND)
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    jax.tree_util.tree_map(assert_close, got, want)
