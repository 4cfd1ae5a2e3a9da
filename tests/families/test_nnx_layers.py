"""What must hold for every NNX layer of the table, whatever it computes."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.families.nnx_rows import ROWS, fresh, prepared
from tests.tolerance import assert_close, assert_exact

from ramie import linen, nnx


def _rows(rows):
    return pytest.mark.parametrize("row", rows, ids=lambda row: row.name)


every_row = _rows(ROWS)

# JAX cannot pickle its activations, which cells of recurrent layers hold.
PICKLED = [row for row in ROWS if "cell" not in row.name and not row.loops]

# Most operations are tried one by one with the layers of Linen.
SEEN_PLAINLY = [row for row in ROWS if row.name in ("attention_grouped", "gru_cell", "lora")]


def _same(check, got, want, *more):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        check(a, b, *more)


def _pure(layer):
    return nnx.to_pure_dict(nnx.state(layer, nnx.Not(nnx.RngState)))


@_rows([row for row in ROWS if row.linen is not None])
def test_numbers_are_those_of_the_linen_layer(row):
    layer, module = fresh(row), row.linen(linen)
    variables = row.variables(_pure(layer))
    kwargs = row.kwargs if row.linen_kwargs is None else row.linen_kwargs
    want, updates = module.apply(variables, *row.arguments(), mutable=["batch_stats"], **kwargs)
    _same(assert_exact if row.linen_exact else assert_close, row.call(layer), want)
    after = row.variables(_pure(layer))
    for collection, expected in updates.items():
        _same(assert_exact, after[collection], expected)


@every_row
def test_compiled_calls_agree_and_gradients_reach_every_parameter(row):
    layer, (graphdef, _) = fresh(row), prepared(row)
    _, params, rest = nnx.split(fresh(row), nnx.Param, ...)

    def call(params, rest, *x):
        model = nnx.merge(graphdef, params, rest, copy=True)
        out = row.call(model, *x)
        total = sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(out))
        return total, (out, _pure(model))

    transformed = jax.grad(call, has_aux=True) if row.differentiable else call
    gradients, results = jax.jit(transformed)(params, rest, *row.arguments())
    _same(assert_close, results, (row.call(layer), _pure(layer)), "model")
    for leaf in jax.tree.leaves(gradients) if row.differentiable else ():
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


@_rows(SEEN_PLAINLY)
def test_debugging_switches_and_numpy_arrays_change_no_bit(row):
    want = row.call(fresh(row))
    with jax.disable_jit():
        _same(assert_exact, row.call(fresh(row)), want)
    numbers = jax.tree.map(np.asarray, row.arguments())
    _same(assert_exact, row.call(fresh(row), *numbers), want)


@_rows(PICKLED)
def test_a_pickled_layer_is_the_same_layer(row):
    layer = fresh(row)
    again = pickle.loads(pickle.dumps(layer))
    assert nnx.graphdef(again) == nnx.graphdef(layer)
    assert repr(again) == repr(layer)
    _same(assert_exact, _pure(again), _pure(layer))


@_rows([row for row in ROWS if row.dtypes])
def test_dtypes_are_those_of_the_result_and_of_the_parameters(row):
    def outcome():
        layer = row.make(nnx, nnx.Rngs(0), dtype=jnp.bfloat16)
        low = row.make(nnx, nnx.Rngs(0), param_dtype=jnp.bfloat16)
        return row.call(layer), nnx.state(layer, nnx.Param), nnx.state(low, nnx.Param)

    results, params, low = jax.eval_shape(outcome)
    assert {x.dtype for x in jax.tree.leaves(results)} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in jax.tree.leaves(params)} <= {jnp.dtype("float32")}
    assert {x.dtype for x in jax.tree.leaves(low)} <= {jnp.dtype(jnp.bfloat16)}
