"""Every layer of the table against Flax's: variables, results, traced programs and bytes."""

import pytest

flax = pytest.importorskip("flax")

import flax.linen as peer_nn  # noqa: E402
import flax.serialization as peer_serialization  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from tests.families.row import prepared, randomised  # noqa: E402
from tests.families.table import ROWS as TABLE  # noqa: E402
from tests.tolerance import assert_close, assert_exact  # noqa: E402

import ramie.linen as nn  # noqa: E402
from ramie import serialization  # noqa: E402

ROWS = [row for row in TABLE if row.peer]
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
typed_rows = pytest.mark.parametrize("row", [r for r in ROWS if r.dtypes], ids=lambda row: row.name)


def _same(check, got, want):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        check(a, b)


def _names(tree):
    """The names in the order they are stored, which bytes depend on."""
    return {k: _names(v) for k, v in tree.items()} if isinstance(tree, dict) else None


def _in_order(tree):
    return str(_names(tree))


@every_row
def test_initial_variables_are_bit_for_bit_those_of_flax(row):
    got, want = row.init(nn), row.init(peer_nn)
    assert _in_order(got) == _in_order(want)
    _same(assert_exact, got, want)


@every_row
def test_bytes_are_those_of_flax_and_each_restores_the_other(row):
    ours, theirs = row.init(nn), row.init(peer_nn)
    data = serialization.to_bytes(ours)
    assert data == peer_serialization.to_bytes(theirs)
    empty = jax.tree_util.tree_map(jnp.zeros_like, ours)
    _same(assert_exact, serialization.from_bytes(empty, data), ours)
    _same(assert_exact, peer_serialization.from_bytes(empty, data), ours)


@every_row
def test_eager_results_are_those_of_flax(row):
    module, variables = prepared(row)
    got, want = row.apply(module, variables), row.apply(row.make(peer_nn), variables)
    _same(assert_exact if row.exact else assert_close, got, want)


@every_row
def test_compiled_results_are_those_of_flax(row):
    module, variables = prepared(row)
    peer = row.make(peer_nn)
    got = jax.jit(lambda v, *x: row.apply(module, v, *x))(variables, *row.arguments())
    want = jax.jit(lambda v, *x: row.apply(peer, v, *x))(variables, *row.arguments())
    _same(assert_close, got, want)


@typed_rows
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_results_are_those_of_flax(row, dtype):
    _, variables = prepared(row)
    fields = {"dtype": dtype, "param_dtype": dtype}
    low = jax.tree_util.tree_map(
        lambda x: x.astype(dtype) if x.dtype == jnp.float32 else x, variables.get("params")
    )
    variables = {**variables, "params": low} if low else variables
    got = row.apply(row.make(nn, **fields), variables)
    _same(assert_exact, got, row.apply(row.make(peer_nn, **fields), variables))


@pytest.mark.parametrize("name", ["dense", "dense_general", "conv", "embed", "attention"])
def test_low_precision_variables_are_those_of_flax(name):
    row = next(row for row in ROWS if row.name == name)
    fields = {"param_dtype": jnp.bfloat16}
    _same(assert_exact, row.init(nn, **fields), row.init(peer_nn, **fields))


def _equations(jaxpr):
    """Count the equations of a program, nested ones in place of the calls that hold them."""
    count = 0
    for equation in jaxpr.eqns:
        inner = [
            p
            for value in equation.params.values()
            for p in (value if isinstance(value, list | tuple) else (value,))
            if hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ]
        count += sum(_equations(getattr(p, "jaxpr", p)) for p in inner) if inner else 1
    return count


@every_row
def test_traced_programs_are_no_longer_than_those_of_flax(row):
    module, variables = prepared(row)
    peer = row.make(peer_nn)
    inputs = row.arguments()
    got = jax.make_jaxpr(lambda v, *x: row.apply(module, v, *x))(variables, *inputs)
    want = jax.make_jaxpr(lambda v, *x: row.apply(peer, v, *x))(variables, *inputs)
    assert _equations(got.jaxpr) <= _equations(want.jaxpr)


@every_row
def test_trained_variables_of_flax_give_the_same_results(row):
    module, _ = prepared(row)
    peer = row.make(peer_nn)
    variables = randomised(row.init(peer_nn))
    _same(assert_close, row.apply(module, variables), row.apply(peer, variables))
