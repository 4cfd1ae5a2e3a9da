"""What changes on a disk is always noticed: bits, ends that are cut off, blocks of zeros."""

import os

import numpy as np
import pytest
from tests.faults import scale, tally

from ramie import checkpoint, errors
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
