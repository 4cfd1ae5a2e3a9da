"""The files on disk, byte by byte, as `docs/guides/file_format.md` describes them."""

import json
import os

import jax
import numpy as np
from tests.tolerance import assert_exact

from ramie import checkpoint

FILE = bytes.fromhex("82a177c71501939102a7666c6f61743332c4080000803f0000803fa47374657003")
MANIFEST = """{
 "version": 1,
 "file": "checkpoint_3",
 "algorithm": "xxh3_64",
 "inode": INODE,
 "contents": [
  {
   "size": 33,
   "chunk": 16777216,
   "checksums": [
    "0735c8327912e645"
   ],
   "inode": INODE
  }
 ]
}
"""


def tree():
    return {"w": np.ones(2, np.float32), "step": 3}


def test_a_checkpoint_is_these_bytes(tmp_path):
    path = checkpoint.save(tmp_path, tree(), 3)
    assert sorted(os.listdir(tmp_path)) == [".checkpoint_3.ramie.json", "checkpoint_3"]
    with open(path, "rb") as file:
        assert file.read() == FILE
    with open(tmp_path / ".checkpoint_3.ramie.json") as file:
        text = file.read()
    page = json.loads(text)
    for number in {page["inode"], page["contents"][0]["inode"]}:
        text = text.replace(f" {number}", " INODE")
    assert text == MANIFEST


def test_these_bytes_are_a_checkpoint(tmp_path):
    (tmp_path / "checkpoint_3").write_bytes(FILE)
    # As in a directory that was copied from elsewhere: the numbers of inodes are others.
    (tmp_path / ".checkpoint_3.ramie.json").write_text(MANIFEST.replace("INODE", "1"))
    restored = checkpoint.restore(tmp_path, tree())
    assert_exact(restored["w"], tree()["w"])
    assert restored["step"] == 3
    assert checkpoint.verify(tmp_path / "checkpoint_3").state == "intact"


def test_large_arrays_and_keys_are_the_documented_maps(tmp_path, monkeypatch):
    monkeypatch.setattr("ramie.serialization.MAX_CHUNK_SIZE", 4)
    path = checkpoint.save(tmp_path, {"a": np.arange(2, dtype=np.int32).reshape(1, 2)}, 1)
    with open(path, "rb") as file:
        data = file.read()
    part = b"\xc7\x0f\x01\x93\x91\x01\xa5int32\xc4\x04"
    assert data == (
        b"\x81\xa1a\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x82\xa10\x01\xa11\x02\xa6chunks\x82"
        b"\xa10" + part + b"\0\0\0\0\xa11" + part + b"\1\0\0\0"
    )
    monkeypatch.setattr("ramie.serialization.MAX_CHUNK_SIZE", 2**30)
    path = checkpoint.save(tmp_path, {"k": jax.random.key(1, impl="threefry2x32")}, 2)
    with open(path, "rb") as file:
        assert file.read() == (
            b"\x81\xa1k\x82\xb2__ramie_prng_key__\xacthreefry2x32\xa5words"
            b"\xc7\x14\x01\x93\x91\x02\xa6uint32\xc4\x08\0\0\0\0\1\0\0\0"
        )
