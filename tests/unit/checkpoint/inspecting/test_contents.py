"""Outlines: what is in a file, told without reading arrays, and as a restore tells it."""

import io
import random

import jax
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, serialization
from ramie.checkpoint.formats import msgpack_outline
from ramie.checkpoint.formats.leaf import read_array
from ramie.checkpoint.inspecting.contents import nest, recognise
from ramie.serialization.decode import decode

TREE = {
    "params": {"w": np.arange(12.0).reshape(3, 4), "h": np.ones(2, "bfloat16"), "none": {}},
    "list": [1, -5, 2.5, 300, -70000, 2**40, None, True, "text", b"bytes", []],
    "key": jax.random.key(3),
    "z": 1 + 2j,
    "scalar": np.float32(2),
    "long": {f"k{i}": np.int8(i) for i in range(40)},
}


@pytest.fixture(scope="module")
def data():
    return serialization.msgpack_serialize(TREE)


def test_leaves_are_those_of_a_restore(data, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(data)
    leaves = {"/".join(leaf.path): leaf for leaf in checkpoint.outline(path).leaves}
    found = serialization.msgpack_restore(data)
    assert leaves["params/w"].shape == (3, 4) and leaves["params/w"].kind == "float64"
    assert_exact(read_array(leaves["params/w"]), found["params"]["w"])
    assert leaves["params/h"].kind == "bfloat16" and leaves["params/h"].nbytes == 4
    assert leaves["params/none"].value == {} and leaves["list/10"].value == []
    values = [leaves[f"list/{index}"].value for index in range(10)]
    assert values == found["list"][:10] and values[9] == b"bytes"
    assert (leaves["key"].note, leaves["scalar"].note) == ("threefry2x32", "scalar")
    assert (leaves["z"].value, leaves["z"].kind) == (1 + 2j, "complex")
    assert len(leaves) == 3 + 11 + 3 + 40


def test_chunks_are_one_array(tmp_path, monkeypatch):
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", 40)
    array = np.arange(24, dtype="f4").reshape(4, 6)
    (leaf,) = checkpoint.outline(checkpoint.save(tmp_path, {"w": array}, 1)).leaves
    assert (leaf.path, leaf.shape, len(leaf.spans)) == (("w",), (4, 6), 3)
    assert_exact(read_array(leaf), array)


def test_a_single_leaf_is_a_tree(tmp_path):
    (leaf,) = checkpoint.outline(checkpoint.save(tmp_path, 5, 1)).leaves
    assert (leaf.path, leaf.value, leaf.is_array, leaf.nbytes) == ((), 5, False, 0)
    assert nest([((), 5)], ".") == 5


def test_whatever_the_bytes_are_it_agrees_with_a_restore(data, tmp_path):
    path = tmp_path / "file"
    randomness = random.Random(0)
    for _ in range(400):
        bad = bytearray(data)
        for _ in range(randomness.randint(1, 3)):
            bad[randomness.randrange(len(bad))] = randomness.randrange(256)
        del bad[randomness.choice([len(bad), randomness.randrange(len(bad))]) :]
        path.write_bytes(bad)
        try:
            msgpack_outline.outline(str(path))
        except errors.MalformedDataError:
            # Never stricter than reading the whole file.
            with pytest.raises(errors.MalformedDataError):
                decode(io.BytesIO(bad), len(bad))


HOSTILE = [
    b"",
    b"\xc1",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\x7f\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x91" * 5000,
    b"\x81" * 5000,
    b"\xc7\x05\x01\x93\xdd\xff\xff\xff\xff",
    b"\xd4\x63\x00",
]


@pytest.mark.parametrize("start", HOSTILE)
def test_hostile_files_are_refused(start, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(start)
    with pytest.raises(errors.MalformedDataError):
        checkpoint.outline(path)


def test_formats_are_recognised_by_content(tmp_path):
    path = checkpoint.save(tmp_path, {"a": np.ones(2)}, 1)
    assert recognise(path) == "msgpack"
    other = checkpoint.save_safetensors(tmp_path / "m.safetensors", {"a": np.ones(2)})
    (tmp_path / "plain").write_bytes((tmp_path / "m.safetensors").read_bytes())
    assert recognise(other) == recognise(tmp_path / "plain") == "safetensors"
    assert checkpoint.outline(tmp_path / "plain").leaves[0].path == ("a",)
    with pytest.raises(errors.CheckpointNotFoundError):
        recognise(tmp_path / "nothing")
    with pytest.raises(errors.CheckpointOptionError, match="Orbax"):
        recognise(tmp_path)
    with pytest.raises(errors.CheckpointOptionError, match="regular"):
        recognise("/dev/null")


def test_keys_that_are_written_alike_are_told_apart(tmp_path):
    items = {"0": 1, 0: 2, b"a": 3, "a": 4, None: 5, "None": 6, True: 7, "b'a' (bytes)": 8}
    path = tmp_path / "checkpoint_1"
    path.write_bytes(serialization.msgpack_serialize(items, in_place=True))
    leaves = {"/".join(leaf.path): leaf.value for leaf in checkpoint.outline(path).leaves}
    assert sorted(leaves.values()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (leaves["0"], leaves["0 (int)"], leaves["a"], leaves["True"]) == (1, 2, 4, 7)
    there = checkpoint.convert(path, tmp_path / "m.safetensors")
    assert checkpoint.diff(path, there).same
    assert checkpoint.diff(path, there).n_same == len(items)
