"""Checkpoints of layers with numbers become those of stacked layers, and back, bit for bit."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie import checkpoint, nnx
from ramie.errors import CheckpointOptionError
from ramie.serialization.state_dict import to_state_dict
from ramie.training.train_state import TrainState

N = 12


def tree(make=lambda i: np.full((2, 3), i, ml_dtypes.bfloat16)):
    layers = {
        f"layers_{i}": {
            "w": make(i),
            "flag": np.array(i % 2 == 0),
            "none": None,
            "empty": {},
        }
        for i in range(N)
    }
    return {"params": {"embed": np.arange(4.0, dtype=np.float32), **layers}, "step": 7}


def stacked():
    layers = {
        "w": np.stack([np.full((2, 3), i, ml_dtypes.bfloat16) for i in range(N)]),
        "flag": np.arange(N) % 2 == 0,
        "none": None,
        "empty": {},
    }
    return {"params": {"embed": np.arange(4.0, dtype=np.float32), "layers": layers}, "step": 7}


def assert_same(found, wanted):
    if isinstance(wanted, dict):
        assert isinstance(found, dict) and found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_same(found[key], value)
    elif isinstance(wanted, jax.Array) and jnp.issubdtype(wanted.dtype, jax.dtypes.prng_key):
        words = found if isinstance(found, np.ndarray) else jax.random.key_data(found)
        assert_exact(words, jax.random.key_data(wanted))
    elif isinstance(wanted, np.ndarray | jax.Array):
        assert_exact(found, wanted)
    else:
        assert found == wanted


def load(path):
    is_safetensors = str(path).endswith(("safetensors", "index.json"))
    if is_safetensors:
        return checkpoint.load_safetensors(path)
    return checkpoint.restore(path, None)


ENDINGS = ["", ".safetensors", ".orbax"]


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ENDINGS)
def test_layers_are_stacked_and_taken_apart_again(tmp_path, source, target):
    if ".orbax" in (source, target):
        pytest.importorskip("orbax.checkpoint")
    path = checkpoint.save(tmp_path / "run", tree(), 1)
    if source:
        path = checkpoint.convert(path, tmp_path / f"source{source}")
    one = checkpoint.convert(path, tmp_path / f"stacked{target}", stack="layers")
    assert checkpoint.verify(one).is_good
    assert_same(load(one), load(checkpoint.save(tmp_path / "want", stacked(), 1)))
    back = checkpoint.convert(one, tmp_path / f"back{source}", unstack="layers")
    assert_same(load(back), load(path))
    below = checkpoint.convert(one, tmp_path / f"below{source}", unstack="layers/")
    found = load(below)["params"]["layers"]
    assert found.keys() == set(map(str, range(N)))
    assert_exact(found["11"]["w"], tree()["params"]["layers_11"]["w"])
    again = checkpoint.convert(below, tmp_path / f"again{target}", stack="params/layers")
    assert_same(load(again), load(one))


def test_keys_keep_their_generators(tmp_path):
    keys = jax.random.split(jax.random.key(3), N)
    path = checkpoint.save(tmp_path / "run", {f"layers_{i}": keys[i] for i in range(N)}, 1)
    one = checkpoint.convert(path, tmp_path / "one", stack="layers")
    target = {"layers": jax.random.split(jax.random.key(0), N)}
    assert_same(checkpoint.restore(one, target), {"layers": keys})
    back = checkpoint.convert(one, tmp_path / "back", unstack="layers")
    assert_same(load(back), load(path))


def test_parts_of_several_files_and_metadata(tmp_path):
    path = checkpoint.save_safetensors(
        tmp_path / "m.safetensors", tree(), max_shard_bytes=100, metadata={"run": "3"}
    )
    one = checkpoint.convert(path, tmp_path / "one.safetensors", stack="layers")
    assert_same(load(one), load(checkpoint.save(tmp_path / "want", stacked(), 1)))
    assert checkpoint.outline(one).metadata["run"] == "3"


def test_arrays_are_read_one_after_the_other(tmp_path):
    path = checkpoint.save(tmp_path / "run", tree(), 1)
    seen = []
    checkpoint.convert(
        path, tmp_path / "one", stack="layers", progress=lambda *call: seen.append(call)
    )
    done = [n for _, n, _ in seen]
    assert done == sorted(done) and seen[-1][1] <= seen[-1][2]


def test_a_model_that_was_written_out_goes_on_as_a_scan(tmp_path):
    x = jnp.ones((2, 4))
    tower = nn.Repeat(partial(nn.Dense, 4), 11)
    tx = optax.adam(1e-2)

    def state(model, key):
        variables = model.init(key, x)
        return TrainState.create(apply_fn=model.apply, params=variables["params"], tx=tx)

    saved = state(tower, jax.random.key(0))
    saved = saved.apply_gradients(grads=jax.tree.map(jnp.cos, saved.params))
    path = checkpoint.save(tmp_path / "run", saved, 1)
    one = checkpoint.convert(path, tmp_path / "one", stack="layers")
    scanned = state(tower.clone(scan=True), jax.random.key(1))
    restored = checkpoint.restore(one, target=scanned)
    assert_same(to_state_dict(restored), to_state_dict(nn.stack_layers(saved)))
    back = checkpoint.convert(one, tmp_path / "back", unstack="layers")
    again = checkpoint.restore(back, target=state(tower, jax.random.key(2)))
    assert_same(to_state_dict(again), to_state_dict(saved))


def test_states_of_nnx(tmp_path):
    block = partial(nnx.Linear, 4, 4)
    tower = nnx.Repeat(block, 11, rngs=nnx.Rngs(0))
    path = checkpoint.save(tmp_path / "run", nnx.to_pure_dict(nnx.state(tower)), 1)
    one = checkpoint.convert(path, tmp_path / "one", stack="layers")
    scanned = nnx.Repeat(block, 11, rngs=nnx.Rngs(1), scan=True)
    state = nnx.state(scanned)
    target = nnx.to_pure_dict(state)
    nnx.replace_by_pure_dict(state, checkpoint.restore(one, target=target))
    nnx.update(scanned, state)
    assert_exact(scanned.layers.kernel[10], tower.layers[10].kernel[...])


REFUSED = {
    "gap": ({"a": {"layers_0": np.ones(1), "layers_2": np.ones(1)}}, "a/layers_1 is missing"),
    "shape": (
        {"a": {"layers_0": {"w": np.ones(1)}, "layers_1": {"w": np.ones(2)}}},
        r"a/layers_0/w is float64\[1\], but a/layers_1/w is float64\[2\]",
    ),
    "dtype": (
        {"layers_0": np.ones(1, np.int8), "layers_1": np.ones(1, np.int16)},
        r"layers_0 is int8\[1\], but layers_1 is int16\[1\]",
    ),
    "structure": (
        {"layers_0": {"w": np.ones(1)}, "layers_1": {"v": np.ones(1)}},
        "layers_1 has 'v', but layers_0 has not|layers_0 has 'w', but layers_1 has not",
    ),
    "leaf": ({"layers_0": {"w": np.ones(1)}, "layers_1": np.ones(1)}, "mapping of w, but"),
    "keys": (
        {"layers_0": jax.random.key(0), "layers_1": np.zeros(2, np.uint32)},
        "keys of threefry2x32",
    ),
    "plain": ({"layers_0": 3, "layers_1": 3}, "layers_0 is the plain value 3"),
    "values": ({"layers_0": 3, "layers_1": 4}, "layers_0 is the value 3, but layers_1 is the"),
    "taken": ({"layers_0": np.ones(1), "layers": np.ones(1)}, "cannot become layers"),
    "none": ({"blocks_0": np.ones(1)}, "no layers with numbers called 'layers'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stacked_is_refused_by_its_path(tmp_path, name):
    content, message = REFUSED[name]
    path = checkpoint.save(tmp_path / "run", content, 1)
    with pytest.raises(CheckpointOptionError, match=message):
        checkpoint.convert(path, tmp_path / "one", stack="layers")
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layers": {"a": np.ones((2, 1)), "b": np.ones(3)}}, "layers/a has 2 .* layers/b has 3"),
        ({"layers": {"a": np.ones(())}}, "layers/a has no axis"),
        ({"layers": {"a": jax.random.key(0)}}, "layers/a has no axis"),
        ({"layers": {"a": np.ones(2), "b": 3}}, "layers/b is the plain value 3"),
        ({"layers": {"a": np.ones((0, 2))}}, "layers/a has no layers"),
        ({"layers": {"a": None}}, "layers holds no arrays"),
        ({"layers": np.ones(2), "layers_0": np.ones(2)}, "but layers_0 is there"),
        ({"blocks": np.ones(2)}, "no such entry called 'layers'"),
    ],
)
def test_what_cannot_be_unstacked_is_refused_by_its_path(tmp_path, content, message):
    path = checkpoint.save(tmp_path / "run", content, 1)
    with pytest.raises(CheckpointOptionError, match=message):
        checkpoint.convert(path, tmp_path / "one", unstack="layers")


def test_what_makes_no_sense_together_is_refused(tmp_path):
    path = checkpoint.save(tmp_path / "run", tree(), 1)
    with pytest.raises(CheckpointOptionError, match="convert twice"):
        checkpoint.convert(path, tmp_path / "one", stack="a", unstack="b")
    with pytest.raises(CheckpointOptionError, match="it is the source"):
        checkpoint.convert(path, path, stack="layers", overwrite=True)
    with pytest.raises(CheckpointOptionError, match="the format of the source"):
        checkpoint.convert(path, tmp_path / "one")
