"""Files and names made to mislead: each reader returns something, or refuses by one class of error.

No reader crashes, hangs, leaves a directory, or takes more memory than the size of its input says.
"""

import json
import os
import random
import shutil
import tracemalloc

import numpy as np
import pytest
from tests.faults import scale, tally

from ramie import checkpoint, errors
from ramie.checkpoint.storage import integrity, parallel

ROUNDS = scale.times(120, 2_500)
# Python objects are many times larger than their bytes, and files are read through buffers.
MEMORY_PER_BYTE, MEMORY = 400, 1 << 23


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Save a checkpoint; return its folder and what its files hold, by name."""
    folder = tmp_path_factory.mktemp("good")
    generator = np.random.default_rng(0)
    tree = {
        "params": {f"w{index}": generator.standard_normal((3, 4)) for index in range(4)},
        "flags": np.ones(5, bool),
        "list": [1, 2.5, None, "text", b"raw", 2j, np.float16(2)],
        "step": 3,
    }
    checkpoint.save(folder, tree, 1)
    checkpoint.save_safetensors(folder / "m.safetensors", tree["params"])
    checkpoint.save_safetensors(folder / "n.safetensors", tree["params"], max_shard_bytes=100)
    return {name: (folder / name).read_bytes() for name in os.listdir(folder)}


def mutated(data, generator, others):
    """Return bytes with a few changes of the kinds that readers stumble over."""
    data = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(data) + 1)
        end = min(len(data), start + generator.choice([0, 1, 1, 2, 4, 8, 100]))
        piece = generator.choice(
            [
                bytes(generator.randrange(256) for _ in range(end - start)),
                generator.choice([b"\xff", b"\x7f", b"\0"]) * (end - start),
                b"",
                data[start:end] * 2,
                b"\xdf\xff\xff\xff\xff",
                b"\xdd\x00\xff\xff\xff",
                b"\xc9\xff\xff\xff\xff\x01",
                b"99999999999999999999",
                b"-1",
                b'{"a": 1, "a": 2}',
                b"[" * 50,
                generator.choice(others)[start : start + 40],
            ]
        )
        data[start:end] = piece
    return bytes(data)


def read_or_refuse(read, size, *allowed):
    """Call a reader; tell whether it refused, and check that its memory stayed within bounds."""
    with tally.fault("inputs read under a limit of memory"):
        tracemalloc.start()
        try:
            read()
        except (errors.MalformedDataError, *allowed) as error:
            assert len(str(error)) < 3000
            return True
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MEMORY_PER_BYTE * size + MEMORY
        return False


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("in_parallel", [False, True])
def test_msgpack_files_without_checksums(good, tmp_path, monkeypatch, in_parallel):
    if in_parallel:
        monkeypatch.setattr(parallel, "SMALLEST", 0)
    generator = random.Random(1)
    path = tmp_path / "checkpoint_1"
    refused = 0
    for _ in range(ROUNDS // 2):
        data = mutated(good["checkpoint_1"], generator, list(good.values()))
        path.write_bytes(data)
        refused += read_or_refuse(lambda: checkpoint.restore(tmp_path, None), len(data))
        read_or_refuse(lambda: checkpoint.outline(path), len(data), errors.CheckpointOptionError)
    assert refused > ROUNDS // 10


@pytest.mark.timeout(3600)
def test_manifests(good, tmp_path):
    generator = random.Random(2)
    path = tmp_path / "checkpoint_1"
    path.write_bytes(good["checkpoint_1"])
    place = integrity.manifest_path(str(path))
    page = json.loads(good[os.path.basename(place)])
    parts = [None, True, -1, 0, 1, 2**70, 1.5, "x", [], [1], {}, {"a": 1}, "00" * 8, 2**40]
    refused = 0
    for index in range(ROUNDS):
        data = mutated(good[os.path.basename(place)], generator, list(good.values()))
        if index % 2:
            crafted = json.loads(json.dumps(page))
            owner = crafted if index % 4 == 1 else crafted["contents"][0]
            owner[generator.choice(list(owner))] = generator.choice(parts)
            data = json.dumps(crafted).encode()
        with open(place, "wb") as file:
            file.write(data)
        size = len(data) + len(good["checkpoint_1"])
        refused += read_or_refuse(lambda: checkpoint.restore(tmp_path, None), size)
    assert refused > ROUNDS // 10


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["m.safetensors", "n.safetensors.index.json"])
def test_safetensors_files_and_indices(good, tmp_path, name):
    generator = random.Random(3)
    for other, data in good.items():
        if other.endswith(".safetensors"):
            (tmp_path / other).write_bytes(data)
    path = tmp_path / name
    refused = 0
    for _ in range(ROUNDS):
        data = mutated(good[name], generator, list(good.values()))
        path.write_bytes(data)
        refused += read_or_refuse(
            lambda: checkpoint.load_safetensors(path, separator=None),
            len(data) + 1000,
            errors.CheckpointOptionError,
        )
    assert refused > ROUNDS // 4


TRICKS = ["..", ".", "/", "\\", "\0", "*", "?", "[1]", "~", "$HOME", "%2e", "%2f", "\n", " ", "é"]
TRICKS += ["a", "ckpt_", "//", "../", "/..", "1", "-", "+", ".ramie-tmp-", ".ramie.json", "1e5"]


@pytest.mark.timeout(3600)
def test_prefixes_and_steps_never_lead_out_of_the_directory(tmp_path):
    generator = random.Random(4)
    inside = tmp_path / "outer" / "inside"
    inside.mkdir(parents=True)
    (tmp_path / "outer" / "precious").write_text("mine")
    steps = [1, 2.5, -3, 1e5, "7", "../1", None, True, float("nan"), [1], np.int32(4), 2**70, 1j]
    refused = 0
    for _ in range(ROUNDS):
        prefix = "".join(generator.choice(TRICKS) for _ in range(generator.randint(0, 4)))
        step = generator.choice(steps)
        try:
            path = checkpoint.save(inside, {"a": 1}, step, prefix=prefix, overwrite=True)
            assert checkpoint.latest(inside, prefix) == path
            assert checkpoint.restore(inside, None, step, prefix=prefix) == {"a": 1}
            assert os.path.realpath(path).startswith(os.path.realpath(inside) + os.sep)
        except errors.CheckpointOptionError:
            refused += 1
        except errors.UnsupportedCheckpointError:
            pass  # the prefix made a directory, and this name is taken by it
        except OSError as error:
            assert isinstance(error, (NotADirectoryError, FileExistsError))  # or by a file
        assert sorted(os.listdir(tmp_path / "outer")) == ["inside", "precious"]
    assert os.listdir(tmp_path) == ["outer"]
    assert refused > ROUNDS // 4
    shutil.rmtree(inside)
