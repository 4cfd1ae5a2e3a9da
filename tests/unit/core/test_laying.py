"""First values that are made where they are to lie: the same numbers, and no whole on a device."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import linen as nn
from ramie import nnx
from ramie.core import laying

KEY = jax.random.key(7)
X = jnp.ones((2, 256))
SPECS = (("a", None), (None, "b"), ("a", "b"), (("a", "b"), None))
KINDS = ("Auto", "Explicit")
RULES = (("in", "a"), ("out", "b"))


def mesh_of(kind):
    return jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType[kind],) * 2)


def is_laid(value, mesh, spec):
    return value.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec(*spec)), value.ndim)


@pytest.fixture(params=KINDS)
def mesh(request):
    return mesh_of(request.param)


@pytest.fixture(params=(True, False), ids=("partitionable", "whole"))
def keys(request):
    before = jax.config.jax_threefry_partitionable
    jax.config.update("jax_threefry_partitionable", request.param)
    yield
    jax.config.update("jax_threefry_partitionable", before)


def layer(init, size=256, **options):
    return nnx.Linear(size, 2 * size, use_bias=False, kernel_init=init, rngs=nnx.Rngs(3), **options)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        *(("lecun_normal", spec) for spec in SPECS),
        ("glorot_uniform", ("a", "b")),
        ("orthogonal", (None, "b")),
    ],
)
def test_an_nnx_layer_has_the_numbers_of_one_device(mesh, spec, name, keys):
    init = getattr(nnx.initializers, name)()
    size = 64 if name == "orthogonal" else 256  # the former takes long to compile
    whole = layer(init, size).kernel[...]
    with jax.set_mesh(mesh):
        wrapped = layer(nnx.with_partitioning(init, spec), size).kernel[...]
        named = layer(init, size, kernel_metadata={"out_sharding": spec}).kernel[...]
    assert is_laid(wrapped, mesh, spec) and is_laid(named, mesh, spec)
    assert_exact(wrapped, whole)
    assert_exact(named, whole)


def test_a_compiled_construction_has_the_numbers_of_one_device(mesh, keys):
    init = nnx.initializers.lecun_normal()

    def make(partitioned):
        return layer(nnx.with_partitioning(init, ("a", "b")) if partitioned else init)

    whole = nnx.jit(functools.partial(make, False))().kernel[...]
    with jax.set_mesh(mesh):
        kernel = nnx.jit(functools.partial(make, True))().kernel[...]
    assert is_laid(kernel, mesh, ("a", "b"))
    assert_exact(kernel, whole)


@pytest.mark.parametrize("shape", [(8, 4), (6, 3), (4, 512), (512, 8)])
def test_small_and_narrow_arrays_are_rounded_as_on_one_device(shape):
    init, mesh = nnx.initializers.lecun_normal(), mesh_of("Explicit")
    boxed = nnx.with_partitioning(init, ("a", None))
    with jax.set_mesh(mesh):
        laid = nnx.Param(boxed(KEY, shape))[...]
    assert_exact(laid, init(KEY, shape))


class Mlp(nn.Module):
    """Boxes of mesh axes and of logical names, kernels with several axes, a user's function."""

    @nn.compact
    def __call__(self, x):
        init = nn.initializers.lecun_normal()
        x = nn.Dense(256, kernel_init=nn.with_partitioning(init, ("a", "b")))(x)
        own = nn.with_logical_partitioning(lambda *args: 2 * init(*args), ("in", "out"))
        x = nn.Dense(256, use_bias=False, kernel_init=own)(x)
        heads = nn.with_logical_partitioning(init, ("in", None, "out"))
        x = nn.DenseGeneral((4, 64), use_bias=False, kernel_init=heads)(x)
        return x


def test_a_linen_model_has_the_numbers_of_one_device():
    mesh = mesh_of("Auto")
    whole = nn.unbox(Mlp().init(KEY, X))
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        boxed = Mlp().init(KEY, X)["params"]
    values = nn.unbox(boxed)
    specs = {
        "Dense_0": ("a", "b"),
        "Dense_1": ("a", "b"),
        "DenseGeneral_0": ("a", None, "b"),
    }
    for name, spec in specs.items():
        assert is_laid(values[name]["kernel"], mesh, spec)
        assert_exact(values[name]["kernel"], whole["params"][name]["kernel"])
    assert boxed["DenseGeneral_0"]["kernel"].names == ("in", None, "out")


def test_boxed_kernels_of_an_explicit_mesh_lie_as_their_names_say():
    mesh, boxed = mesh_of("Explicit"), {}
    init = nn.initializers.lecun_normal()
    for name, function in (("ours", init), ("own", lambda *args: 2 * init(*args))):
        with jax.set_mesh(mesh):
            boxed[name] = nn.with_partitioning(function, ("a", "b"))(KEY, (256, 512)).value
        assert is_laid(boxed[name], mesh, ("a", "b"))
    assert_exact(boxed["ours"], init(KEY, (256, 512)))
    assert_exact(boxed["own"], 2 * init(KEY, (256, 512)))


def test_nothing_is_known_without_mesh_names_or_rules(mesh):
    assert laying.target(None, ("a", None)) is None
    with jax.set_mesh(mesh):
        assert laying.target(None, None) is None
        assert laying.target(None, (None, None)) is None
        assert laying.target(None, ("c", None)) is None
        assert laying.target(None, ("a", None)).spec == PartitionSpec("a", None)
    assert laying.target(mesh, ("a",)).mesh == mesh


def test_sizes_that_do_not_divide_raise_what_jax_raises(mesh):
    init = nnx.with_partitioning(nnx.initializers.lecun_normal(), ("a", None))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match=r"divisible|evenly"):
        nnx.Linear(7, 8, kernel_init=init, rngs=nnx.Rngs(0))


def test_parts_have_memory_of_their_own():
    mesh = mesh_of("Auto")
    with jax.set_mesh(mesh):
        kernel = layer(nnx.with_partitioning(nnx.initializers.lecun_normal(), ("a", None))).kernel
    parts = [shard.data for shard in kernel[...].addressable_shards]
    assert len({part.unsafe_buffer_pointer() for part in parts}) == len(parts)
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    value, before = kernel[...], np.array(kernel[...])
    assert_exact(step(value), before + 1)


def test_draws_of_a_program_do_not_pile_up():
    """Fails where the compiler may begin all draws before it ends one."""
    init, size, count = nn.initializers.lecun_normal(), 512, 16

    def draws(key):
        return [init(key, (size, size)) for key in jax.random.split(key, count)]

    plan = jax.jit(draws).lower(KEY).compile().memory_analysis()
    assert plan.temp_size_in_bytes < 6 * size * size * 4


def test_draws_under_other_transformations_are_what_they_were():
    init, keys = nn.initializers.lecun_normal(), jax.random.split(KEY, 2)
    each = jnp.stack([jax.jit(lambda key: init(key, (256, 512)))(key) for key in keys])
    assert_exact(jax.jit(jax.vmap(lambda key: init(key, (256, 512))))(keys), each)
    scanned = jax.jit(lambda keys: jax.lax.map(lambda key: init(key, (256, 512)), keys))(keys)
    assert_exact(scanned, each)
    mesh = mesh_of("Auto")
    manual = jax.shard_map(
        lambda keys: init(keys[0], (256, 512))[None],
        mesh=mesh,
        in_specs=PartitionSpec("a"),
        out_specs=PartitionSpec("a"),
    )
    assert_exact(jax.jit(manual)(keys), each)


# Every device of this process is memory of one machine: the most that was resident tells.
MEASURE = """
import sys
import jax
from tests.unit.core import test_laying
print(test_laying.peak(sys.argv[1], sys.argv[2]))
"""
LAYERS, WIDTH = 32, 1024


def _resident(name):
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))


def peak(way, kind):
    """Return what a sharded construction took at most, in sizes of all parameters."""
    mesh = jax.make_mesh((8,), ("a",), axis_types=(AxisType[kind],))

    def make(layers=LAYERS):
        rngs = nnx.Rngs(0)
        init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "a"))
        return nnx.List(
            nnx.Linear(WIDTH, WIDTH, use_bias=False, kernel_init=init, rngs=rngs)
            for _ in range(layers)
        )

    with jax.set_mesh(mesh):
        if way == "jit":
            make = nnx.jit(make)
            plan = make.lower().compile().memory_analysis()  # of one device, and so per shard
            return 1 + plan.temp_size_in_bytes / plan.output_size_in_bytes
        make(1)  # what is compiled once stays
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        model = make()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(nnx.state(model)))
    for array in jax.live_arrays():
        if array.size >= WIDTH * WIDTH:
            shards = {part.data.nbytes * 8 for part in array.addressable_shards}
            assert shards == {array.nbytes}
    return (_resident("VmHWM") - before) / size


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["eager", "jit"])
def test_a_device_holds_its_part_and_one_layer(way, kind):
    flags = "--xla_force_host_platform_device_count=8"
    made = subprocess.run(
        [sys.executable, "-c", MEASURE, way, kind],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    # A layer, its part that is being copied, blocks, and what the allocator keeps: not a second
    # whole, and far from one on each device.
    assert float(made.stdout) < 1.25
