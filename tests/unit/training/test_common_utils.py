"""Sharding over devices, stacking, metrics and one-hot rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie.training import common_utils


def one_copy_per_device(x):
    """An array whose leading axis lies across the devices, one row each."""
    mesh = Mesh(np.array(jax.local_devices()), ("devices",))
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec("devices")))


def test_shard_splits_the_leading_axis_of_every_array():
    n = jax.local_device_count()
    tree = {"a": np.arange(6 * n).reshape(2 * n, 3), "b": jnp.arange(n)}
    sharded = common_utils.shard(tree)
    assert_exact(sharded["a"], tree["a"].reshape(n, 2, 3))
    assert_exact(sharded["b"], tree["b"].reshape(n, 1))
    assert isinstance(sharded["a"], np.ndarray) and isinstance(sharded["b"], jax.Array)


def test_shard_names_the_array_that_does_not_divide():
    if jax.local_device_count() == 1:
        pytest.skip("everything divides by one device")
    with pytest.raises(ValueError, match=r"\['image'\] has shape \(7,\)"):
        common_utils.shard({"image": np.zeros(7)})
    with pytest.raises(ValueError, match=r"the array has shape \(\)"):
        common_utils.shard(jnp.array(1.0))


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_shard_prng_key_gives_every_device_its_own(make_key):
    keys = common_utils.shard_prng_key(make_key(3))
    n = jax.local_device_count()
    assert keys.shape[0] == n
    draws = [float(jax.random.uniform(key)) for key in keys]
    assert len(set(draws)) == n


def test_stack_forest():
    stacked = common_utils.stack_forest([{"a": jnp.array([i, 2 * i])} for i in range(3)])
    assert_exact(stacked["a"], jnp.array([[0, 0], [1, 2], [2, 4]]))
    with pytest.raises(ValueError, match="at least one tree"):
        common_utils.stack_forest([])


def test_get_metrics_reads_one_copy_and_stacks_the_steps():
    n = jax.local_device_count()
    steps = [
        {"loss": one_copy_per_device(np.full((n,), i, np.float32)), "seen": np.full((n, 2), i)}
        for i in range(3)
    ]
    metrics = common_utils.get_metrics(steps)
    assert_exact(metrics["loss"], np.array([0, 1, 2], np.float32))
    assert_exact(metrics["seen"], jnp.array([[0, 0], [1, 1], [2, 2]]))


def test_get_metrics_refuses_what_has_no_device_axis():
    with pytest.raises(ValueError, match="leading device axis"):
        common_utils.get_metrics([{"loss": 1.0}])
    with pytest.raises(ValueError, match="at least one step"):
        common_utils.get_metrics([])


def test_onehot():
    rows = common_utils.onehot(jnp.array([[2, 0], [5, -1]]), 3, on_value=0.9, off_value=0.05)
    expected = np.full((2, 2, 3), 0.05, np.float32)
    expected[0, 0, 2] = expected[0, 1, 0] = 0.9
    assert_exact(rows, expected)
    assert_exact(common_utils.onehot(1, 2), np.array([0, 1], np.float32))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int32", "uint8", "bool"])
def test_labels_of_any_dtype_are_class_numbers(dtype):
    rows = common_utils.onehot(jnp.array([[0, 1]], dtype), 3)
    assert_exact(rows, jnp.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]))
    assert rows.dtype == jnp.float32


def test_labels_between_and_beyond_classes_name_none():
    rows = common_utils.onehot(jnp.array([0.5, -1.0, 3.0, jnp.nan]), 3, 1.0, 0.25)
    assert_exact(rows, jnp.full((4, 3), 0.25))


def test_labels_of_16_bits_name_one_class():
    rows = common_utils.onehot(jnp.array([256], jnp.bfloat16), 300)
    assert_exact(rows, jnp.eye(300)[256:257])
