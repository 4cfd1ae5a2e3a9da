"""Shardings over an abstract mesh, as jax.eval_shape gives them, are for the mesh that is set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, nnx
from ramie.checkpoint import shardings
from ramie.configurations import config
from ramie.training import checkpoints, orbax_utils

ocp = pytest.importorskip("orbax.checkpoint")

VALUES = np.arange(16, dtype=np.float32).reshape(8, 2)
ROWS = PartitionSpec("x")


@pytest.fixture(params=[AxisType.Explicit, AxisType.Auto], ids=lambda kind: kind.name)
def mesh(request):
    return jax.make_mesh((4,), ("x",), axis_types=(request.param,))


@pytest.fixture
def saved(tmp_path, mesh):
    """Save a sharded array in a directory of Orbax."""
    tree = {"w": jax.device_put(VALUES, NamedSharding(mesh, ROWS)), "n": 3}
    with ocp.PyTreeCheckpointer() as user:
        return checkpoints.save_checkpoint(tmp_path / "run", tree, 1, orbax_checkpointer=user)


def abstract(mesh, spec=ROWS):
    there = NamedSharding(mesh.abstract_mesh, spec)
    return {"w": jax.ShapeDtypeStruct(VALUES.shape, VALUES.dtype, sharding=there), "n": 0}


@pytest.mark.parametrize("spec", [ROWS, PartitionSpec(), PartitionSpec(None, None)])
@pytest.mark.parametrize("strict", [True, False])
def test_the_mesh_that_is_set_is_meant(saved, mesh, spec, strict):
    with jax.set_mesh(mesh):
        found = checkpoint.restore(saved, abstract(mesh, spec), strict=strict)
    assert found["w"].sharding == NamedSharding(mesh, spec)
    assert_exact(found["w"], VALUES)
    assert found["n"] == 3


@pytest.mark.parametrize("mesh", [AxisType.Explicit], indirect=True)
def test_what_eval_shape_gives_is_a_target(saved, mesh):
    with jax.set_mesh(mesh):
        shapes = jax.eval_shape(lambda: jax.sharding.reshard(jnp.zeros((8, 2)), ROWS))
        found = checkpoints.restore_checkpoint(saved, {"w": shapes, "n": 0})
    assert found["w"].sharding == NamedSharding(mesh, PartitionSpec("x", None))
    assert_exact(found["w"], VALUES)


@pytest.mark.parametrize("mesh", [AxisType.Explicit], indirect=True)
def test_an_abstract_model_is_a_target(tmp_path, mesh):
    def make():
        return nnx.Linear(8, 4, rngs=nnx.Rngs(0), kernel_metadata={"out_sharding": ("x", None)})

    with jax.set_mesh(mesh):
        state = nnx.state(make())
        config.update("flax_use_orbax_checkpointing", True)
        try:
            path = checkpoints.save_checkpoint(tmp_path, state, 1)
        finally:
            config.update("flax_use_orbax_checkpointing", False)
        target = nnx.state(nnx.eval_shape(make))
        found = checkpoints.restore_checkpoint(path, target)
    kernel = found["kernel"].get_value()
    assert kernel.sharding.spec == PartitionSpec("x", None)
    assert_exact(kernel, state["kernel"].get_value())


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (None, "no mesh is set"),
        ({"x": 2}, r"the mesh that is set has the axes \{'x': 2\}"),
        ({"y": 4}, r"the mesh that is set has the axes \{'y': 4\}"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_without_that_mesh_the_message_says_what_to_do(saved, mesh, axes, words, strict):
    def restore():
        checkpoint.restore(saved, abstract(mesh), strict=strict)

    message = rf"\['w'\].*its mesh is abstract, with the axes \{{'x': 4\}}, and {words}; restore .*"
    with pytest.raises(errors.CheckpointOptionError, match=message + "jax.set_mesh"):
        if axes is None:
            restore()
        else:
            with jax.set_mesh(jax.make_mesh(tuple(axes.values()), tuple(axes))):
                restore()


def test_other_targets_stay_the_very_same(mesh):
    here = SingleDeviceSharding(jax.devices()[0])
    for target in (
        None,
        {"w": jnp.ones(2), "n": 1},
        {"w": jax.ShapeDtypeStruct((2,), jnp.float32)},
        {"w": jax.ShapeDtypeStruct((2,), jnp.float32, sharding=here)},
        {"w": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=NamedSharding(mesh, ROWS))},
    ):
        assert shardings.on_devices(target) is target


def test_a_file_needs_no_mesh(tmp_path, mesh):
    path = checkpoint.save(tmp_path, {"w": VALUES, "n": 3}, 1)
    found = checkpoint.restore(path, abstract(mesh))
    assert isinstance(found["w"], np.ndarray)
    assert_exact(found["w"], VALUES)


def test_arguments_for_orbax_are_for_the_mesh_that_is_set(saved, mesh):
    with jax.set_mesh(mesh):
        arguments = orbax_utils.restore_args_from_target(abstract(mesh))
    assert arguments["w"].sharding == NamedSharding(mesh, ROWS)
    with pytest.raises(errors.CheckpointOptionError, match="abstract"):
        orbax_utils.restore_args_from_target(abstract(mesh))


def test_transformations_are_for_the_mesh_that_is_set(saved, mesh):
    with jax.set_mesh(mesh):
        found = checkpoints.restore_checkpoint(saved, abstract(mesh), orbax_transforms={})
    assert found["w"].sharding == NamedSharding(mesh, ROWS)
    assert_exact(found["w"], VALUES)


@pytest.mark.parametrize(
    ("shape", "dtype", "is_possible"),
    [
        ((8, 2), np.float32, True),
        ((4,), jnp.bfloat16, True),
        ((6, 2), np.float32, False),  # not to be divided by 4
        ((), np.float32, False),
        ((8, 2), np.float64, False),  # JAX would make float32 of it
    ],
)
def test_what_a_sharding_can_hold(mesh, shape, dtype, is_possible):
    assert shardings.can_hold(NamedSharding(mesh, ROWS), shape, np.dtype(dtype)) is is_possible
