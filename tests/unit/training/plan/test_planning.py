"""Plans against sums done by hand, for TPUs that are not there and for simulated devices."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie import errors, nnx
from ramie.training.plan import Plan, compiling, make_mesh, plan
from ramie.training.train_state import TrainState


def needs_libtpu(test):
    """Run a test where the compiler for TPUs is."""
    found = importlib.util.find_spec("libtpu") is not None
    test = pytest.mark.skipif(not found, reason="no libtpu here")(test)
    return pytest.mark.libtpu(test)


MESH = {"data": 2, "model": 4}
RULES = [("embed", None), ("mlp", "model"), ("batch", "data")]
KERNEL = 512 * 1024
PARAMS = 2 * KERNEL + 1024 + 512


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        init = nn.initializers.lecun_normal()
        into = nn.with_logical_partitioning(init, ("embed", "mlp"))
        out = nn.with_logical_partitioning(init, ("mlp", "embed"))
        bias = nn.with_logical_partitioning(nn.initializers.zeros, ("mlp",))
        x = nn.tanh(nn.Dense(1024, name="up", kernel_init=into, bias_init=bias)(x))
        return nn.Dense(512, name="down", kernel_init=out)(x)


def _train_state(x):
    def init(key, x):
        params = Net().init(key, x)["params"]
        return TrainState.create(apply_fn=Net().apply, params=params, tx=optax.adam(1e-3))

    return jax.eval_shape(init, jax.random.key(0), x)


def _step(state, x):
    def loss(params):
        return jnp.mean(state.apply_fn({"params": params}, x) ** 2)

    value, grads = jax.value_and_grad(loss)(state.params)
    return state.apply_gradients(grads=grads), value


def _abstract(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


@pytest.fixture(scope="module")
def trained() -> Plan:
    """A step of a TrainState on eight chips; stages and the folder of temporary files noted."""
    x = _abstract(64, 512)
    return plan(
        _step,
        _train_state(x),
        x,
        topology="v5e:2x4",
        mesh=MESH,
        specs=(None, P("data")),
        rules=RULES,
        donate=0,
    )


@needs_libtpu
def test_the_state_is_counted_exactly(trained):
    rows = {row.name: row for row in trained.collections}
    assert list(rows) == ["step", "params", "opt_state", "x"]
    assert (rows["params"].arrays, rows["params"].elements) == (4, PARAMS)
    assert rows["params"].bytes == 4 * PARAMS
    assert rows["opt_state"].bytes == 2 * 4 * PARAMS + 4
    # Kernels and the first bias lie on `model`, of four; the second bias on nothing.
    on_device = 4 * (2 * KERNEL // 4 + 1024 // 4 + 512)
    assert rows["params"].device_bytes == on_device
    assert rows["opt_state"].device_bytes == 2 * on_device + 4
    assert rows["x"].device_bytes == 4 * 32 * 512
    state = 3 * on_device + 8
    # The compiler rounds small arrays up to its tiles.
    assert state + 4 * 32 * 512 <= trained.memory.arguments <= state + 4 * 32 * 512 + 32 * 512
    assert state <= trained.memory.aliased <= trained.memory.outputs


@needs_libtpu
def test_products_are_counted_exactly(trained):
    # Two forward, the gradients of two kernels, and one of the activations between them.
    assert trained.work.flops == 5 * 2 * 32 * 512 * 256
    assert trained.work.unknown_loops == 0
    least = sum(row.device_bytes for row in trained.collections)
    assert trained.work.hbm_bytes >= least


@needs_libtpu
def test_collectives_are_those_of_the_program(trained):
    rows = {(row.kind, row.axes): row for row in trained.collectives}
    # The second product sums over `model`; gradients and the loss are summed over `data`.
    assert rows["all-reduce", ("model",)].bytes == 4 * 32 * 512
    assert rows["all-reduce", ("model",)].path.endswith("Net/down")
    gradients = 2 * KERNEL // 4 + 1024 // 4 + 512
    assert rows["all-reduce", ("data",)].bytes == 4 * (gradients + 1)
    assert len(rows) == 2


@needs_libtpu
def test_what_is_said_of_the_chip(trained):
    assert trained.fits and trained.verdict == "fits" and not trained.simulated
    assert (trained.chip.name, trained.devices, trained.mesh) == ("v5e", 8, MESH)
    memory, bound = trained.memory, trained.bound
    parts = memory.arguments + memory.outputs - memory.aliased + memory.temporaries + memory.code
    assert memory.total == parts and memory.lacking == 0
    assert bound.memory == trained.work.hbm_bytes / 819e9
    assert bound.seconds == max(bound.compute, bound.memory, bound.interconnect)
    assert bound.by == "memory" and trained.compile_seconds > 0
    assert trained.versions["jax"] == jax.__version__ and trained.versions["libtpu"]


@needs_libtpu
def test_what_could_be_laid_out_is_named(trained):
    found = {row.path: row for row in trained.replicated}
    assert all("kernel" in path for path in found) and len(found) == 0
    everywhere = plan(
        jnp.dot, _abstract(64, 1024), _abstract(1024, 1024), topology="v5e:2x4", mesh=MESH
    )
    (row,) = everywhere.replicated
    assert row.path == "b" and row.axes == ("data", "model") and "P('model', None)" in row.advice


@needs_libtpu
def test_a_plan_is_json(trained):
    read = json.loads(trained.to_json())
    assert read == trained.as_dict() and read["memory"]["lacking"] == 0 and read["fits"] is True


@needs_libtpu
def test_models_and_optimizers_of_nnx():
    class Model(nnx.Module):
        def __init__(self, rngs):
            sharded = partial(nnx.with_partitioning, nnx.initializers.lecun_normal())
            quiet = {"eager_sharding": False}
            into, out = (None, "mlp"), ("mlp", None)
            self.up = nnx.Linear(512, 1024, kernel_init=sharded(into, **quiet), rngs=rngs)
            self.down = nnx.Linear(1024, 512, kernel_init=sharded(out, **quiet), rngs=rngs)

        def __call__(self, x):
            return self.down(nnx.tanh(self.up(x)))

    def make():
        model = Model(nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    def step(model, optimizer, x):
        loss, grads = nnx.value_and_grad(lambda model: jnp.mean(model(x) ** 2))(model)
        optimizer.update(model, grads)
        return loss

    model, optimizer = nnx.eval_shape(make)
    x = _abstract(64, 512)
    found = plan(
        nnx.jit(step, donate_argnums=(0, 1)),
        model,
        optimizer,
        x,
        topology="v5e:2x4",
        mesh=MESH,
        specs=(None, None, P("data")),
        rules=RULES,
    )
    rows = {row.name: row for row in found.collections}
    assert rows["Param"].bytes == 4 * PARAMS
    assert rows["Param"].device_bytes == 4 * (2 * KERNEL // 4 + 1024 + 512)
    assert sum(row.bytes for row in found.collections) >= 3 * 4 * PARAMS
    assert found.work.flops == 5 * 2 * 32 * 512 * 256
    assert found.memory.aliased >= 3 * 4 * 2 * KERNEL // 4  # parameters and both moments
    assert isinstance(model.up.kernel.get_value(), jax.ShapeDtypeStruct)  # nothing was written


def test_what_the_compiler_found_room_for_fits(monkeypatch):
    """Its own account is believed, not a sum that counts what lies in memories on the chip."""
    gib = 2**30
    memory = {"argument": 32, "output": 32, "alias": 0, "temp": 17 * gib, "generated_code": 8}
    account = (
        f"allocation 0: size {4 * gib}, preallocated-temp:\n"
        f"allocation 1: size {gib}, color 1, preallocated-temp:\n"
    )
    answer = compiling.Answer("compiled", "", 1.0, memory, "", account)
    monkeypatch.setattr(compiling, "check_compiler", lambda topology: None)
    monkeypatch.setattr(compiling, "compile_elsewhere", lambda *request: answer)
    monkeypatch.setattr(compiling, "versions", lambda platform: {})
    found = plan(jnp.sin, _abstract(8), topology="v5e:1x1")
    assert found.fits and found.verdict == "fits"
    assert found.memory.temporaries == 4 * gib
    assert found.memory.total == 32 + 32 + 4 * gib + 8


@needs_libtpu
def test_what_does_not_fit_is_a_result():
    def step(x, w):
        with jax.named_scope("attention"):
            scores = jnp.exp(x @ w)
        return jnp.sort(scores, axis=0), x

    found = plan(
        step, _abstract(8 * 2**20, 128), _abstract(128, 4096), topology="v5e:2x4", specs=P("data")
    )
    assert found.verdict == "does not fit" and not found.fits
    assert "exceeds available HBM" in found.message
    memory = found.memory
    assert memory.arguments == 4 * (2**20 * 128 + 128 * 4096)
    assert 15 * 2**30 < memory.available < 16 * 2**30
    assert memory.lacking == memory.total - memory.available > 0
    assert memory.total >= memory.arguments + 4 * 2**20 * 4096
    assert found.contributors[0].bytes == 4 * 2**20 * 4096
    assert found.work.flops == 2 * 2**20 * 128 * 4096
    assert json.loads(found.to_json())["memory"]["lacking"] == memory.lacking


@needs_libtpu
def test_one_chip_and_a_kernel_whose_work_is_unknown():
    """On a TPU, products of ragged groups are kernels."""
    arguments = _abstract(512, 256), _abstract(4, 256, 128), _abstract(4, dtype=jnp.int32)
    found = plan(jax.lax.ragged_dot, *arguments, topology="v5e:1x1")
    assert found.devices == 1 and found.fits
    assert found.work.flops == 0
    assert any(name.startswith("ragged-dot") for name in found.work.unknown_calls)


@needs_libtpu
@pytest.mark.parametrize("explicit", [False, True])
def test_collectives_of_a_known_program(explicit):
    mesh = make_mesh("v5e:2x4", MESH, explicit=explicit)

    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=P("data", "model"),
        out_specs=(P("data", "model"), P("data"), P("data", "model"), P("data", "model")),
        check_vma=False,
    )
    def step(x):  # 64 x 128 on each device
        def again(carry, _):
            return jax.lax.psum(jnp.sin(carry), "model") * 0.1, None

        looped = jax.lax.scan(again, x, None, length=5)[0]
        gathered = jax.lax.all_gather(jnp.cos(x), "model", axis=1, tiled=True)
        moved = jax.lax.ppermute(jnp.tan(x), "data", [(0, 1), (1, 0)])
        return looped, gathered, moved, jax.lax.all_to_all(jnp.exp(x), "model", 0, 0, tiled=True)

    found = plan(
        step,
        _abstract(128, 512),
        topology="v5e:2x4",
        mesh=MESH,
        specs=P("data", "model"),
        explicit=explicit,
    )
    shard = 4 * 64 * 128
    rows = {(row.kind, row.axes): (row.count, row.bytes) for row in found.collectives}
    assert rows == {
        ("all-reduce", ("model",)): (5, 5 * shard),
        ("all-gather", ("model",)): (1, 4 * shard),
        ("collective-permute", ("data",)): (1, shard),
        ("all-to-all", ("model",)): (1, shard),
    }
    wire = 5 * 2 * shard * 3 / 4 + 4 * shard * 3 / 4 + shard + shard * 3 / 4
    assert_close(found.bound.interconnect, wire / found.chip.ici_bandwidth, "op")


def _held(arrays):
    """Return how much the first device holds of arrays."""
    first = jax.devices()[0]
    return sum(
        shard.data.nbytes
        for array in arrays
        for shard in array.addressable_shards
        if shard.device == first
    )


def test_simulated_devices_agree_with_a_real_run():
    state, x = _train_state(_abstract(64, 512)), _abstract(64, 512)
    # Axes, so that the state can be made on the four devices of the tests.
    found = plan(
        _step,
        state,
        x,
        topology="cpu:4",
        mesh={"data": 2, "model": 2},
        specs=(None, P("data")),
        rules=RULES,
        donate=0,
    )
    assert found.simulated and found.chip is None and found.bound is None
    assert found.verdict == "unknown" and found.fits and found.memory.available is None
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    with nn.logical_axis_rules(RULES):
        shardings = nn.logical_to_mesh_sharding(nn.get_partition_spec(state.params), mesh)
    lay = lambda tree: jax.tree.map(
        lambda leaf, sharding: jax.device_put(jnp.zeros(leaf.shape), sharding),
        nn.meta.unbox(tree),
        shardings,
    )
    before = {id(array) for array in jax.live_arrays()}
    params, mu, nu = lay(state.params), lay(state.params), lay(state.params)
    batch = jax.device_put(jnp.zeros((64, 512)), NamedSharding(mesh, P("data")))
    counters = [
        jax.device_put(jnp.zeros((), jnp.int32), NamedSharding(mesh, P())) for _ in range(2)
    ]
    live = [array for array in jax.live_arrays() if id(array) not in before]
    assert len(live) >= 15 and counters and batch is not None
    kept = [*jax.tree.leaves((params, mu, nu)), batch, *counters]
    assert _held(kept) == found.memory.arguments
    assert {id(array) for array in kept} <= {id(array) for array in live}
    # Forward twice, two kernels and the activations backward, on a fourth of it each.
    assert found.work.flops == 5 * 2 * 32 * 512 * 512
    assert {row.axes for row in found.collectives} == {("data",), ("model",)}


def test_loops_count_as_often_as_they_run():
    def step(x, w):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    found = plan(step, _abstract(32, 64), _abstract(7, 64, 64), topology="cpu:1")
    assert found.work.flops == 7 * 2 * 32 * 64 * 64

    def until(x, w):
        return jax.lax.while_loop(lambda x: x.sum() < 100, lambda x: jnp.tanh(x @ w), x)

    found = plan(until, _abstract(32, 64), _abstract(64, 64), topology="cpu:1")
    assert found.work.flops == 2 * 32 * 64 * 64 and found.work.unknown_loops == 1


def test_all_branches_are_counted_and_that_is_kept():
    def step(x, w):
        return jax.lax.cond(x.sum() > 0, lambda: jnp.tanh(x @ w), lambda: x @ w @ w)

    found = plan(step, _abstract(32, 64), _abstract(64, 64), topology="cpu:1")
    assert found.work.flops == 3 * 2 * 32 * 64 * 64 and found.work.choices == 1


def test_a_mesh_of_devices_that_are_here():
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    found = plan(
        jnp.dot, _abstract(8, 16), _abstract(16, 4), topology=mesh, specs=(P("a"), P(None, "b"))
    )
    assert found.mesh == {"a": 2, "b": 2} and not found.simulated
    assert found.work.flops == 2 * 4 * 16 * 2
    assert found.memory.arguments == 4 * (4 * 16 + 16 * 2)


def test_static_arguments_keys_and_names():
    @partial(jax.jit, static_argnames=("kind",), donate_argnums=0)
    def step(x, key, scale, *, kind, unused):
        noise = jax.random.normal(key, x.shape)
        return (x + scale * noise) if kind == "noisy" else x

    key = jax.random.key(0)
    found = plan(
        step, _abstract(16, 16), key, 2.0, topology="cpu:2", kind="noisy", unused=_abstract(32)
    )
    rows = {row.name: row.bytes for row in found.collections}
    assert rows == {"x": 4 * 256, "key": 8, "unused": 4 * 32}
    assert found.memory.arguments == 4 * 256 + 8 + 4 * 32
    assert found.memory.aliased == 4 * 256


def test_several_at_once_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment, stages, found = dict(os.environ), [], []

    def work(size):
        x = _abstract(size, 16)
        found.append(plan(jnp.dot, x, _abstract(16, 8), topology="cpu:2", progress=stages.append))

    threads = [threading.Thread(target=work, args=(size,)) for size in (2, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.work.flops for one in found) == [2 * 2 * 16 * 8, 2 * 4 * 16 * 8]
    assert sorted(stages) == ["compile", "compile", "read", "read", "trace", "trace"]
    assert list(tmp_path.iterdir()) == [] and dict(os.environ) == environment


def test_a_process_that_does_not_know_the_devices_can_plan():
    """Without simulated devices of its own, and with nothing on the search path but its folder."""
    program = """
    import jax, jax.numpy as jnp
    from ramie.training.plan import plan
    assert len(jax.devices()) == 1
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    found = plan(jnp.dot, x, x, topology="cpu:8", specs=jax.sharding.PartitionSpec("data"))
    print(found.devices, found.memory.arguments)
    """
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["8", str(4 * (8 + 64))]


X = _abstract(8, 6)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"topology": "v5e:3x3"}, errors.UnknownTopologyError, ["v5e:3x3", "v5e:2x4", "even"]),
        ({"topology": "v9:2x2"}, errors.UnknownTopologyError, ["'v9'", "v5p", "cpu:8"]),
        ({"topology": "cpu"}, errors.UnknownTopologyError, ["cpu:8"]),
        ({"topology": None}, errors.PlanMeshError, ["v5e:2x4"]),
        ({"mesh": {"data": 3}}, errors.PlanMeshError, ["data=3", "cpu:2", "2 devices"]),
        ({"mesh": {"data": 0}}, errors.PlanMeshError, ["data=0"]),
        ({"mesh": {"data": "2"}}, errors.PlanMeshError, ["whole numbers"]),
        ({"specs": P("model")}, errors.PlanArgumentError, ["x", "'model'", "data=2", "rules"]),
        ({"specs": P(None, None, "data")}, errors.PlanArgumentError, ["2 dimensions"]),
        ({"specs": P("data", "data")}, errors.PlanArgumentError, ["x is", "'data' twice"]),
        ({"specs": (P(), P(), P())}, errors.PlanArgumentError, ["3 entries", "1 argument"]),
        ({"specs": ({"a": P()},)}, errors.PlanArgumentError, ["specs", "x"]),
        ({"specs": "data"}, errors.PlanArgumentError, ["specs", "x"]),
        ({"donate": "x"}, errors.PlanArgumentError, ["donate"]),
        ({"donate": 1}, errors.PlanArgumentError, ["donate", "argument 1", "there are 1"]),
        ({"static": -2}, errors.PlanArgumentError, ["static", "argument -2"]),
        ({"rules": 5}, errors.PlanArgumentError, ["rules", "pairs", "not 5"]),
        ({"rules": [("a",)]}, errors.PlanArgumentError, ["('a',)"]),
    ],
)
def test_mistakes_say_what_to_do(options, error, words):
    with pytest.raises(error) as found:
        plan(lambda x: x + 1, X, **{"topology": "cpu:2", **options})
    assert all(word in str(found.value) for word in words), str(found.value)


def test_a_dimension_that_is_not_divided_evenly_is_named():
    with pytest.raises(errors.PlanArgumentError, match=r"x\['w'\].*dimension 1, of size 6"):
        plan(lambda x: x, {"w": X}, topology="cpu:4", specs=({"w": P(None, "data")},))


@pytest.mark.parametrize("arguments", [(X, "relu"), (X, {"by": [1, "relu"]})])
def test_an_argument_that_is_no_array_is_named(arguments):
    with pytest.raises(errors.PlanArgumentError, match=r"'relu', which is no array.*static="):
        plan(lambda x, how: x, *arguments, topology="cpu:2")


def test_a_size_that_is_no_number_is_named():
    with pytest.raises(errors.PlanArgumentError, match=r"x has the shape \(8, '6'\)"):
        plan(lambda x: x, _abstract(8, "6"), topology="cpu:2")


def test_a_step_that_calls_back_into_python_is_refused():
    def step(x):
        jax.debug.print("{}", x)
        return x

    with pytest.raises(errors.PlanArgumentError, match=r"jax\.debug\.print"):
        plan(step, X, topology="v5e:2x2" if importlib.util.find_spec("libtpu") else "cpu:2")


def test_errors_of_the_step_are_its_own():
    def step(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        plan(step, X, topology="cpu:2")


def test_numbers_of_a_real_array_are_not_needed():
    array = np.zeros((8, 4), np.float32)
    found = plan(jnp.sum, array, topology="cpu:2", specs=P("data"))
    assert found.memory.arguments == 4 * 4 * 4
