import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_close, assert_exact

from ramie.ops import linear

RNG = np.random.default_rng(0)


def _array(*shape):
    return jnp.asarray(RNG.standard_normal(shape), jnp.float32)


@settings(max_examples=7, deadline=None)
@given(batch=st.lists(st.integers(0, 3), max_size=2), inner=st.integers(0, 4))
def test_dense_is_a_product_and_a_sum(batch, inner):
    x, kernel, bias = _array(*batch, inner), _array(inner, 3), _array(3)
    want = np.asarray(x, np.float64) @ np.asarray(kernel, np.float64) + np.asarray(bias)
    assert_close(linear.dense(x, kernel, bias), want.astype(np.float32))


def test_dense_hands_a_given_product_what_lax_would_get():
    calls = []

    def dot_general(x, kernel, dimensions, precision):
        calls.append((dimensions, precision))
        return jax.lax.dot_general(x, kernel, dimensions, precision=precision)

    x, kernel, bias = _array(2, 5, 3), _array(3, 4), _array(4)
    got = linear.dense(x, kernel, bias, precision="highest", dot_general=dot_general)
    assert calls == [((((2,), (0,)), ((), ())), "highest")]
    assert_exact(got, linear.dense(x, kernel, bias))


@pytest.mark.parametrize(
    ("axis", "batch_dims", "equation"),
    [
        ((2, 3), (), "bijk,jklm->bilm"),
        ((1,), (), "bijk,ilm->bjklm"),
        ((3,), (0, 1), "bijk,biklm->bijlm"),
        ((2, 3), (0,), "bijk,bjklm->bilm"),
    ],
)
def test_dense_general_is_the_einsum_it_stands_for(axis, batch_dims, equation):
    x = _array(2, 3, 4, 5)
    features = (6, 7)
    kernel = _array(*x.shape[: len(batch_dims)], *(x.shape[a] for a in axis), *features)
    bias = _array(*x.shape[: len(batch_dims)], *features)
    got = linear.dense_general(x, kernel, bias, axis=axis, batch_dims=batch_dims)
    product = np.einsum(equation, np.asarray(x), np.asarray(kernel))
    kept = product.ndim - bias.ndim
    spread = np.asarray(bias).reshape(
        bias.shape[: len(batch_dims)] + (1,) * kept + bias.shape[len(batch_dims) :]
    )
    assert_close(got, product + spread)
    own = linear.dense_general(
        x, kernel, bias, axis=axis, batch_dims=batch_dims, dot_general=jax.lax.dot_general
    )
    assert_exact(own, got)


@pytest.mark.parametrize(
    ("equation", "x", "kernel", "bias", "broadcast"),
    [
        ("abc,cde->abde", (3, 4, 5), (5, 6, 7), (6, 7), (1, 1, 6, 7)),
        ("abcd,eafc->bfed", (3, 4, 5, 6), (7, 3, 8, 5), (8, 7), (1, 8, 7, 1)),
        ("ab...,bc...->ac...", (3, 4, 6), (4, 5, 6), (5, 6), (1, 5, 6)),
        ("d...ab,bc...->ad...c", (8, 6, 7, 3, 4), (4, 5, 6, 7), (6, 7, 5), (1, 1, 6, 7, 5)),
        ("...a,...ab->...b", (2, 3, 4), (3, 4, 5), (3, 5), (1, 3, 5)),
        ("ab,bc->", (3, 4), (4, 5), (), ()),
    ],
)
def test_the_bias_of_an_einsum_has_the_axes_of_the_kernel(equation, x, kernel, bias, broadcast):
    plan = linear.einsum_plan(equation, x, kernel)
    assert (plan.bias_shape, plan.bias_broadcast) == (bias, broadcast)
    x, kernel, bias = _array(*x), _array(*kernel), _array(*bias)
    want = np.einsum(equation, np.asarray(x), np.asarray(kernel), optimize=True)
    want = want + np.asarray(bias).reshape(broadcast)
    assert_close(linear.einsum(x, kernel, bias, equation=equation), want.astype(np.float32))


def test_an_einsum_returns_the_type_it_is_asked_to_accumulate_in():
    x, kernel, bias = (a.astype(jnp.bfloat16) for a in (_array(2, 3), _array(3, 4), _array(4)))
    got = linear.einsum(x, kernel, bias, equation="ab,bc->ac", preferred_element_type=jnp.float32)
    assert got.dtype == jnp.float32


@pytest.mark.parametrize(
    ("equation", "message"),
    [("abc,bc->ac", "'abc' .* names 3 axes"), ("ab...,bc->ac", None), ("a...b...,bc->ac", "fit")],
)
def test_terms_must_fit_their_operands(equation, message):
    if message is None:
        assert linear.einsum_plan(equation, (2, 3), (3, 4)).bias_shape == (4,)
        return
    with pytest.raises(ValueError, match=message):
        linear.einsum_plan(equation, (2, 3), (3, 4))


def test_axes_are_counted_from_the_front_and_sorted():
    assert linear.normalize_axes((-1, 0), 3) == (0, 2)
    for wrong in (3, -4):
        with pytest.raises(ValueError, match=f"axis {wrong} does not exist"):
            linear.normalize_axes((wrong,), 3)


def test_lookup_reads_rows_and_marks_what_is_beyond():
    table = _array(3, 2)
    got = linear.embed_lookup(table, jnp.array([[0, 2], [-1, 3]]))
    assert_exact(got[0], table[jnp.array([0, 2])])
    assert_exact(got[1, 0], table[2])
    assert np.isnan(got[1, 1]).all()


def test_a_table_of_one_entry_has_it_for_every_index():
    table = _array(1, 2)
    assert_exact(linear.embed_lookup(table, jnp.array([0, 5])), jnp.concatenate([table, table]))


def test_attend_gives_a_logit_per_entry():
    table, query = _array(5, 4), _array(2, 3, 4)
    assert_close(linear.embed_attend(query, table), np.asarray(query) @ np.asarray(table).T)
