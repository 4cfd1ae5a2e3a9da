"""Orbax directories of NNX models that Flax wrote, read into ours, directly and converted."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")
ocp = pytest.importorskip("orbax.checkpoint")

import flax.training.checkpoints as peer_checkpoints
import jax
import numpy as np
import optax
from flax import nnx as peer
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, nnx, serialization
from ramie.training import checkpoints

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Flax and Orbax


def make(module, seed):
    class Model(module.Module):
        def __init__(self):
            rngs = module.Rngs(seed)
            self.dense = module.Linear(2, 3, rngs=rngs)
            self.norm = module.BatchNorm(3, rngs=rngs)
            self.dropout = module.Dropout(0.5, rngs=rngs)

    return Model()


def states(model):
    return {
        "state": peer.state(model),
        "pure": peer.to_pure_dict(peer.state(model)),
        "model": model,
    }


def by_standard(folder, tree):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "there", tree)
    return folder / "there"


def by_flax(folder, tree):
    return peer_checkpoints.save_checkpoint(
        folder, tree, 1, orbax_checkpointer=ocp.PyTreeCheckpointer()
    )


def contents(state):
    return serialization.to_state_dict(state)


def assert_same(found, model):
    kept = jax.tree.map(
        lambda x: (
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        ),
        peer.to_pure_dict(peer.state(model)),
    )
    jax.tree.map(assert_exact, found, kept)


@pytest.mark.parametrize("save", [by_standard, by_flax])
@pytest.mark.parametrize("form", ["state", "pure", "model"])
def test_a_model_of_flax_is_read_in_every_form(tmp_path, save, form):
    model = make(peer, 7)
    there = save(tmp_path, states(model)[form])
    converted = checkpoint.convert(there, tmp_path / "converted")
    for place in (there, converted):
        blank = make(nnx, 0)
        for target in (nnx.state(blank), blank):
            for restore in (checkpoint.restore, checkpoints.restore_checkpoint):
                assert_same(contents(restore(place, target)), model)
        nnx.update(blank, checkpoint.restore(place, nnx.state(blank)))
        assert_same(contents(nnx.state(blank)), model)
        if form == "pure":
            continue
        raw = checkpoint.restore(place, None)
        with pytest.raises(ValueError, match=r"nnx.state\(model\)"):
            nnx.update(blank, raw)
        with pytest.raises(errors.CheckpointMismatchError, match="dense/kernel"):
            checkpoint.restore(place, nnx.to_pure_dict(nnx.state(blank)), strict=False)


def test_an_optimizer_of_flax_is_read(tmp_path):
    model = make(peer, 7)
    optimizer = peer.Optimizer(model, optax.adam(0.1), wrt=peer.Param)
    optimizer.update(model, jax.tree.map(np.ones_like, peer.state(model, peer.Param)))
    there = by_standard(tmp_path, peer.state(optimizer))
    blank = nnx.Optimizer(make(nnx, 0), optax.adam(0.1), wrt=nnx.Param)
    for target in (nnx.state(blank), blank):
        found = contents(checkpoint.restore(there, target))
        assert int(found["step"]) == 1
        kept = peer.state(optimizer)["opt_state"][0]["mu"]["dense"]["kernel"][...]
        assert_exact(found["opt_state"]["0"]["mu"]["dense"]["kernel"], kept)
