"""Arrays whose memory is elsewhere: views of JAX, and those that are read when they are written."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tests.memory import aligned
from tests.tolerance import assert_exact

from ramie import errors, serialization
from ramie.serialization.arrays import Deferred, may_be_a_view, own


@pytest.mark.parametrize("place", [jax.device_put, jax.dlpack.from_dlpack, jnp.asarray])
def test_what_is_owned_does_not_change_with_the_memory(place):
    memory = aligned((64, 2))
    array = place(memory)
    assert may_be_a_view(array)
    kept = own(array)
    memory[:] = 7
    assert_exact(kept, np.zeros((64, 2), np.float32))


@pytest.mark.parametrize("spec", [PartitionSpec("x"), PartitionSpec()])
def test_what_is_owned_lies_where_it_was(spec):
    mesh = jax.make_mesh((jax.device_count(),), ("x",))
    memory = aligned((64, 2))
    array = jax.device_put(memory, NamedSharding(mesh, spec))
    kept = own(array)
    memory[:] = 7
    assert kept.sharding.is_equivalent_to(array.sharding, 2)
    assert_exact(kept, np.zeros((64, 2), np.float32))


def test_keys_can_be_owned():
    memory = aligned((4, 2), np.uint32)
    kept = own(jax.random.wrap_key_data(jax.device_put(memory)))
    memory[:] = 7
    assert_exact(jax.random.key_data(kept), np.zeros((4, 2), np.uint32))


@pytest.mark.parametrize("dtype", ["float32", "bool", "S3", ml_dtypes.bfloat16, ml_dtypes.int4])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (400, 300)])
@pytest.mark.parametrize("limit", [2**30, 1000])
def test_a_deferred_array_is_read_when_it_is_written(monkeypatch, dtype, shape, limit):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", limit)
    array = np.ones(shape).astype(dtype)
    loads = []

    def load():
        loads.append(1)
        return array

    deferred = Deferred(array.shape, array.dtype, load)
    assert (deferred.shape, deferred.dtype, deferred.nbytes) == (shape, array.dtype, array.nbytes)
    written = serialization.to_bytes({"a": {"b": deferred}})
    assert written == serialization.to_bytes({"a": {"b": array}})
    assert len(loads) == 1


def test_what_goes_wrong_while_it_is_read_is_told_as_it_is():
    def load():
        raise errors.MalformedDataError("the file became shorter", "a", source="there")

    tree = {"a": Deferred((3,), np.dtype(np.float32), load)}
    with pytest.raises(errors.MalformedDataError, match=r'"there": the file became shorter at'):
        serialization.to_bytes(tree)
