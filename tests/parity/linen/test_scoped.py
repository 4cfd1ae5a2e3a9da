"""Layers on bare scopes: the same parameters and outputs as `flax.core.nn`."""

import jax
import jax.numpy as jnp
import pytest

flax_core = pytest.importorskip("flax.core")
pytest.importorskip("flax.core.nn")  # not imported by its package

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import core  # noqa: E402

X = jax.random.normal(jax.random.key(1), (2, 3, 5, 4))
HALF = X.astype(jnp.bfloat16)
INTS = jnp.arange(12).reshape(3, 4)
QKV = [jax.random.normal(jax.random.key(i), (2, 6, 2, 4)) for i in range(3)]
QKV_2D = [jax.random.normal(jax.random.key(i), (2, 3, 2, 2, 4)) for i in range(3)]
HALF_QKV = [x.astype(jnp.bfloat16) for x in QKV]
SEQUENCE = jax.random.normal(jax.random.key(2), (2, 3, 8))
REAL = jnp.array([[1, 1, 0], [1, 0, 0]], bool)
SEGMENTS = jnp.array([[1, 1, 2], [1, 2, 2]])
KEY = jax.random.key(7)

pytestmark = pytest.mark.usefixtures("lenient_ranks")


@pytest.fixture
def lenient_ranks():
    """Let Flax's layer_norm broadcast by rank."""
    with jax.numpy_rank_promotion("allow"):
        yield


# Fresh ones and zeros would hide in which order scale and bias enter.
RANDOM = {"scale_init": jax.nn.initializers.normal(), "bias_init": jax.nn.initializers.normal()}


def attend(**kwargs):
    kwargs = {"bias_init": RANDOM["bias_init"], **kwargs}
    kv = kwargs.pop("kv", SEQUENCE)
    return lambda nn, s: nn.multi_head_dot_product_attention(s, SEQUENCE, kv, 2, **kwargs)


def table(nn, scope):
    embedding = nn.embedding(scope, 7, 4)
    return embedding.table, embedding.lookup(jnp.array([[1, -1], [0, 9]])), embedding.attend(X[0])


CALLS = {
    "dense": lambda nn, s: nn.dense(s, X, 3),
    "dense_general": lambda nn, s: nn.dense_general(s, X, (2, 3), axis=(1, -1), bias=False),
    "conv": lambda nn, s: nn.conv(s, X, 3, (3, 3), strides=(2, 2)),
    "conv_transpose": lambda nn, s: nn.conv_transpose(s, X, 3, (2, 2), strides=(2, 2)),
    "embedding": table,
    "batch_norm": lambda nn, s: nn.batch_norm(s, X, **RANDOM),
    "batch_norm of axes": lambda nn, s: nn.batch_norm(s, X, axis=(1, -1), kind="k", **RANDOM),
    "batch_norm, running": lambda nn, s: nn.batch_norm(s, X, True, scale=False),
    "batch_norm, half": lambda nn, s: nn.batch_norm(s, HALF, dtype=jnp.bfloat16, bias=False),
    "layer_norm": lambda nn, s: nn.layer_norm(s, X, **RANDOM),
    "layer_norm, half": lambda nn, s: nn.layer_norm(s, HALF, dtype=jnp.bfloat16, **RANDOM),
    "layer_norm, half to float": lambda nn, s: nn.layer_norm(s, HALF, **RANDOM),
    "layer_norm, integers": lambda nn, s: nn.layer_norm(s, INTS, bias=False, scale=False),
    "group_norm": lambda nn, s: nn.group_norm(s, X, num_groups=2, **RANDOM),
    "group_norm, half": lambda nn, s: nn.group_norm(s, HALF, 2, dtype=jnp.bfloat16, **RANDOM),
    "dropout": lambda nn, s: nn.dropout(s, X, 0.4),
    "dropout by key": lambda nn, s: nn.dropout(s, X, 0.4, rng=KEY),
    "dropout of nothing": lambda nn, s: (nn.dropout(s, X, 0.0), nn.dropout(s, X, 0.3, True)),
    "dropout of all": lambda nn, s: nn.dropout(s, X, 1.0),
    "attention": lambda nn, s: nn.dot_product_attention(s, *QKV),
    "attention, half": lambda nn, s: nn.dot_product_attention(s, *HALF_QKV, dtype=jnp.bfloat16),
    "attention, one of 2d": lambda nn, s: nn.dot_product_attention(s, *QKV_2D, axis=2),
    "attention, 2d turned": lambda nn, s: nn.dot_product_attention(s, *QKV_2D, axis=(2, 1)),
    "attention, dropout": lambda nn, s: nn.dot_product_attention(s, *QKV, dropout_rate=0.3),
    "attention, dropout apart": lambda nn, s: nn.dot_product_attention(
        s, *QKV_2D, axis=(1,), dropout_rate=0.3, broadcast_dropout=False, dropout_rng=KEY
    ),
    "heads": attend(),
    "heads of other sizes": attend(kv=None, qkv_features=6, out_features=5, bias=False),
    "heads, all masks": attend(
        causal_mask=True,
        padding_mask=REAL,
        key_padding_mask=~REAL,
        segmentation=SEGMENTS,
        key_segmentation=SEGMENTS[::-1],
    ),
    "heads, dropout": attend(dropout_rate=0.5),
}


def both(name, rngs):
    return (
        lib.init(lambda scope, lib=lib: CALLS[name](lib.nn, scope))(rngs)
        for lib in (flax_core, core)
    )


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree.map(assert_exact, got, want)


@pytest.mark.parametrize("name", CALLS)
def test_equal(name):
    (want, want_variables), (got, variables) = both(name, {"params": KEY, "dropout": KEY})
    assert_same(variables, want_variables)
    if name in ("dense", "dense_general", "conv", "conv_transpose"):
        assert_close(got, want)
    else:
        assert_same(got, want)


@pytest.mark.parametrize("name", ["batch_norm", "batch_norm of axes", "batch_norm, half"])
def test_running_statistics_move(name):
    variables = next(both(name, KEY))[1]
    outcomes = [
        lib.apply(lambda scope, lib=lib: CALLS[name](lib.nn, scope), mutable=True)(variables)
        for lib in (core, flax_core)
    ]
    assert_same(*outcomes)


def test_statistics_average_over_a_mapped_axis():
    variables = next(both("batch_norm", KEY))[1]

    def mapped(lib):
        def one(x):
            run = lib.apply(lambda s: lib.nn.batch_norm(s, x, axis_name="copies"), mutable=True)
            return run(variables)

        return jax.vmap(one, axis_name="copies")(X)

    assert_same(mapped(core), mapped(flax_core))


def test_decoding_from_a_cache():
    def decoded(lib, axes):
        x = jax.random.normal(KEY, (2, 2, 2, 8) if axes == (1, 2) else (2, 3, 8))
        sizes = x.shape[1:-1]

        def model(scope, x):
            return lib.nn.multi_head_dot_product_attention(
                scope, x, x, 2, causal_mask=True, cache=True, attention_axis=axes
            )

        whole, variables = lib.init(model)(KEY, x)
        new = variables["cache"]["entry"]
        variables = {"params": variables["params"], "cache": {"entry": new((2, *sizes))}}
        found = [whole]
        for place in range(2):
            one = x.reshape(2, -1, 8)[:, place].reshape(2, *(1,) * len(sizes), 8)
            y, state = lib.apply(model, mutable=["cache"])(variables, one)
            variables = {**variables, **state}
            found.append(y)
        entry = variables["cache"]["entry"]
        return found, (entry.key, entry.value, entry.i)

    for axes in ((1,), (1, 2)):
        assert_same(decoded(core, axes), decoded(flax_core, axes))
