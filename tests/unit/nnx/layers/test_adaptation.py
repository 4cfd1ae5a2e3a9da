"""LoRA, dropout, PReLU and how parameters are made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import nnx
from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.parameters import drawn

X = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)


def test_lora_adds_a_product_to_a_module():
    rngs = nnx.Rngs(0)
    base = nnx.Linear(6, 4, rngs=rngs)
    layer = nnx.LoRA(6, 2, 4, base_module=base, rngs=rngs, a_metadata={"note": 1})
    assert_exact(layer(X), base(X))
    layer.lora_b[...] = jnp.ones((2, 4))
    assert_close(layer(X), np.asarray(base(X) + X @ layer.lora_a[...] @ layer.lora_b[...]))
    assert list(nnx.state(layer, nnx.LoRAParam)) == ["lora_a", "lora_b"]
    assert layer.lora_a.note == 1
    layer.base_module = nnx.data(3)
    with pytest.raises(ValueError, match="must be callable"):
        layer(X)


def test_lora_linear_is_both():
    layer = nnx.LoRALinear(6, 4, lora_rank=2, lora_param_type=nnx.Param, rngs=nnx.Rngs(0))
    layer.lora.lora_b[...] = jnp.ones((2, 4))
    want = X @ layer.kernel[...] + layer.bias[...][None] + layer.lora(X)
    assert_close(layer(X), np.asarray(want))


def test_dropout_draws_from_what_it_is_given():
    layer = nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=0))
    other = nnx.Dropout(0.5)
    want = layer(X)
    assert_exact(other(X, rngs=nnx.Rngs(0).fork()), want)
    assert_exact(other(X, rngs=nnx.Rngs(dropout=0).dropout.fork()), want)
    key = nnx.RngStream(0, tag="any").fork()()
    assert_exact(other(X, rngs=key), want)
    assert set(np.unique(np.asarray(want != 0))) == {False, True}
    assert other(X, deterministic=True) is X
    assert nnx.view(other, deterministic=True)(X) is X
    assert not np.any(nnx.Dropout(1.0)(X))


def test_dropout_that_lacks_something_says_so():
    with pytest.raises(ValueError, match="no `rngs` argument was provided to Dropout"):
        nnx.Dropout(0.5)(X)
    with pytest.raises(ValueError, match="No `deterministic` argument was provided"):
        nnx.Dropout(0.5, deterministic=None)(X)
    with pytest.raises(ValueError, match=r"^dropout_rate must be in the range"):
        nnx.Dropout(2.0)(X)
    with pytest.raises(TypeError, match="must be a Rngs, RngStream or None"):
        nnx.Dropout(0.5, rngs=3)
    with pytest.raises(TypeError, match="must be a Rngs, RngStream or jax"):
        nnx.Dropout(0.5)(X, rngs=3)


def test_prelu_keeps_positive_entries():
    layer = nnx.PReLU(0.25, negative_slope_metadata={"note": 1})
    assert_exact(layer(X), np.where(X >= 0, X, np.float32(0.25) * X))
    assert layer.negative_slope.note == 1


def test_layers_ask_their_own_function_for_a_dtype():
    asked = []

    def promote(args, /, *, dtype=None, inexact=True):
        asked.append((len(args), dtype))
        return promote_dtype(args, dtype=dtype, inexact=inexact)

    nnx.Linear(6, 4, promote_dtype=promote, rngs=nnx.Rngs(0))(X)
    nnx.BatchNorm(6, promote_dtype=promote, dtype=jnp.float16, rngs=nnx.Rngs(0))(X)
    assert asked == [(3, None), (5, jnp.float16)]


@pytest.mark.parametrize(
    "init",
    [
        nnx.initializers.zeros,
        nnx.initializers.constant(2.5),
        nnx.initializers.constant(np.array([3.0])),
    ],
)
def test_keys_that_nobody_reads_are_counted(init):
    stream = nnx.RngStream(0, tag="params")
    got = drawn(stream, init, (1,), jnp.float32)
    assert_exact(got, init(jax.random.key(0), (1,), jnp.float32))
    assert int(stream.count[...]) == 1
    with pytest.raises(ValueError, match="streams side by side"):
        drawn(stream.split(2), init, (1,), jnp.float32)


class Shifted(nnx.Module):
    """A layer that takes more than its input."""

    def __init__(self):
        self.inner = nnx.Linear(3, 4, rngs=nnx.Rngs(0))

    def __call__(self, x, shift=0.0, scale=1.0, *, flip=False):
        y = scale * self.inner(x) + shift
        return -y if flip else y


def wrapped(name):
    if name == "LoRA":
        layer = nnx.LoRA(3, 2, 4, base_module=Shifted(), rngs=nnx.Rngs(1))
        return lambda x, *args, **kwargs: layer(x, *args, **kwargs)
    if name == "WeightNorm":
        layer = nnx.WeightNorm(Shifted(), rngs=nnx.Rngs(1))
        return lambda x, *args, **kwargs: layer(x, *args, **kwargs)
    layer = nnx.SpectralNorm(Shifted(), update_stats=False, rngs=nnx.Rngs(1))
    # Flax has `update_stats` in the second place.
    return lambda x, *args, **kwargs: layer(x, None, *args, **kwargs)


@pytest.mark.parametrize("name", ["LoRA", "WeightNorm", "SpectralNorm"])
def test_what_wraps_a_layer_hands_its_arguments_on(name):
    layer, x = wrapped(name), jnp.ones((2, 3))
    y = layer(x)
    assert_close(layer(x, 2.0, 3.0), 3 * y + 2, "model")
    assert_close(layer(x, 2.0, scale=3.0, flip=True), -(3 * y + 2), "model")


def test_a_rate_of_dropout_may_follow_a_schedule():
    layer = nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=0))
    want = nnx.clone(layer)(X)

    @nnx.jit
    def scheduled(layer, x, rate):
        layer.rate = nnx.data(rate)
        return layer(x)

    assert_close(scheduled(layer, X, 0.5), want)
