"""Which arrays something else can reach: held, aliased, borrowed."""

import contextlib
import gc
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding
from tests.memory import aligned
from tests.tolerance import assert_exact

from ramie.core import donation
from ramie.core.donation import can_tell, copied, counts, held, is_plain

pytestmark = pytest.mark.usefixtures("quick_collections")


def _mesh():
    return jax.make_mesh((4,), ("data",))


def _fresh(sharding=None, start=0.0):
    """Make an array that was computed, and lies on one device or as a sharding says."""
    made = jax.jit(lambda x: jnp.arange(4124.0) + x, out_shardings=sharding)(start)
    return jax.block_until_ready(made)


SHARDINGS = {
    "one device": lambda: None,
    "committed": lambda: SingleDeviceSharding(jax.devices()[1]),
    "sharded": lambda: NamedSharding(_mesh(), PartitionSpec("data")),
    "replicated": lambda: NamedSharding(_mesh(), PartitionSpec()),
}
HOLDERS = {
    "name": lambda x: x,
    "list": lambda x: [x],
    "closure": lambda x: lambda: x,
    "tree": lambda x: jax.tree_util.Partial(lambda y: y, x),
    "no copy": lambda x: jnp.asarray(x),
    "constant": lambda x: jax.jit(lambda y: y + x).trace(1.0),
    "residual": lambda x: jax.vjp(lambda y: y * y, x)[1],
    "exception": lambda x: ValueError(x),
}
ALIASES = {
    "placed": lambda x: jax.device_put(x, x.sharding),
    "first part": lambda x: x.addressable_data(0),
    "shards": lambda x: [part.data for part in x.addressable_shards],
    "made of parts": lambda x: jax.make_array_from_single_device_arrays(
        x.shape, x.sharding, [part.data for part in x.addressable_shards]
    ),
    "placed, part of it": lambda x: jax.device_put(x, x.sharding).addressable_data(0),
}


@pytest.mark.parametrize("place", SHARDINGS)
def test_an_array_that_only_its_owner_holds_is_not_held(place):
    arrays = [_fresh(SHARDINGS[place](), i) for i in range(3)]
    assert held(arrays, others=0) == []
    again = list(arrays)
    assert held(arrays, others=1) == []
    assert held(arrays, others=0) == [0, 1, 2]
    del again[1]
    assert held(arrays, others=1) == [1]  # fewer than were said: nothing is known of it


@pytest.mark.parametrize("place", SHARDINGS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_what_refers_to_an_array_holds_it(holder, place):
    arrays = [_fresh(SHARDINGS[place](), i) for i in range(3)]
    other = HOLDERS[holder](arrays[1])
    assert held(arrays, others=0) == [1]
    del other


@pytest.fixture(params=["one device here", "several"])
def devices(request, monkeypatch):
    """Take the way for one device, which looks at many arrays at once, or for several."""
    if request.param == "one device here":
        monkeypatch.setattr(jax, "device_count", lambda: 1)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("alias", ALIASES)
def test_another_array_over_the_memory_of_one_device(alias):
    arrays = [_fresh(start=i) for i in range(3)]
    other = ALIASES[alias](arrays[1])
    assert held(arrays, others=0) == [1]
    unlike = jnp.ones(5), jnp.arange(4124), arrays[0] + 1
    assert held(arrays, others=0) == [1]
    del other, unlike
    assert held([_fresh(), _fresh()], others=0) == []


@pytest.mark.parametrize("place", SHARDINGS)
@pytest.mark.parametrize("alias", ALIASES)
def test_another_array_over_the_same_memory_holds_it(alias, place):
    arrays = [_fresh(SHARDINGS[place](), i) for i in range(3)]
    other = ALIASES[alias](arrays[1])
    assert held(arrays, others=0) == [1]
    del other


@pytest.mark.parametrize("place", SHARDINGS)
def test_other_arrays_of_the_same_form_hold_nothing(place):
    arrays = [_fresh(SHARDINGS[place](), i) for i in range(3)]
    unlike = jax.block_until_ready([jnp.ones(5), arrays[1] + 1, arrays[2].copy()])
    assert held(arrays, others=0) == []
    del unlike


def test_a_reference_or_an_alias_that_is_gone_holds_nothing():
    remembered = "constant", "residual", "first part", "shards", "made of parts"  # by JAX
    for name, other in (HOLDERS | ALIASES).items():
        if name in remembered:
            continue
        arrays = [_fresh(start=i) for i in range(3)]
        other(arrays[1])
        gc.collect()
        assert held(arrays, others=0) == [], name


def test_a_copy_on_all_devices_shares_the_memory_of_the_first():
    arrays = [_fresh()]
    everywhere = jax.device_put(arrays[0], NamedSharding(_mesh(), PartitionSpec()))
    if everywhere.addressable_data(0).unsafe_buffer_pointer() != arrays[0].unsafe_buffer_pointer():
        pytest.skip("this JAX copies")
    assert held(arrays, others=0) == [0]


def test_a_view_of_numpy_holds_the_array_and_loses_nothing_when_it_is_given_away():
    arrays = [_fresh()]
    view = np.asarray(arrays[0])
    assert held(arrays, others=0) == [0]
    borrowed = np.from_dlpack(arrays[0])
    kept = np.array(view)
    jax.block_until_ready(jax.jit(lambda x: x + 1, donate_argnums=0)(arrays.pop()))
    assert_exact(view, kept)
    assert_exact(borrowed, kept)


def test_memory_that_jax_borrowed_is_not_written_to():
    memory = aligned((1024,))
    memory[:] = 1
    x = jax.device_put(memory)
    assert x.unsafe_buffer_pointer() == memory.ctypes.data
    jax.block_until_ready(jax.jit(lambda x: x + 1, donate_argnums=0)(x))
    assert_exact(memory, np.ones(1024, np.float32))


MESHES = {
    "no mesh": contextlib.nullcontext,
    "auto": lambda: jax.set_mesh(jax.make_mesh((4,), ("all",), axis_types=(AxisType.Auto,))),
    "explicit": lambda: jax.set_mesh(
        jax.make_mesh((4,), ("all",), axis_types=(AxisType.Explicit,))
    ),
}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("place", SHARDINGS)
@pytest.mark.parametrize("weak", [False, True])
def test_a_copy_is_the_same_argument_in_memory_of_its_own(place, weak, mesh):
    sharding = SHARDINGS[place]()
    if weak:
        x = jax.jit(lambda: 3.0, out_shardings=sharding if place != "sharded" else None)()
    else:
        x = _fresh(sharding)
    with MESHES[mesh]():
        copy = copied(x)
    assert_exact(copy, x)
    assert copy.sharding == x.sharding and copy.committed == x.committed
    parts = zip(x.addressable_shards, copy.addressable_shards, strict=True)
    assert all(a.data.unsafe_buffer_pointer() != b.data.unsafe_buffer_pointer() for a, b in parts)
    traced = []
    function = jax.jit(lambda x: traced.append(1) or x + 1)
    if len(x.devices()) == 1:
        assert copy.aval == x.aval
        function(x), function(copy)
        assert traced == [1]


def test_plain_arrays():
    x = jnp.ones(2)
    assert is_plain([x, x]) and not is_plain([x, np.ones(2)]) and not is_plain([])
    assert not is_plain([jax.random.key(0)]) and not is_plain([(x,)]) and not is_plain([1.0])
    found = []
    jax.jit(lambda x: found.append(is_plain([x])) or x)(x)
    assert found == [False]


def test_where_nothing_is_known_all_are_held(monkeypatch):
    assert can_tell() and counts([object()])[0] == donation._LONE
    arrays = [_fresh()]
    monkeypatch.setattr(jax, "live_arrays", lambda platform=None: [])
    assert held(arrays, others=0) == [0]
    monkeypatch.undo()
    with jax.disable_jit():
        assert not can_tell()
    with jax.debug_nans(True):
        assert not can_tell()
    monkeypatch.setattr(donation, "_LONE", None)
    assert not can_tell() and held(arrays, others=0) == [0]


def test_counts_that_do_not_count_are_not_believed(monkeypatch):
    monkeypatch.setattr(sys, "getrefcount", lambda x: 1 << 30)
    assert donation._count_of_a_lone_item() is None
    monkeypatch.undo()
    assert donation._count_of_a_lone_item() is not None
