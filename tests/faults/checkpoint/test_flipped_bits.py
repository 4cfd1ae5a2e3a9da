"""What changes on a disk is always noticed: bits, ends that are cut off, blocks of zeros."""

import os

import numpy as np
import pytest
from tests.faults import scale, tally

from ramie import checkpoint, errors
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import integrity

BLOCK = 4096


@pytest.fixture
def saved(tmp_path):
    """Save a tree of a few blocks, and one before it; return the path and the tree."""
    generator = np.random.default_rng(0)
    tree = {
        "step": 3,
        "name": "run",
        "weights": generator.standard_normal((400, 50)).astype(np.float32),
        "layers": [{"bias": np.arange(7)}, {"bias": np.zeros(0)}],
    }
    checkpoint.save(tmp_path, tree, 2, keep=2)
    return checkpoint.save(tmp_path, tree, 3, keep=2), tree


def check_noticed(path, tree, data, changed, kind):
    """Put changed bytes into the file's place, see that it is named, and put it right again."""
    with tally.fault(kind), open(path, "r+b", buffering=0) as file:
        file.write(changed)
        file.truncate()
        with pytest.raises(errors.DamagedCheckpointError, match=r"checkpoint_3.*checkpoint_2"):
            checkpoint.restore(os.path.dirname(path), tree)
        file.seek(0)
        file.write(data)
        file.truncate()


def test_no_flipped_bit_is_read_silently(saved):
    path, tree = saved
    with open(path, "rb") as file:
        data = file.read()
    generator = np.random.default_rng(1)
    for position in generator.integers(0, 8 * len(data), scale.times(60, 500)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        check_noticed(path, tree, data, changed, "flipped bits")
    checkpoint.restore(path, tree)


def test_no_lost_end_is_read_silently(saved):
    path, tree = saved
    with open(path, "rb") as file:
        data = file.read()
    for length in np.random.default_rng(2).integers(0, len(data), scale.times(20, 200)):
        check_noticed(path, tree, data, data[:length], "truncations")
    check_noticed(path, tree, data, b"", "truncations")
    check_noticed(path, tree, data, data + b"\0", "truncations")
    checkpoint.restore(path, tree)


def test_no_zeroed_block_is_read_silently(saved):
    path, tree = saved
    with open(path, "rb") as file:
        data = file.read()
    generator = np.random.default_rng(3)
    for _ in range(scale.times(20, 200)):
        start = int(generator.integers(0, len(data) // BLOCK)) * BLOCK
        length = int(generator.integers(1, 4)) * BLOCK
        changed = bytearray(data)
        changed[start : start + length] = bytes(len(changed[start : start + length]))
        check_noticed(path, tree, data, changed, "zeroed blocks")
    checkpoint.restore(path, tree)


def test_no_change_of_a_manifest_is_worse_than_an_error(saved):
    path, tree = saved
    place = integrity.manifest_path(path)
    with open(place, "rb") as file:
        data = file.read()
    generator = np.random.default_rng(4)
    for position in generator.integers(0, 8 * len(data), scale.times(60, 500)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        with open(place, "r+b") as file:
            file.write(changed)
        with tally.fault("flipped bits"):
            try:
                restored = checkpoint.restore(path, tree)
            except errors.MalformedDataError:
                continue
            assert (restored["weights"] == tree["weights"]).all()


def save_as(form, folder):
    """Save a tree in a format; return its path, the files that are checked, and a reader."""
    tree = {"w": np.arange(3000, dtype=np.float32), "b": np.ones(7)}
    if form == "orbax":
        pytest.importorskip("orbax.checkpoint")
        source = checkpoint.save(folder / "source", tree, 1)
        path = checkpoint.convert(source, folder / "m.orbax")
        return path, storage.files_below(path), lambda: checkpoint.restore(path, None)
    limit = 8000 if form == "shards" else None
    path = checkpoint.save_safetensors(folder / "m.safetensors", tree, max_shard_bytes=limit)
    files = [str(file) for file in folder.glob("m*")]
    return path, files, lambda: checkpoint.load_safetensors(path)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", ["safetensors", "shards", "orbax"])
def test_no_flipped_bit_of_any_format_is_read_silently(form, tmp_path):
    path, files, read = save_as(form, tmp_path)
    generator = np.random.default_rng(5)
    for _ in range(scale.times(20, 300)):
        place = files[int(generator.integers(len(files)))]
        with open(place, "r+b", buffering=0) as file:
            data = file.read()
            changed = bytearray(data)
            changed[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
            file.seek(0)
            file.write(changed)
            with tally.fault("flipped bits"):
                with pytest.raises(errors.MalformedDataError):
                    read()
                assert checkpoint.verify(path).state == "damaged"
            file.seek(0)
            file.write(data)
    assert checkpoint.verify(path).state == "intact"
    read()
