"""Layers whose variables were replaced: by arrays, NumPy arrays, references, other objects."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close

from ramie import nnx

X = jax.random.normal(jax.random.key(1), (2, 5, 4))


@jax.tree_util.register_pytree_node_class
class StandIn:
    """What a converter puts in place of a variable: it answers `[...]`, and takes values so."""

    def __init__(self, value):
        self.held = value

    def __getitem__(self, index):
        return self.held[index]

    def __setitem__(self, index, value):
        assert index is Ellipsis
        self.held = value

    def tree_flatten(self):
        return (self.held,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


class Quantised:
    """The same for whole numbers and a factor, and it cannot be changed."""

    def __init__(self, value):
        self.factor = jnp.max(jnp.abs(value)) + 1e-6
        self.parts = value / self.factor

    def __getitem__(self, index):
        return (self.parts * self.factor)[index]


REPLACEMENTS = {
    "array": lambda value: value,
    "NumPy": np.asarray,
    "reference": lambda value: jax.new_ref(value) if value.ndim else value,
    "stand-in": StandIn,
}

LAYERS = {
    "Linear": lambda rngs: nnx.Linear(4, 3, rngs=rngs),
    "LinearGeneral": lambda rngs: nnx.LinearGeneral(4, (3, 2), rngs=rngs),
    "Einsum": lambda rngs: nnx.Einsum("...a,ab->...b", (4, 3), (3,), rngs=rngs),
    "Embed": lambda rngs: nnx.Embed(7, 3, rngs=rngs),
    "Conv": lambda rngs: nnx.Conv(4, 3, (2,), rngs=rngs),
    "ConvTranspose": lambda rngs: nnx.ConvTranspose(4, 3, (2,), rngs=rngs),
    "BatchNorm": lambda rngs: nnx.BatchNorm(4, rngs=rngs),
    "BatchNorm, evaluated": lambda rngs: nnx.BatchNorm(4, use_running_average=True, rngs=rngs),
    "LayerNorm": lambda rngs: nnx.LayerNorm(4, rngs=rngs),
    "RMSNorm": lambda rngs: nnx.RMSNorm(4, rngs=rngs),
    "GroupNorm": lambda rngs: nnx.GroupNorm(4, 2, rngs=rngs),
    "InstanceNorm": lambda rngs: nnx.InstanceNorm(4, rngs=rngs),
    "PReLU": lambda rngs: nnx.PReLU(),
    "LoRA": lambda rngs: nnx.LoRA(4, 2, 3, rngs=rngs),
    "LoRALinear": lambda rngs: nnx.LoRALinear(4, 3, lora_rank=2, rngs=rngs),
    "MultiHeadAttention": lambda rngs: nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs),
    "RNN": lambda rngs: nnx.RNN(nnx.GRUCell(4, 3, rngs=rngs)),
    "LSTM": lambda rngs: nnx.RNN(nnx.OptimizedLSTMCell(4, 3, rngs=rngs)),
    "RoPE": lambda rngs: nnx.RoPE(embedding_size=4, max_seq_len=5),
}


def _replace(layer, replacement):
    """Put something else in the place of all variables but those of random streams."""
    for _, node in nnx.iter_graph(layer):
        if not isinstance(node, nnx.Module):
            continue
        for name, held in list(vars(node).items()):
            if isinstance(held, nnx.Variable):
                setattr(node, name, nnx.data(replacement(held[...])))


def _input(name):
    return jnp.arange(5) if name == "Embed" else X


@pytest.mark.parametrize("kind", REPLACEMENTS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_works_with_what_is_in_place_of_its_variables(name, kind):
    layer, expected = (LAYERS[name](nnx.Rngs(0)) for _ in range(2))
    _replace(layer, REPLACEMENTS[kind])
    assert not isinstance(layer, nnx.Linear) or not isinstance(layer.kernel, nnx.Variable)
    assert_close(layer(_input(name)), expected(_input(name)))
    assert_close(layer(_input(name)), expected(_input(name)))


@pytest.mark.parametrize("name", ["Linear", "Conv", "LayerNorm", "BatchNorm, evaluated", "LoRA"])
def test_what_cannot_be_changed_can_be_read(name):
    layer, expected = (LAYERS[name](nnx.Rngs(0)) for _ in range(2))
    _replace(layer, Quantised)
    assert_close(layer(X), expected(X))


@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_running_statistics_move_in_what_stands_there(kind):
    layer, expected = (LAYERS["BatchNorm"](nnx.Rngs(0)) for _ in range(2))
    first = np.asarray(expected.mean)
    given = REPLACEMENTS[kind](expected.mean[...])
    layer.mean, layer.var = nnx.data(given), nnx.data(REPLACEMENTS[kind](expected.var[...]))
    layer(X), expected(X)
    assert_close(np.asarray(layer.mean[...]), np.asarray(expected.mean))
    assert_close(np.asarray(layer.var[...]), np.asarray(expected.var))
    if kind == "NumPy":
        assert_close(given, first)  # the caller's array stays as it was


@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_a_cache_to_decode_with_may_be_replaced(kind):
    layer, expected = (
        nnx.MultiHeadAttention(2, 4, decode=True, rngs=nnx.Rngs(0)) for _ in range(2)
    )
    for attention in (layer, expected):
        attention.init_cache((2, 5, 4))
    _replace(layer, REPLACEMENTS[kind])
    for step in range(3):
        one = X[:, step : step + 1]
        assert_close(layer(one), expected(one))


def test_a_number_in_place_of_a_bias():
    layer = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    expected = layer(X) + 0.5
    layer.bias = 0.5
    assert_close(layer(X), expected)


def test_inside_of_a_transformation():
    layer = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    expected = nnx.grad(lambda m: m(X).sum())(layer).kernel[...]
    layer.bias = nnx.data(np.zeros(3, np.float32))
    assert_close(nnx.grad(lambda m: m(X).sum())(layer).kernel[...], expected)
    assert_close(nnx.jit(lambda m: m(X))(layer), layer(X))


def test_a_kernel_of_another_width_decides_what_a_convolution_takes():
    layer = nnx.Conv(4, 4, (3,), rngs=nnx.Rngs(0))
    layer.kernel = nnx.Param(jnp.ones((3, 6, 4)))
    assert layer(jnp.ones((2, 8, 6))).shape == (2, 8, 4)
    with pytest.raises(ValueError, match="takes an input"):
        nnx.Conv(4, 4, (3,), rngs=nnx.Rngs(0))(jnp.ones((2, 8, 6)))
