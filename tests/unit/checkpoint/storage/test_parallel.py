"""Reading with several threads gives every byte its place, and sums up what was put there."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.storage import integrity, parallel
from ramie.serialization import decode_whole, encode

CHUNK = 1 << 16


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("parallel") / "file"
    path.write_bytes(np.random.default_rng(0).bytes(2_000_000))
    return path


@settings(max_examples=40)
@given(
    pieces=st.lists(st.tuples(st.booleans(), st.integers(0, 400_000)), max_size=6),
    chunk=st.sampled_from([0, CHUNK, 300_007]),
    settled=st.integers(0, 6),
    cached=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_large_and_small_pieces_get_their_bytes(file, pieces, chunk, settled, cached):
    data = file.read_bytes()
    with open(file, "rb") as opened, pytest.MonkeyPatch.context() as patch:
        answers = iter(cached)
        patch.setattr(parallel.ParallelStream, "_is_cached", lambda *_: next(answers))
        stream = parallel.ParallelStream(opened.fileno(), len(data), chunk, str(file))
        at, found = 0, []
        for number, (whole, size) in enumerate(pieces):
            size = min(size, len(data) - at)
            memory = bytearray(size)
            if whole:
                assert stream.readinto(memoryview(memory)) == size
            else:
                memory = stream.read(size)
            found.append((memory, data[at : at + size]))
            at += size
            if number == settled:
                stream.settle()
                assert all(bytes(memory) == expected for memory, expected in found)
        record = stream.record(7)
    assert all(bytes(memory) == expected for memory, expected in found)
    if chunk:
        assert record == integrity.sum_up(data, chunk)._replace(inode=7)


def test_the_end_of_the_file_is_the_end(file):
    with open(file, "rb") as opened:
        stream = parallel.ParallelStream(opened.fileno(), 1000, CHUNK, "f")
        assert stream.readinto(memoryview(bytearray(300_000))) == 1000
        assert stream.read(10) == b""
        assert stream.record().size == 1000


def test_a_file_that_becomes_shorter_is_malformed(file):
    with open(file, "rb") as opened:
        stream = parallel.ParallelStream(opened.fileno(), 3_000_000, CHUNK, "some file")
        stream.readinto(memoryview(bytearray(2_900_000)))
        with pytest.raises(errors.MalformedDataError, match=r'some file".*shorter'):
            stream.record()


def big_tree():
    generator = np.random.default_rng(1)
    return {
        "large": generator.standard_normal((700, 800)),
        "bools": generator.integers(0, 2, 300_000).astype(bool),
        "many": {str(index): np.full(50, index, np.int16) for index in range(200)},
        "split": generator.standard_normal(150_000),
        "last": 1,
    }


@pytest.mark.parametrize("with_manifest", [True, False])
def test_large_files_are_restored_by_threads_as_small_ones_are(
    tmp_path, monkeypatch, with_manifest
):
    tree = big_tree()
    monkeypatch.setattr("ramie.serialization.MAX_CHUNK_SIZE", 900_000)
    path = checkpoint.save(tmp_path, tree, 1)
    if not with_manifest:
        os.unlink(integrity.manifest_path(path))
    whole = checkpoint.restore(path, tree)
    monkeypatch.setattr(parallel, "SMALLEST", 0)
    in_parts = checkpoint.restore(path, tree)
    for found in (whole, in_parts):
        assert found["last"] == 1
        for name in ("large", "bools", "split"):
            assert_exact(found[name], tree[name])
            assert found[name].flags.writeable
        for name, array in tree["many"].items():
            assert_exact(found["many"][name], array)
            found["many"][name][:] = 0  # each has its own place in memory
            assert_exact(array, np.full(50, int(name), np.int16))


def test_damage_in_a_large_file_is_found(tmp_path, monkeypatch):
    path = checkpoint.save(tmp_path, big_tree(), 1)
    monkeypatch.setattr(parallel, "SMALLEST", 0)
    with open(path, "r+b") as file:
        file.seek(3_000_000)
        file.write(b"\1")
    with pytest.raises(errors.DamagedCheckpointError, match="checkpoint_1"):
        checkpoint.restore(path, None)


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (40, 30)])
def test_many_arrays_of_one_shape_are_taken_by_their_heads(shape):
    dtypes = [np.float32, np.int64, np.bool_]
    tree = {f"key{index}": np.full(shape, index % 2, dtypes[index % 3]) for index in range(500)} | {
        "x" * 60: np.zeros(shape),
        "number": 3,
        "deep": {"a": [np.ones(shape, np.float32)]},
    }
    data = b"".join(encode.encode_pieces(tree, 1 << 30))
    found = decode_whole.decode_whole(data)
    assert list(found) == list(tree)
    for name, array in tree.items():
        if isinstance(array, np.ndarray):
            assert_exact(found[name], array)
    found["key3"][...] = 7
    assert_exact(found["key6"], tree["key6"])


def test_a_key_that_occurs_twice_among_many_is_found():
    tree = {f"k{index:03d}": np.zeros(3) for index in range(300)}
    data = b"".join(encode.encode_pieces(tree, 1 << 30)).replace(b"k250", b"k100")
    with pytest.raises(errors.MalformedDataError, match="'k100' occurs twice"):
        decode_whole.decode_whole(data)


@pytest.mark.parametrize("error", [None, BlockingIOError(), OSError("not supported")])
def test_what_has_to_come_from_the_disk_is_fetched_in_order(file, error, monkeypatch):
    """Only where the kernel says that it lacks something does the decoding thread read it all."""
    places = []

    def read_at(descriptor, memory, place, flags=0):
        if flags:
            if error is not None:
                raise error
            return 1
        if threading.current_thread() is decoding:
            places.append(place)
        return real(descriptor, memory, place)

    real, decoding = parallel.read_at, threading.current_thread()
    monkeypatch.setattr(parallel, "NO_WAIT", 8)
    monkeypatch.setattr(parallel, "_STEP", 1 << 18)
    monkeypatch.setattr(parallel, "read_at", read_at)
    data = file.read_bytes()
    with open(file, "rb") as opened:
        stream = parallel.ParallelStream(opened.fileno(), len(data), CHUNK, str(file))
        memory = np.empty(len(data), np.uint8)
        stream.readinto(memory.data)
        fetched = list(places)
        record = stream.record()
    assert record == integrity.sum_up(data, CHUNK)
    assert_exact(memory, np.frombuffer(data, np.uint8))
    is_asked = isinstance(error, BlockingIOError)
    assert fetched == (list(range(0, len(data), 1 << 18)) if is_asked else [])
