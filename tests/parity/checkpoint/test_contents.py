"""Files that Flax wrote, as the outline, the comparison and the conversion see them."""

import numpy as np
import pytest

flax = pytest.importorskip("flax")

from flax import serialization as peer  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import checkpoint, serialization  # noqa: E402
from ramie.checkpoint.formats.leaf import read_array  # noqa: E402

TREE = {
    "params": {"w": np.arange(30, dtype="f4").reshape(5, 6), "h": np.ones(2, "bfloat16")},
    "scalar": np.float64(2.5),
    "z": 1j,
    "step": 3,
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "MAX_CHUNK_SIZE", 50)
    path = tmp_path / "theirs"
    path.write_bytes(peer.msgpack_serialize(peer.to_state_dict(TREE)))
    return path


def test_chunks_and_scalars_are_found(file):
    leaves = {"/".join(leaf.path): leaf for leaf in checkpoint.outline(file).leaves}
    assert len(leaves["params/w"].spans) == 3
    assert_exact(read_array(leaves["params/w"]), TREE["params"]["w"])
    assert leaves["scalar"].note == "scalar" and leaves["z"].value == 1j
    assert checkpoint.verify(file).state == "readable"


def test_it_equals_what_ramie_writes(file, tmp_path):
    ours = tmp_path / "ours"
    ours.write_bytes(serialization.msgpack_serialize(TREE))
    found = checkpoint.diff(file, ours)
    assert found.same and found.n_same == 5


def test_converted_it_comes_back(tmp_path):
    path = tmp_path / "theirs"
    path.write_bytes(peer.to_bytes(TREE["params"]))
    new = checkpoint.convert(path, tmp_path / "m.safetensors")
    back = checkpoint.convert(new, tmp_path / "back")
    with open(back, "rb") as file:
        restored = peer.msgpack_restore(file.read())
    for name, array in TREE["params"].items():
        assert_exact(restored[name], array)
