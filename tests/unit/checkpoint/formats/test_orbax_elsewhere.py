"""Directories of Orbax from other machines and releases of JAX, whose devices are not here."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import checkpoint
from ramie.training import checkpoints

ocp = pytest.importorskip("orbax.checkpoint")

TREE = {
    "w": np.arange(8, dtype=np.float32),
    "b": {"c": np.ones((2, 3), jnp.bfloat16)},
    "n": 3,
    "text": "word",
}


@pytest.fixture
def saved(tmp_path):
    mesh = jax.make_mesh((4,), ("x",))
    rows = NamedSharding(mesh, PartitionSpec("x"))
    tree = {**TREE, "w": jax.device_put(TREE["w"], rows), "b": {"c": jnp.asarray(TREE["b"]["c"])}}
    tree["key"] = jax.random.key(3)
    with ocp.PyTreeCheckpointer() as user:
        user.save(tmp_path / "saved", tree)
    return str(tmp_path / "saved")


def old_cpu(page):
    """Name devices as JAX did before 0.10."""
    return page.replace("cpu:0", "TFRT_CPU_0")


def gpus(page):
    return page.replace("cpu:0", "cuda:7").replace('\\"id\\": 3', '\\"id\\": 70')


def tpus(page):
    return page.replace("cpu:0", "TPU_9(process=2,(1,1,0,0))").replace('\\"id\\": ', '\\"id\\": 9')


def kinds_of_early_releases(page):
    return page.replace("NamedSharding", "PositionalSharding")


def unknown_kinds(page):
    return page.replace("NamedSharding", "SomeSharding").replace("SingleDevice", "Another")


@pytest.fixture(params=[old_cpu, gpus, tpus, kinds_of_early_releases, unknown_kinds, None])
def elsewhere(saved, tmp_path, request):
    """Return a directory whose file of shardings names devices that are not here, or is absent."""
    path = str(tmp_path / "elsewhere")
    shutil.copytree(saved, path)
    place = os.path.join(path, "_sharding")
    if request.param is None:
        os.unlink(place)
        return path
    with open(place) as file:
        page = file.read()
    changed = request.param(page)
    assert changed != page
    json.loads(changed)
    with open(place, "w") as file:
        file.write(changed)
    return path


def check(found):
    assert_exact(found["w"], TREE["w"])
    assert_exact(found["b"]["c"], TREE["b"]["c"])
    assert (found["n"], found["text"]) == (3, "word")


@pytest.mark.parametrize("restore", [checkpoint.restore, checkpoints.restore_checkpoint])
def test_without_a_target_arrays_come_to_the_host(elsewhere, restore):
    found = restore(elsewhere, None)
    check(found)
    assert type(found["w"]) is np.ndarray
    assert_exact(jax.random.key_data(found["key"]), jax.random.key_data(jax.random.key(3)))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("of", [np.zeros_like, jnp.zeros_like], ids=["numpy", "jax"])
def test_a_target_says_where_arrays_come_to(elsewhere, of, strict):
    target = {"w": of(TREE["w"]), "b": {"c": of(TREE["b"]["c"])}, "n": 0, "text": ""}
    found = checkpoint.restore(elsewhere, target, strict=strict)
    check(found)
    assert isinstance(found["w"], type(target["w"]))


def test_a_target_without_shardings_comes_to_the_host(elsewhere):
    shapes = jax.eval_shape(lambda: {"w": jnp.zeros(8), "b": {"c": jnp.zeros((2, 3), "bfloat16")}})
    found = checkpoint.restore(elsewhere, {**shapes, "n": 0, "text": ""})
    check(found)


def test_it_is_described_compared_and_converted(elsewhere, saved, tmp_path):
    assert len(checkpoint.outline(elsewhere).leaves) == 5
    assert checkpoint.verify(elsewhere).state == "readable"
    assert checkpoint.diff(elsewhere, saved).same
    new = checkpoint.convert(elsewhere, tmp_path / "new")
    check(checkpoint.restore(new, None))
    assert checkpoint.diff(new, saved).same
