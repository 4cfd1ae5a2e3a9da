"""Checksums: what they cover, where manifests lie, and of which file they speak."""

import json
import os
import shutil

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import checkpoint, errors, serialization
from ramie.checkpoint.storage import integrity


def flip(path, position, bit=0):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))


@given(st.lists(st.binary(max_size=40)), st.integers(1, 16))
def test_checksums_are_those_of_each_chunk(pieces, chunk):
    checksum = integrity.Checksum(chunk)
    assert list(integrity.checked(pieces, checksum)) == pieces
    data = b"".join(pieces)
    record = checksum.record()
    assert record.size == len(data)
    assert record.checksums == tuple(
        xxhash.xxh3_64(data[at : at + chunk]).hexdigest() for at in range(0, len(data), chunk)
    )


@given(st.binary(min_size=1, max_size=60), st.integers(1, 20), st.data())
def test_damage_is_found_where_it_is(data, chunk, draw):
    def record(content):
        checksum = integrity.Checksum(chunk)
        checksum.add(content)
        return checksum.record()

    at = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    start = at // chunk * chunk
    assert record(data).damage(record(data)) == []
    assert record(data).damage(record(changed)) == [(start, min(start + chunk, len(data)))]
    (cut,) = record(data).damage(record(data[:at]))
    assert cut == (start, len(data))
    (longer,) = record(data).damage(record(data + b"x"))
    assert longer == (len(data) // chunk * chunk, len(data) + 1)


def test_the_manifest_lies_hidden_beside_the_file(tmp_path):
    path = checkpoint.save(tmp_path, {"a": np.arange(3.0)}, 5)
    assert sorted(os.listdir(tmp_path)) == [".checkpoint_5.ramie.json", "checkpoint_5"]
    page = json.loads((tmp_path / ".checkpoint_5.ramie.json").read_text())
    data = (tmp_path / "checkpoint_5").read_bytes()
    assert page["file"] == "checkpoint_5" and page["algorithm"] == "xxh3_64"
    (content,) = page["contents"]
    assert content["size"] == len(data)
    assert content["checksums"] == [xxhash.xxh3_64(data).hexdigest()]
    assert content["inode"] == os.stat(path).st_ino
    assert page["inode"] == os.stat(integrity.manifest_path(path)).st_ino


def test_it_goes_when_its_checkpoint_goes(tmp_path):
    for step in range(3):
        checkpoint.save(tmp_path, {}, step, keep=2)
    assert sorted(os.listdir(tmp_path)) == [
        ".checkpoint_1.ramie.json",
        ".checkpoint_2.ramie.json",
        "checkpoint_1",
        "checkpoint_2",
    ]
    os.unlink(tmp_path / "checkpoint_1")
    checkpoint.save(tmp_path, {}, 3)
    assert sorted(os.listdir(tmp_path)) == [".checkpoint_3.ramie.json", "checkpoint_3"]


def test_a_flipped_bit_of_an_array_is_noticed(tmp_path):
    path = checkpoint.save(tmp_path, {"a": np.zeros(1000)}, 5)
    flip(path, 4000, 3)
    with pytest.raises(errors.DamagedCheckpointError, match=r"in the bytes 0 to \d+") as caught:
        checkpoint.restore(tmp_path, None)
    assert caught.value.source == path
    flip(path, 4000, 3)
    assert_exact(checkpoint.restore(tmp_path, None)["a"], np.zeros(1000))


def test_a_replaced_checkpoint_is_checked_against_either_content(tmp_path):
    path = checkpoint.save(tmp_path, {"a": 1}, 5)
    old = (tmp_path / "checkpoint_5").read_bytes()
    checkpoint.save(tmp_path, {"a": 2}, 5, overwrite=True)
    assert checkpoint.restore(tmp_path, None) == {"a": 2}
    with open(path, "r+b") as file:  # as if the crash had come between the two renames
        file.write(old)
    assert checkpoint.restore(tmp_path, None) == {"a": 1}
    with open(path, "r+b") as file:
        file.write(serialization.to_bytes({"a": 3}))
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.restore(tmp_path, None)


def test_a_file_that_another_program_put_there_is_not_called_damaged(tmp_path):
    path = checkpoint.save(tmp_path / "run", {"a": 1}, 5)
    other = tmp_path / "run" / "other"
    other.write_bytes(serialization.to_bytes({"a": 3}))
    os.replace(other, path)
    assert checkpoint.restore(tmp_path / "run", None) == {"a": 3}


def test_copies_are_checked(tmp_path):
    checkpoint.save(tmp_path / "run", {"a": np.zeros(100)}, 5)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert_exact(checkpoint.restore(tmp_path / "copy", None)["a"], np.zeros(100))
    flip(tmp_path / "copy" / "checkpoint_5", 300)
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.restore(tmp_path / "copy", None)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"version": 1, "contents": [], "inode": "x"}',
        b'{"version": 1, "inode": 1, "contents": [{"size": -1, "chunk": 1, "checksums": []}]}',
        b'{"version": 1, "inode": 1, "contents": '
        b'[{"size": 3, "chunk": 1, "checksums": ["a"], "inode": 1}]}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_manifest_is_damage(tmp_path, page):
    path = checkpoint.save(tmp_path, {"a": 1}, 5)
    with open(integrity.manifest_path(path), "wb") as file:
        file.write(page)
    with pytest.raises(errors.MalformedDataError, match=r"checkpoint_5\.ramie\.json"):
        checkpoint.restore(tmp_path, None)
    checkpoint.save(tmp_path, {"a": 2}, 5, overwrite=True)
    assert checkpoint.restore(tmp_path, None) == {"a": 2}


def test_manifests_of_a_later_version_are_left_alone(tmp_path):
    path = checkpoint.save(tmp_path, {"a": 1}, 5)
    with open(integrity.manifest_path(path), "w") as file:
        file.write('{"version": 2}')
    assert checkpoint.restore(tmp_path, None) == {"a": 1}


def test_summing_up_never_hangs_on_an_error(monkeypatch):
    checksum = integrity.Checksum()
    monkeypatch.setattr(checksum, "_update", lambda piece: [][0])
    for _ in range(20):
        checksum.add(b"more than the queue holds")
    with pytest.raises(IndexError):
        checksum.record()
