"""RoPE and attention with it against Flax's, bit for bit; Flax has them since 0.12.12."""

import functools

import pytest

flax = pytest.importorskip("flax")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

if not hasattr(theirs, "RoPE"):
    pytest.skip("RoPE came with Flax 0.12.12", allow_module_level=True)

# Flax's own layer reads its tables in the deprecated way.
pytestmark = pytest.mark.filterwarnings("ignore:'.value' access is now deprecated")


def _x(*shape, dtype=jnp.float32, seed=0):
    return jax.random.normal(jax.random.key(seed), shape).astype(dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 64, 32), (3, 2), (0, 4)])
@pytest.mark.parametrize("theta", [10000.0, 500.0])
@pytest.mark.parametrize("sizes", [False, True])
def test_vectors_are_turned_alike(shape, dtype, theta, sizes):
    x = _x(*shape, dtype=dtype)
    tables = {"embedding_size": shape[-1], "max_seq_len": shape[-2] + 3} if sizes else {}
    mine, other = (nnx.RoPE(theta, **tables) for nnx in (ours, theirs))
    positions = 2 * jnp.arange(shape[-2]) + 1
    for given in ((), (positions,), (positions + 0.5,)):
        assert_exact(mine(x, *given), other(x, *given))
        assert_exact(jax.jit(mine)(x, *given), jax.jit(other)(x, *given))
    if sizes:
        assert_exact(mine.cached_sin[...], other.cached_sin[...])
        assert_exact(mine.cached_cos[...], other.cached_cos[...])
        assert type(mine.cached_sin) is ours.Variable


def test_derivatives_are_the_same():
    x = _x(2, 5, 8)

    def gradient(rope):
        return jax.grad(lambda x: (rope(x) ** 3).sum())(x)

    assert_exact(gradient(ours.RoPE()), gradient(theirs.RoPE()))


@pytest.mark.parametrize(
    "settings",
    [{}, {"is_causal": True}, {"dropout_rate": 0.5}, {"dropout_rate": 0.5, "deterministic": True}],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_attention_is_the_same(settings, dtype, kv_heads):
    query, key = _x(2, 5, 4, 16, dtype=dtype), _x(2, 6, kv_heads, 16, dtype=dtype, seed=1)
    dropout_rng = jax.random.key(3)

    def run(nnx, query, key):
        return nnx.dot_product_attention_with_rope(
            query, key, key, rope=nnx.RoPE(), dropout_rng=dropout_rng, **settings
        )

    assert_exact(run(ours, query, key), run(theirs, query, key))
    compiled = (jax.jit(functools.partial(run, nnx))(query, key) for nnx in (ours, theirs))
    assert_exact(*compiled)


@pytest.mark.parametrize("settings", [{}, {"num_kv_heads": 1}, {"normalize_qk": True}])
def test_layers_with_it_are_the_same(settings):
    def run(nnx):
        attend = functools.partial(nnx.dot_product_attention_with_rope, rope=nnx.RoPE())
        layer = nnx.MultiHeadAttention(
            2, 8, attention_fn=attend, decode=False, rngs=nnx.Rngs(0), **settings
        )
        # Heads of four features: both ways to compute attention scale by a power of two.
        return layer(_x(2, 5, 8), is_causal=True)

    assert_exact(run(ours), run(theirs))


@pytest.mark.parametrize(
    "sizes", [{"embedding_size": 8}, {"max_seq_len": 8}, {"embedding_size": 7, "max_seq_len": 8}]
)
def test_sizes_are_refused_alike(sizes):
    said = []
    for nnx in (ours, theirs):
        with pytest.raises(ValueError, match="embedding_size") as caught:
            nnx.RoPE(**sizes)
        said.append(str(caught.value))
    assert said[0].startswith(said[1].rstrip("."))


@pytest.mark.parametrize("positions", [jnp.arange(4), jnp.arange(6)])
def test_positions_that_do_not_fit_are_refused_alike(positions):
    for nnx in (ours, theirs):
        with pytest.raises(ValueError, match="`input_positions` must have the same seq_len"):
            nnx.RoPE()(_x(5, 8), positions)


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5])
@pytest.mark.parametrize("settings", [{}, {"deterministic": True}])
def test_rates_of_dropout_are_refused_alike(rate, settings):
    x = _x(1, 3, 2, 4)
    for nnx in (ours, theirs):
        with pytest.raises(ValueError, match=r"^dropout_rate must be in the range \[0, 1\), got"):
            nnx.dot_product_attention(x, x, x, dropout_rate=rate, **settings)
        with pytest.raises(ValueError, match=r"^dropout_rng is required"):
            nnx.dot_product_attention(x, x, x, dropout_rate=0.5)


@pytest.mark.parametrize("settings", [{}, {"num_kv_heads": 1}])
def test_decoding_while_causal_gives_the_same_steps(settings):
    def run(nnx):
        layer = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0), **settings)
        x = _x(2, 5, 8)
        layer.init_cache(x.shape)
        steps = [layer(x[:, i : i + 1], decode=True, is_causal=True) for i in range(5)]
        return jnp.concatenate(steps, 1)

    assert_exact(run(ours), run(theirs))
