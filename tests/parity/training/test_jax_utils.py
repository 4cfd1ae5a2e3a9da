"""Tools for devices and scans: the arrays, shapes and shardings of Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import jax_utils

flax_jax_utils = pytest.importorskip("flax.jax_utils")

X = np.arange(10, dtype=np.float32).reshape(5, 2)
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
BATCHES = [np.full((4, 2), i, np.float32) for i in range(3)]


def doubled(params, x):
    return {"y": 2 * x["x"]}


CASES = {
    "replicate": lambda m: m.replicate({"a": X, "b": 2}),
    "replicate to two": lambda m: m.replicate(X, jax.devices()[:2], axis_name="copy"),
    "unreplicate": lambda m: m.unreplicate({"a": X}),
    "prefetch": lambda m: list(m.prefetch_to_device(iter(BATCHES), 2)),
    "pad": lambda m: m.pad_shard_unpad(doubled)(None, {"x": X}),
    "pad to more": lambda m: m.pad_shard_unpad(doubled, static_return=True)(
        None, {"x": X}, min_device_batch=3
    ),
    "pad by name": lambda m: m.pad_shard_unpad(
        doubled, static_argnums=(), static_argnames=("params",)
    )(params=None, x={"x": X}),
    "scan": lambda m: m.scan_in_dim(
        lambda c, x: (c + x.sum(), c * x), jnp.float32(1), CUBE, axis=(2, 0), keepdims=True
    ),
    "partial": lambda m: m.partial_eval_by_shape(
        lambda x, k: (x * k, k + 1), [((2, 3), jnp.int32)], jnp.int32(2)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equal(name):
    got, want = CASES[name](jax_utils), CASES[name](flax_jax_utils)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert type(ours) is type(theirs)
        if isinstance(ours, jax.ShapeDtypeStruct):
            assert ours == theirs
            continue
        assert_exact(ours, theirs)
        assert getattr(ours, "sharding", None) == getattr(theirs, "sharding", None)
