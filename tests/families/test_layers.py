"""What must hold for every layer of the table, whatever it computes."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.families.row import prepared
from tests.families.table import ROWS
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import serialization

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
typed_rows = pytest.mark.parametrize("row", [r for r in ROWS if r.dtypes], ids=lambda row: row.name)

# Compiling an init costs seconds, and all layers go one way: a few stand for the rest.
COMPILED_INIT = {"dense", "dense_general_axes", "conv", "batch_norm", "attention"}


def _same(check, got, want, *more):
    assert jax.tree_util.tree_structure(got) == jax.tree_util.tree_structure(want)
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        check(a, b, *more)


@every_row
def test_eager_and_compiled_calls_agree(row):
    module, variables = prepared(row)
    compiled = jax.jit(lambda v, *x: row.apply(module, v, *x))
    _same(assert_close, compiled(variables, *row.arguments()), row.apply(module, variables))


@every_row
def test_debugging_switches_change_no_bit(row):
    module, variables = prepared(row)
    want = row.apply(module, variables)
    with jax.disable_jit():
        plain = row.apply(module, variables)
    with jax.debug_nans(True):
        checked = row.apply(module, variables)
    _same(assert_close if row.loops else assert_exact, plain, want)
    _same(assert_exact, checked, want)


@every_row
def test_init_traced_gives_the_same_variables(row):
    _, want = prepared(row)
    traced = jax.eval_shape(lambda: row.init(nn))
    assert jax.tree_util.tree_map(lambda x: (x.shape, x.dtype), traced) == (
        jax.tree_util.tree_map(lambda x: (x.shape, x.dtype), want)
    )
    if row.name in COMPILED_INIT:
        _same(assert_close, jax.jit(lambda: row.init(nn))(), row.init(nn))


@every_row
def test_numpy_arrays_are_arrays(row):
    module, variables = prepared(row)
    inputs = jax.tree_util.tree_map(np.asarray, row.arguments())
    numpy_variables = jax.tree_util.tree_map(np.asarray, variables)
    want = row.apply(module, variables)
    _same(assert_exact, row.apply(module, numpy_variables, *inputs), want)


@every_row
def test_rank_promotion_is_never_relied_upon(row):
    module, variables = prepared(row)
    with jax.numpy_rank_promotion("raise"):
        row.apply(module, variables)
        jax.make_jaxpr(lambda v: row.apply(module, v))(variables)


@every_row
def test_a_pickled_module_is_the_same_module(row):
    module, variables = prepared(row)
    again = pickle.loads(pickle.dumps(module))
    assert again == module
    assert hash(again) == hash(module)
    assert repr(again) == repr(module)
    _same(assert_exact, row.apply(again, variables), row.apply(module, variables))


@every_row
def test_variables_survive_their_bytes(row):
    _, variables = prepared(row)
    empty = jax.tree_util.tree_map(jnp.zeros_like, variables)
    restored = serialization.from_bytes(empty, serialization.to_bytes(variables))
    _same(assert_exact, restored, variables)


@every_row
def test_gradients_are_finite_and_reach_every_parameter(row):
    module, variables = prepared(row)
    if not row.differentiable or "params" not in variables:
        pytest.skip("nothing to differentiate")

    def loss(params):
        out = row.apply(module, {**variables, "params": params})
        leaves = jax.tree_util.tree_leaves(out)
        return sum(jnp.sum(jnp.sin(x)) for x in leaves if jnp.issubdtype(x.dtype, jnp.floating))

    for leaf in jax.tree_util.tree_leaves(jax.jit(jax.grad(loss))(variables["params"])):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


@typed_rows
def test_dtype_is_that_of_the_result_and_not_of_the_parameters(row):
    dtype = jnp.bfloat16
    module = row.make(nn, dtype=dtype)
    _, variables = prepared(row)
    out = jax.eval_shape(lambda v: row.apply(module, v), variables)
    result = out[0] if row.mutable else out
    assert {x.dtype for x in jax.tree_util.tree_leaves(result)} == {jnp.dtype(dtype)}
    params = jax.eval_shape(lambda: row.init(nn, dtype=dtype)).get("params", {})
    assert {x.dtype for x in jax.tree_util.tree_leaves(params)} <= {jnp.dtype("float32")}


@typed_rows
def test_param_dtype_is_that_of_the_parameters(row):
    params = jax.eval_shape(lambda: row.init(nn, param_dtype=jnp.bfloat16)).get("params", {})
    assert {x.dtype for x in jax.tree_util.tree_leaves(params)} <= {jnp.dtype(jnp.bfloat16)}
