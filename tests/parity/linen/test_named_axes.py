"""The experimental layers with named axes, against Flax's."""

import pytest

flax = pytest.importorskip("flax")

import flax.linen.experimental.layers_with_named_axes as peer_layers  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from tests.parity.families.test_layers import _equations  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie.linen.experimental import layers_with_named_axes as layers  # noqa: E402

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 3)), jnp.float32)
TOKENS = jnp.array([[1, 4, -1], [9, 0, 2]])
CASES = {
    "dense": ("Dense", {"features": 4, "kernel_axes": ("embed", "mlp")}, X),
    "dense_low": ("Dense", {"features": 4, "kernel_axes": ("a", "b"), "dtype": jnp.bfloat16}, X),
    "dense_no_bias": ("Dense", {"features": 4, "use_bias": False}, X),
    "embed": ("Embed", {"num_embeddings": 5, "features": 4}, TOKENS),
    "embed_one_hot": ("Embed", {"num_embeddings": 5, "features": 4, "one_hot": True}, TOKENS),
    "embed_cast": (
        "Embed",
        {"num_embeddings": 5, "features": 4, "cast_input_dtype": jnp.int32},
        TOKENS.astype(jnp.float32),
    ),
    "layer_norm": ("LayerNorm", {"use_bias": False, "use_scale": False}, X),
}


@pytest.fixture(autouse=True)
def allow_rank_promotion():
    # Flax's one-hot vectors rely on it.
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("case", CASES)
def test_variables_results_and_programs(case):
    name, fields, x = CASES[case]
    ours, theirs = (getattr(m, name)(**fields) for m in (layers, peer_layers))
    got, variables = ours.init_with_output(jax.random.key(0), x)
    want, expected = theirs.init_with_output(jax.random.key(0), x)
    assert_exact(got, want)
    assert str(variables) == str(expected)
    jax.tree_util.tree_map(assert_exact, variables.get("params"), expected.get("params"))
    counts = [
        _equations(jax.make_jaxpr(m.apply)(variables if m is ours else expected, x).jaxpr)
        for m in (ours, theirs)
    ]
    assert counts[0] <= counts[1]


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_attend(dtype):
    query = jnp.ones((2, 4))
    results = []
    for library in (layers, peer_layers):
        layer = library.Embed(5, 4, attend_dtype=dtype)
        variables = layer.init(jax.random.key(0), TOKENS)
        results.append(layer.apply(variables, query, method="attend"))
    assert_exact(*results)
