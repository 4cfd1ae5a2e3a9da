"""Every NNX layer of the table against Flax's: attributes, parameters, keys, results, state."""

import inspect

import pytest

flax = pytest.importorskip("flax")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx as theirs  # noqa: E402
from tests.families.nnx_rows import ROWS  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

FOUND = [row for row in ROWS if hasattr(theirs, row.needs)]  # what both have
every_row = pytest.mark.parametrize("row", FOUND, ids=lambda row: row.name)


def _same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(assert_exact, got, want)


def _bits(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def _state(nnx, layer):
    return jax.tree.map(_bits, nnx.to_pure_dict(nnx.state(layer)))


def _kinds(nnx, layer):
    """Names and kinds, in the order of the attributes."""
    return [
        (name, type(value).__name__ if isinstance(value, nnx.Variable | nnx.Module) else None)
        for name, value in vars(layer).items()
        if not name.startswith("_")
    ]


@every_row
def test_layers_begin_as_in_flax(row):
    mine, other = (row.make(nnx, nnx.Rngs(0, params=1)) for nnx in (ours, theirs))
    assert _kinds(ours, mine) == _kinds(theirs, other)
    _same(_state(ours, mine), _state(theirs, other))
    counts = []
    for nnx in (ours, theirs):
        rngs = nnx.Rngs(0, params=1)
        row.make(nnx, rngs)
        counts.append({name: int(stream.count[...]) for name, stream in rngs.items()})
    assert counts[0] == counts[1]


# In Flax their calls store normalised weights, and the next call normalises these (docs/compat.md).
STORING = ("spectral_norm", "weight_norm")


@pytest.mark.parametrize(
    "row", [row for row in FOUND if row.name not in STORING], ids=lambda row: row.name
)
def test_calls_give_the_bits_of_flax_twice_and_leave_the_same_state(row):
    mine, other = row.layer(ours), row.layer(theirs)
    for _ in range(2):
        _same(row.call(mine), row.call(other))
    _same(_state(ours, mine), _state(theirs, other))


@pytest.mark.parametrize(
    "row", [row for row in FOUND if row.name in STORING], ids=lambda row: row.name
)
def test_weights_are_normalised_with_the_bits_of_flax_and_stay(row):
    mine, other = row.layer(ours), row.layer(theirs)
    before = [np.array(leaf) for leaf in jax.tree.leaves(ours.state(mine, ours.Param))]
    _same(row.call(mine), row.call(other))
    _same(*(jax.tree.leaves(n.state(m, n.BatchStat)) for n, m in ((ours, mine), (theirs, other))))
    for old, new in zip(before, jax.tree.leaves(ours.state(mine, ours.Param)), strict=True):
        assert_exact(new, old)


# What wraps a layer hands all further arguments to it, which Flax's wrappers refuse.
HANDING_ON = ("lora", "spectral_norm")


@every_row
def test_signatures_name_the_parameters_of_flax(row):
    mine, other = row.make(ours, ours.Rngs(0)), row.make(theirs, theirs.Rngs(0))
    for method in ("__init__", "__call__", "initialize_carry", "init_cache", "set_view", "attend"):
        if hasattr(other, method):
            expected, got = (
                [
                    (p.name, p.kind)
                    for p in inspect.signature(getattr(x, method)).parameters.values()
                ]
                for x in (other, mine)
            )
            if row.name in HANDING_ON and method == "__call__":
                unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
                got = [x for x in got if x in expected or x[1] not in unnamed]
            if not hasattr(theirs, "RoPE"):  # before 0.12.12
                got = [(name, kind) for name, kind in got if name != "input_positions"]
            assert got == expected, method


HALF = ("linear", "batch_norm", "batch_norm_evaluated", "layer_norm", "rms_norm", "attention")


@pytest.mark.parametrize(
    "row", [row for row in FOUND if row.name in HALF], ids=lambda row: row.name
)
def test_half_precision_keeps_the_bits_of_flax(row):
    mine, other = (row.layer(nnx, dtype=jnp.bfloat16) for nnx in (ours, theirs))
    _same(row.call(mine), row.call(other))
    _same(_state(ours, mine), _state(theirs, other))
