"""Checkpoints against Flax's classic backend: names, bytes, retention, and reading each other."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

import os

import flax.training.checkpoints as peer
import jax.numpy as jnp
import numpy as np
import optax
from flax import config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.listing import names
from tests.tolerance import assert_exact

from ramie.training import checkpoints as ours

# Flax announces its classic format's end with each save; the format stays readable here.
pytestmark = pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon:DeprecationWarning")


@pytest.fixture(autouse=True)
def classic_backend(monkeypatch):
    with config.temp_flip_flag("use_orbax_checkpointing", False):
        yield


def some_tree():
    params = {"Dense_0": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3, jnp.bfloat16)}}
    return {"step": 3, "params": params, "opt": optax.adam(1e-3).init(params)}


STEPS = [
    *(0, 7, -2, 0.5, 1e5, 1e16, np.int32(4), jnp.float32(2.5), np.asarray(3), np.float64(0.1)),
    *(kind(-0.19632871) for kind in (np.float32, np.float16, jnp.float32, jnp.bfloat16)),
    *(np.asarray(0.1, jnp.bfloat16), np.float32(1e22), np.float32(1e-7), np.float32(1)),
    np.longdouble(1) / 10,
]


@pytest.mark.parametrize("step", STEPS)
def test_files_are_the_same_and_restore_on_either_side(tmp_path, step):
    mine = ours.save_checkpoint(tmp_path / "ours", some_tree(), step)
    theirs = peer.save_checkpoint(tmp_path / "theirs", some_tree(), step)
    assert os.path.basename(mine) == os.path.basename(theirs)
    with open(mine, "rb") as one, open(theirs, "rb") as other:
        assert one.read() == other.read()
    across = (
        ours.restore_checkpoint(tmp_path / "theirs", some_tree()),
        peer.restore_checkpoint(tmp_path / "ours", some_tree()),
    )
    for restored in across:
        assert_exact(restored["params"]["Dense_0"]["bias"], np.zeros(3, jnp.bfloat16))
        assert type(restored["opt"]) is tuple
        assert restored["step"] == 3


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.sets(st.integers(-20, 60), min_size=1, max_size=12),
    st.integers(1, 4),
    st.none() | st.integers(1, 15),
)
def test_the_same_checkpoints_stay(tmp_path_factory, numbers, keep, distance):
    folders = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    for module, folder in zip((ours, peer), folders, strict=True):
        for step in sorted(numbers):
            module.save_checkpoint(folder, {}, step, keep=keep, keep_every_n_steps=distance)
    assert names(folders[0]) == names(folders[1])


def test_overwriting_leaves_the_same(tmp_path):
    for module, name in ((ours, "ours"), (peer, "theirs")):
        for step in range(5):
            module.save_checkpoint(tmp_path / name, {}, step, keep=9)
        module.save_checkpoint(tmp_path / name, {}, 2, keep=9, overwrite=True)
    assert names(tmp_path / "ours") == names(tmp_path / "theirs")


@given(st.lists(st.from_regex(r"\A[a-z]{0,2}_?[-+]?[0-9]{1,3}(\.[0-9]{1,2})?(e[0-9])?\Z")))
def test_the_natural_order_is_the_same(listing):
    assert ours.natural_sort(listing) == peer.natural_sort(listing)
    assert ours.natural_sort(listing, signed=False) == peer.natural_sort(listing, signed=False)


@pytest.mark.parametrize(
    "params",
    [
        {"Conv_0": {"k": 1}, "Dense_1": {"k": 2}},
        {"Dense_0": {"k": 2}, "Dense": {}, "x_y": {"q": 1}, "Dense_02": {}, "Dense_1_2": {"k": 1}},
        {"mod_3": {"w_1": 1, "w_7": {}}},
        {"_1": {}, "_": {}, "b_3": {"c_2": {"d_9": 1}}},
        {},
    ],
)
def test_parameters_from_before_linen_are_converted_alike(params):
    mine, theirs = ours.convert_pre_linen(params), peer.convert_pre_linen(params)
    assert mine == theirs
    assert list(mine) == list(theirs)
