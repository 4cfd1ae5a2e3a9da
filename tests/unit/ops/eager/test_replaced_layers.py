"""Layers notice that another library replaced a function of JAX while a model runs."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tests.tolerance import assert_close, assert_exact

import ramie.linen as nn
from ramie import nnx
from ramie.core.scope import initialise
from ramie.ops import recurrent
from ramie.ops.attention import dot_product
from ramie.ops.drawing import sampling

X = jax.random.normal(jax.random.key(1), (2, 5, 8))


def bent(x):
    """Change numbers, smoothly: rounding, as in quantisation, would tell last bits apart."""
    return jnp.sin(x)


@contextlib.contextmanager
def replaced(module, name, make):
    shipped = getattr(module, name)
    setattr(module, name, make(shipped))
    try:
        yield
    finally:
        setattr(module, name, shipped)


def _bent_product(shipped):
    return lambda a, b, *rest, **options: shipped(bent(a), bent(b), *rest, **options)


def _bent_einsum(shipped):
    def einsum(equation, *operands, **options):
        return shipped(equation, *map(bent, operands), **options)

    return einsum


def linen(module):
    """Return a function of the input that runs a module of Linen."""
    return nn.apply(lambda m, x: m(x), module), module.init(jax.random.key(0), X)


def call(layer, x=X):
    if isinstance(layer, tuple):
        apply, variables = layer
        return apply(variables, x)
    return layer(x)


def rngs():
    return nnx.Rngs(0)


LAYERS = {
    "dot_general": [
        lambda: linen(nn.Dense(3)),
        lambda: linen(nn.DenseGeneral((2, 3), axis=(1, 2))),
        lambda: linen(nn.RNN(nn.OptimizedLSTMCell(4))),
        lambda: linen(nn.MultiHeadDotProductAttention(num_heads=2)),
        lambda: nnx.Linear(8, 3, rngs=rngs()),
        lambda: nnx.LinearGeneral(8, 3, rngs=rngs()),
        lambda: nnx.Linear(8, 3, preferred_element_type=jnp.float32, rngs=rngs()),
        lambda: nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs()),
    ],
    "conv_general_dilated": [
        lambda: linen(nn.Conv(3, (2,))),
        lambda: linen(nn.Conv(3, (2,), padding="CIRCULAR")),
        lambda: nnx.Conv(8, 3, 2, rngs=rngs()),
        lambda: nnx.Conv(8, 3, 2, preferred_element_type=jnp.float32, rngs=rngs()),
    ],
    "einsum": [
        lambda: linen(nn.Einsum((8, 3), "abc,cd->abd")),
        lambda: linen(nn.MultiHeadDotProductAttention(num_heads=2)),
        lambda: nnx.Einsum("abc,cd->abd", (8, 3), rngs=rngs()),
        lambda: nnx.Einsum("abc,cd->abd", (8, 3), (3,), rngs=rngs()),
    ],
}
CASES = [(name, make) for name, makers in LAYERS.items() for make in makers]


@pytest.mark.parametrize("name, make", CASES)
def test_eager_and_traced_calls_see_a_replaced_function(name, make):
    module, bending = (jnp, _bent_einsum) if name == "einsum" else (lax, _bent_product)
    layer = make()
    plain = call(layer)
    with replaced(module, name, bending):
        eager = call(layer)
        traced = jax.jit(lambda x: call(layer, x))(X)
    assert float(jnp.max(jnp.abs(eager - plain))) > 0.001
    assert_close(eager, traced, "model")
    np.testing.assert_array_equal(call(layer), plain)


def test_a_layer_that_was_made_meanwhile_is_an_ordinary_one_afterwards():
    with replaced(lax, "dot_general", _bent_product):
        made = nnx.Linear(8, 3, rngs=rngs())
        changed = made(X)
    np.testing.assert_array_equal(made(X), nnx.Linear(8, 3, rngs=rngs())(X))
    assert float(jnp.max(jnp.abs(made(X) - changed))) > 0.001


def test_a_function_that_the_user_passes_stays():
    calls = []

    def own(*args, **kwargs):
        calls.append(args)
        return lax.dot_general(*args, **kwargs)

    layer = nnx.Linear(8, 3, dot_general=own, rngs=rngs())
    with replaced(lax, "dot_general", _bent_product):
        layer(X)
    assert len(calls) == 1


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_attention_asks_a_replaced_einsum_for_both_products(key_heads):
    query = jax.random.normal(jax.random.key(2), (2, 3, 4, 5))
    key, value = jax.random.normal(jax.random.key(3), (2, 2, 6, key_heads, 5))
    equations = []

    def noting(shipped):
        def einsum(equation, *operands, **options):
            equations.append(equation)
            return shipped(equation, *operands, **options)

        return einsum

    def attend():
        weights = dot_product.attention_weights(query, key)
        return dot_product.apply_weights(weights, value)

    plain = attend()
    with replaced(jnp, "einsum", noting):
        assert_close(attend(), plain)
    assert len(equations) == 2
    if key_heads == 4:
        assert equations == ["...qhd,...khd->...hqk", "...hqk,...khd->...qhd"]


def test_activations_of_cells_are_looked_up():
    x = jnp.ones(3)
    with replaced(jnp, "tanh", lambda shipped: lambda x: 10 * shipped(x)):
        assert_close(recurrent.simple_step(x, x, x), 10 * np.tanh(np.full(3, 2, np.float32)))
    assert_close(recurrent.simple_step(x, x, x), np.tanh(np.full(3, 2, np.float32)))


def test_loops_trace_again_what_they_kept():
    """A loop over the same function is traced once, but not with the functions of another day."""

    def body(i, x):
        return lax.mul(x, x)

    def run():
        return nnx.fori_loop(0, 1, body, jnp.full((), 3.0)).item()

    assert run() == 9.0
    with replaced(lax, "mul", lambda shipped: lambda a, b: shipped(shipped(a, b), b)):
        assert run() == 27.0
    assert run() == 9.0


def test_replaced_samplers_get_into_no_program():
    def draw():
        return nn.initializers.normal()(jax.random.key(0), (3, 2))

    with replaced(jax.random, "normal", lambda shipped: lambda *a, **k: 100 + shipped(*a, **k)):
        assert not sampling.is_direct()
        inside = draw()
    assert_close(draw(), inside)  # JAX's initializers do not ask there
    assert float(jnp.max(jnp.abs(draw()))) < 1


def test_zeros_of_another_library_are_used():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self):
            return self.variable("state", "count", jnp.zeros, (2,)).value

    assert initialise._NUMPY_ZEROS is jnp.zeros
    with replaced(jnp, "zeros", lambda shipped: lambda shape, dtype=None: shipped(shape) + 5):
        variables = Counter().init(jax.random.key(0))
    assert variables["state"]["count"].tolist() == [5.0, 5.0]


# NNX leaves all of attention to one function of JAX, as Flax does.
@pytest.mark.parametrize(
    "style, name", [("linen", "softmax"), ("nnx", "dot_product_attention")], ids=str
)
def test_attention_calls_the_function_of_jax_nn_that_is_there(style, name, monkeypatch):
    x = jnp.linspace(-1.0, 1.0, 24).reshape(2, 3, 4)
    if style == "linen":
        layer = nn.MultiHeadDotProductAttention(2)
        run = functools.partial(layer.apply, layer.init(jax.random.key(0), x))
    else:
        run = nnx.MultiHeadAttention(2, 4, decode=False, rngs=nnx.Rngs(0))
    plain, calls, shipped = run(x), [], getattr(jax.nn, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return shipped(*args, **kwargs)

    monkeypatch.setattr(jax.nn, name, counted)
    assert_close(run(x), plain, "model")
    assert len(calls) == 1
    monkeypatch.undo()
    assert_exact(run(x), plain)
