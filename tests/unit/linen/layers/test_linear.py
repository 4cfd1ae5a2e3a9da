import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie import errors
from ramie.linen import linear as facade

KEY = jax.random.key(0)
X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)), jnp.float32)


class Outer(nn.Module):
    """A layer at the path /layer, so that messages have a path to name."""

    layer: nn.Module

    def __call__(self, *args):
        return self.layer(*args)


@pytest.mark.parametrize(
    ("layer", "inputs", "message"),
    [
        (nn.Dense(4), jnp.float32(1.0), "Dense at /layer.*scalar"),
        (nn.DenseGeneral(4, axis=5), X, r"DenseGeneral at /layer.*axis=5.*\(2, 3\)"),
        (nn.DenseGeneral(4, axis=-3), X, r"DenseGeneral at /layer.*axis=-3"),
        (nn.DenseGeneral(4, batch_dims=(1,)), X, "DenseGeneral at /layer.*consecutive"),
        (nn.Einsum((3, 4), "ab,bc"), X, "explicit.*Einsum at /layer"),
        (nn.Einsum((3, 4), "ab,bc,cd->ad"), X, "two operands.*Einsum at /layer"),
        (nn.Einsum((3, 4), "abc,bc->ac"), X, "names 3 axes"),
        (nn.Einsum((3, 4)), X, "einsum_str.*must be passed"),
        (nn.Embed(3, 4), X, "Embed at /layer.*float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_path(layer, inputs, message):
    with pytest.raises(ValueError, match=message):
        Outer(layer).init(KEY, inputs)


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (nn.Dense(4), X[:, :2]),
        (nn.DenseGeneral((4, 2)), X[:, :2]),
        (nn.DenseGeneral(4, axis=(0, 1)), X[:, :2]),
    ],
)
def test_a_kernel_made_for_another_input_is_named(layer, other):
    variables = Outer(layer).init(KEY, X)
    with pytest.raises(errors.ScopeParamShapeError, match=r"kernel.*/layer"):
        Outer(layer).apply(variables, other)


def test_promotion_and_products_can_be_replaced():
    seen = []

    def promote(*args, dtype=None):
        seen.append([None if a is None else a.shape for a in args])
        return [None if a is None else a.astype(jnp.bfloat16) for a in args]

    def product(*args, **kwargs):
        seen.append(sorted(kwargs))
        return lax.dot_general(*args, **kwargs)

    layer = nn.Dense(4, use_bias=False, promote_dtype=promote, dot_general=product)
    y, _ = layer.init_with_output(KEY, X)
    assert y.dtype == jnp.bfloat16
    assert seen == [[(2, 3), (3, 4), None], ["precision"]]


def test_a_product_may_be_a_module_with_variables_of_its_own():
    class Counting(nn.Module):
        @nn.compact
        def __call__(self, *args, **kwargs):
            calls = self.variable("calls", "count", lambda: 0)
            calls.value += 1
            return lax.dot_general(*args, **kwargs)

    for layer in (
        nn.Dense(4, dot_general_cls=Counting),
        nn.DenseGeneral(4, dot_general_cls=Counting),
    ):
        y, variables = layer.init_with_output(KEY, X)
        assert variables["calls"] == {"Counting_0": {"count": 1}}
        assert_exact(y, type(layer)(4).apply({"params": variables["params"]}, X))


def test_sequences_may_be_lists():
    want = nn.DenseGeneral((4, 2), axis=(0, 1)).init_with_output(KEY, X)
    got = nn.DenseGeneral([4, 2], axis=[0, 1]).init_with_output(KEY, X)
    assert_exact(got[0], want[0])


def test_no_features_sum_the_axis_with_weights():
    y, variables = nn.DenseGeneral(()).init_with_output(KEY, X)
    assert y.shape == (2,)
    assert variables["params"]["kernel"].shape == (3,)


def test_boxes_of_metadata_stay_around_reshaped_kernels():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "heads", None))
    variables = nn.DenseGeneral((4, 2), kernel_init=init).init(KEY, X)
    kernel = variables["params"]["kernel"]
    assert kernel.names == (None, "heads", None)
    assert kernel.value.shape == (3, 4, 2)
    plain = nn.DenseGeneral((4, 2)).init(KEY, X)["params"]["kernel"]
    assert_exact(kernel.value, plain)


def test_the_table_of_an_embedding_is_an_attribute():
    layer = nn.Embed(5, 3)
    variables = layer.init(KEY, jnp.array([1]))
    table = variables["params"]["embedding"]
    assert_exact(layer.bind(variables).embedding, table)
    assert_exact(layer.apply(variables, [1, 4]), table[jnp.array([1, 4])])
    logits = layer.apply(variables, table, method="attend")
    assert_exact(logits, jnp.dot(table, table.T))
    assert layer.apply(variables, table, method=layer.attend).shape == (5, 5)


def test_the_equation_of_an_einsum_is_given_once():
    layer = nn.Einsum((3, 4), "ab,bc->ac")
    with pytest.raises(ValueError, match="just once"):
        layer.init(KEY, X, "ab,bc->ac")
    variables = layer.init(KEY, X)
    late = nn.Einsum((3, 4)).apply(variables, X, "a b, b c -> a c")
    assert_exact(late, layer.apply(variables, X))


def test_the_facade_has_the_names_that_others_import():
    assert facade._canonicalize_tuple(3) == (3,)
    assert facade._normalize_axes((-1, 0), 3) == (0, 2)
    assert facade._conv_dimension_numbers((1, 2, 3)).lhs_spec == (0, 2, 1)
    assert facade.default_kernel_init is nn.initializers.lecun_normal()
    assert facade.canonicalize_padding(1, 2) == [(1, 1), (1, 1)]
