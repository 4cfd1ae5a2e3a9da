"""Replication, prefetching, padding, partial evaluation and scans over any axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memory import aligned
from tests.tolerance import assert_close, assert_exact

from ramie import jax_utils

DEVICES = jax.local_device_count()


def slices(array):
    """The first-axis slice on each device, by device."""
    return {
        shard.device: (shard.index[0].start, np.asarray(shard.data))
        for shard in array.addressable_shards
    }


@pytest.mark.parametrize("count", [1, 2, DEVICES])
def test_replicate_puts_one_copy_on_each_device(count):
    devices = jax.local_devices()[:count]
    tree = {"w": np.arange(6.0).reshape(2, 3), "n": 4, "k": jax.random.key(0)}
    copies = jax_utils.replicate(tree, devices)
    assert copies["w"].shape == (count, 2, 3) and copies["n"].shape == (count,)
    found = slices(copies["w"])
    assert set(found) == set(devices)
    for i, device in enumerate(devices):
        start, data = found[device]
        assert (start or 0) == i
        assert_exact(data[0], jnp.asarray(tree["w"]))
    assert_exact(jax_utils.unreplicate(copies)["w"], jnp.asarray(tree["w"]))
    assert jax_utils.unreplicate(copies)["k"] == tree["k"]


def test_replicated_values_feed_pmap():
    params = jax_utils.replicate(jnp.ones(3))
    out = jax.pmap(lambda p, x: p * x)(params, jnp.arange(float(DEVICES)))
    assert_exact(out, jnp.outer(jnp.arange(float(DEVICES)), jnp.ones(3)))


def test_the_axis_name_is_that_of_the_sharding():
    assert jax_utils.replicate(1.0, axis_name="data").sharding.spec == jax.sharding.PartitionSpec(
        "data"
    )
    with pytest.raises(ValueError, match="list of devices is empty"):
        jax_utils.replicate(1.0, [])


def test_unreplicate_takes_the_first_slice_of_any_array():
    tree = {"np": np.arange(6).reshape(2, 3), "jnp": jnp.arange(6).reshape(2, 3)}
    out = jax_utils.unreplicate(tree)
    assert_exact(out["np"], np.arange(3))
    assert_exact(out["jnp"], jnp.arange(3))
    assert_exact(jax.jit(jax_utils.unreplicate)(tree)["np"], jnp.arange(3))
    mesh = jax.make_mesh((DEVICES,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec(None, "d")
    columns = jax.device_put(jnp.ones((2, 2 * DEVICES)), jax.NamedSharding(mesh, spec))
    assert_exact(jax_utils.unreplicate(columns), jnp.ones(2 * DEVICES))
    one = jax_utils.unreplicate(jax_utils.replicate(jnp.ones(3)))
    assert one.sharding == jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    for scalar in (3, jnp.ones(())):
        with pytest.raises(ValueError, match="Was the tree replicated"):
            jax_utils.unreplicate({"a": scalar})


def test_pmean_averages_trees():
    result = jax.vmap(lambda x: jax_utils.pmean({"a": x}, "i"), axis_name="i")(jnp.arange(4.0))
    assert_exact(result["a"], jnp.full(4, 1.5))


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("batches", [0, 1, 4])
def test_prefetching_keeps_order_and_shards(size, batches):
    data = [{"x": np.full((DEVICES, 2), i)} for i in range(batches)]
    out = list(jax_utils.prefetch_to_device(data, size))
    assert len(out) == batches
    for i, batch in enumerate(out):
        assert_exact(batch["x"], jnp.full((DEVICES, 2), i))
        assert len(batch["x"].sharding.device_set) == DEVICES


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("count", [1, DEVICES])
@pytest.mark.parametrize("place", [np.asarray, jax.device_put])
def test_prefetching_copies_a_buffer_that_the_source_fills_again(size, count, place):
    buffer = aligned((DEVICES, 32))

    def source():
        for i in range(6):
            buffer[...] = i
            yield {"x": place(buffer), "part": place(buffer[:, :16])}

    devices = jax.local_devices()[:count]
    for i, batch in enumerate(jax_utils.prefetch_to_device(source(), size, devices)):
        assert_exact(batch["x"], jnp.full((DEVICES, 32), i, jnp.float32))
        assert_exact(batch["part"], jnp.full((DEVICES, 16), i, jnp.float32))


def test_replicate_copies_memory_that_is_written_to_again():
    buffer = aligned((16, 4))
    buffer[...] = 1
    copies = jax_utils.replicate(buffer, jax.local_devices()[:1])
    buffer[...] = 2
    assert_exact(copies, jnp.ones((1, 16, 4)))


def test_prefetching_reads_ahead_by_the_size_and_no_further():
    drawn = []

    def source():
        for i in range(5):
            drawn.append(i)
            yield np.full(DEVICES, i)

    batches = jax_utils.prefetch_to_device(source(), 2)
    assert drawn == []
    next(batches)
    assert drawn == [0, 1]
    next(batches)
    assert drawn == [0, 1, 2]
    assert [int(batch[0]) for batch in batches] == [2, 3, 4]


def test_prefetching_refuses_what_cannot_work():
    with pytest.raises(ValueError, match="at least 1 batch"):
        jax_utils.prefetch_to_device([], 0)
    for leaf in (np.ones((DEVICES + 1, 2)), 3.0):
        with pytest.raises(ValueError, match="cannot be split over"):
            next(jax_utils.prefetch_to_device([{"x": leaf}], 2))


def test_an_error_of_the_source_arrives_after_nothing_is_lost():
    def source():
        yield np.ones(DEVICES)
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError, match="disk gone"):
        list(jax_utils.prefetch_to_device(source(), 1))


@given(size=st.integers(0, 5 * DEVICES), width=st.integers(0, 3))
@settings(max_examples=30)
def test_padding_is_invisible(size, width):
    shapes = []

    def predict(params, x, scale=None):
        shapes.append(x.shape)
        return {"y": params * x if scale is None else params * x * scale}

    x = np.arange(size * width, dtype=np.float32).reshape(size, width)
    out = jax_utils.pad_shard_unpad(predict)(np.float32(2), x)
    assert_exact(out["y"], 2 * x)
    assert shapes == [(DEVICES, -(-size // DEVICES), width)]
    static = jax_utils.pad_shard_unpad(predict, static_argnames=("scale",))
    assert_exact(static(np.float32(2), x, scale=np.float32(3))["y"], 6 * x)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bfloat16", "int32"])
def test_padding_keeps_dtypes_and_jax_arrays(dtype):
    x = jnp.arange(DEVICES + 1).astype(dtype)
    out = jax_utils.pad_shard_unpad(lambda a, b: a + b, static_argnums=())(x, x)
    assert_exact(out, x + x)


def test_a_smallest_batch_avoids_new_programs():
    traces = []

    @jax.jit
    def add(a):
        traces.append(a.shape)
        return a + 1

    padded = jax_utils.pad_shard_unpad(add, static_argnums=())
    for size in (1, DEVICES, 3 * DEVICES, 5 * DEVICES - 1):
        assert_exact(
            padded(np.arange(size), min_device_batch=5), np.arange(size, dtype=np.int32) + 1
        )
    assert traces == [(DEVICES, 5)]


def test_a_static_result_is_left_alone():
    total = jax_utils.pad_shard_unpad(lambda p, x: x.sum(), static_return=True)
    assert total(None, np.ones(3)) == 3.0
    with pytest.raises(ValueError, match="static_return=True"):
        jax_utils.pad_shard_unpad(lambda p, x: x.sum())(None, np.ones(3))


def test_padding_says_what_is_wrong_with_the_arguments():
    double = jax_utils.pad_shard_unpad(lambda p, *x: x)
    with pytest.raises(ValueError, match="no batch at all"):
        double(np.ones(3))
    with pytest.raises(ValueError, match=r"sizes \[2, 3\]"):
        double(None, np.ones(3), {"a": np.ones(2)})
    with pytest.raises(ValueError, match=r"\[0\]\['a'\] is no array .* int"):
        double(None, {"a": 3})


def test_known_outputs_are_computed_and_others_shaped():
    def init(x, y, factor=1):
        return {"big": x @ y, "w": jax.random.normal(jax.random.key(0), (2,)) * factor, "n": 3}

    spec = [(10**6, 8), ((8, 10**6), jnp.bfloat16)]
    out = jax_utils.partial_eval_by_shape(init, spec, factor=2)
    assert out["big"] == jax.ShapeDtypeStruct((10**6, 10**6), jnp.float32)
    assert_exact(out["w"], jax.random.normal(jax.random.key(0), (2,)) * 2)
    assert int(out["n"]) == 3


@pytest.mark.parametrize(
    "wrap",
    [lambda f: f, jax.jit, jax.checkpoint, lambda f: jax.jit(jax.checkpoint(f))],
    ids=["plain", "jit", "checkpoint", "both"],
)
def test_nested_programs_are_looked_into(wrap):
    inner = wrap(lambda x, w: (x * w.sum(), w + 1))
    out = jax_utils.partial_eval_by_shape(lambda x: inner(x, jnp.ones(2)), [(3,)])
    assert out[0] == jax.ShapeDtypeStruct((3,), jnp.float32)
    assert_exact(out[1], jnp.full(2, 2.0))


def test_further_arguments_are_known():
    out = jax_utils.partial_eval_by_shape(lambda x, y: (x + y, 2 * y), [(2,)], jnp.ones(2))
    assert isinstance(out[0], jax.ShapeDtypeStruct)
    assert_exact(out[1], jnp.full(2, 2.0))


@pytest.mark.parametrize("spec", [3, [3], ["ab"], [{"a": (2, 3)}], [((2,), (3,), (4,))]])
def test_a_wrong_input_spec_is_refused(spec):
    with pytest.raises(TypeError, match="input_spec"):
        jax_utils.partial_eval_by_shape(lambda *x: x, spec)


axes_of_three = st.lists(st.integers(-3, 2), max_size=3, unique_by=lambda a: a % 3)


@given(axes=axes_of_three, keepdims=st.booleans())
@settings(max_examples=25)
def test_a_scan_over_any_axes_visits_each_slice_once(axes, keepdims):
    x = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    shapes = []

    def body(carry, part):
        shapes.append(part.shape)
        return carry + part.sum(), 2 * part

    total, doubled = jax_utils.scan_in_dim(body, 0.0, x, axis=axes, keepdims=keepdims)
    assert_exact(doubled, 2 * jnp.asarray(x))
    assert_close(total, jnp.asarray(x.sum()))
    scanned = {axis % 3 for axis in axes}
    kept = [1 if i in scanned else n for i, n in enumerate(x.shape) if keepdims or i not in scanned]
    assert shapes[0] == tuple(kept)


def test_the_first_axis_is_the_outermost():
    x = jnp.arange(6).reshape(2, 3)
    order = lambda axes: jax_utils.scan_in_dim(
        lambda carry, part: (carry * 10 + part, part), 0, x, axis=axes
    )[0]
    assert int(order((0, 1))) == 12345
    assert int(order((1, 0))) == 31425


def test_scans_take_trees_single_axes_and_unrolling():
    tree = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 3, 4))}
    body = lambda c, x: (c + x["a"].sum(), None)
    for axis, unroll in ((1, 1), ((1,), (3,)), ((0, 1), 2), ((0, 1), (2, 3))):
        total, none = jax_utils.scan_in_dim(body, 0.0, tree, axis=axis, unroll=unroll)
        assert float(total) == 6.0 and none is None


def test_a_scan_says_what_is_wrong_with_its_axes():
    body = lambda c, x: (c, x)
    with pytest.raises(ValueError, match="3 values for unroll and 2 axes"):
        jax_utils.scan_in_dim(body, 0, jnp.ones((2, 3)), axis=(0, 1), unroll=(1, 1, 1))
    with pytest.raises(ValueError, match="does not exist"):
        jax_utils.scan_in_dim(body, 0, jnp.ones((2, 3)), axis=5)
    with pytest.raises(ValueError, match="twice"):
        jax_utils.scan_in_dim(body, 0, jnp.ones((2, 3)), axis=(0, -2))
    with pytest.raises(ValueError, match="stacked results need all of them"):
        jax_utils.scan_in_dim(lambda c, x: (c, x.sum()), 0, jnp.ones((2, 3, 4)), axis=(2, 0))
