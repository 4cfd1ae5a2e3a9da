"""Layers on bare scopes: the same parameters and outputs as `flax.core.nn`."""

import jax
import pytest

flax_core = pytest.importorskip("flax.core")
pytest.importorskip("flax.core.nn")  # not imported by its package

from tests.tolerance import assert_close, assert_exact  # noqa: E402

from ramie import core  # noqa: E402

X = jax.random.normal(jax.random.key(1), (2, 5, 5, 4))
CALLS = {
    "dense": lambda nn, scope: nn.dense(scope, X, 3),
    "dense_general": lambda nn, scope: nn.dense_general(scope, X, (2, 3), axis=(1, -1), bias=False),
    "conv": lambda nn, scope: nn.conv(scope, X, 3, (3, 3), strides=(2, 2)),
    "conv_transpose": lambda nn, scope: nn.conv_transpose(scope, X, 3, (2, 2), strides=(2, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_equal(name):
    (want, want_variables), (got, variables) = (
        lib.init(lambda scope, lib=lib: CALLS[name](lib.nn, scope))(jax.random.key(0))
        for lib in (flax_core, core)
    )
    assert_close(got, want)
    assert jax.tree.structure(variables) == jax.tree.structure(want_variables)
    jax.tree.map(assert_exact, variables, want_variables)
