"""Safetensors files whose bytes were changed, without checksums to tell: read, or refused."""

import json

import numpy as np
import pytest

from ramie import checkpoint, errors
from ramie.checkpoint.storage import integrity

ROUNDS = 600


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.safetensors"
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True]), "c": {}, "d": 3}
    checkpoint.save_safetensors(path, tree, metadata={"k": "v"})
    return path.read_bytes()


def readers(path):
    checkpoint.load_safetensors(path, separator=None)
    checkpoint.outline(path, separator=None)
    checkpoint.describe(path, statistics=True, separator=None)


def test_mutated_files_are_read_or_refused(good, tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "m.safetensors"
    refused = 0
    for _ in range(ROUNDS):
        data = bytearray(good)
        for _ in range(int(generator.integers(1, 4))):
            data[int(generator.integers(len(data)))] = int(generator.integers(256))
        if generator.random() < 0.2:
            del data[int(generator.integers(len(data))) :]
        path.write_bytes(data)
        try:
            readers(path)
        except errors.MalformedDataError:
            refused += 1
    assert refused > ROUNDS // 4


def test_headers_of_any_json_are_read_or_refused(tmp_path):
    generator = np.random.default_rng(1)
    path = tmp_path / "m.safetensors"
    parts = [None, True, -1, 2**70, 1.5, "F32", "", [], [1, 2], [0, 8], {}, {"a": 1}, ["F32"]]
    refused = 0
    for _ in range(ROUNDS):
        entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        field, one, two, three = generator.integers(len(parts), size=4)
        entry[list(entry)[field % 3]] = parts[one]
        page = {"a": entry if field else parts[two], "__metadata__": parts[three]}
        text = json.dumps(page).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
        try:
            readers(path)
        except errors.MalformedDataError:
            refused += 1
    assert refused > 0.9 * ROUNDS


def test_no_flipped_bit_of_an_index_is_read_silently(tmp_path):
    index = checkpoint.save_safetensors(
        tmp_path / "m.safetensors", {"a": np.ones(3), "b": np.ones(3)}, max_shard_bytes=24
    )
    with open(index, "r+b", buffering=0) as file:
        data = file.read()
        for position in range(0, len(data), 3):
            file.seek(position)
            file.write(bytes([data[position] ^ 1]))
            assert checkpoint.verify(index).state == "damaged"
            file.seek(position)
            file.write(data[position : position + 1])
    assert checkpoint.verify(index).state == "intact"
    assert integrity.read_manifest(index) is not None


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
NO_ENTRIES = {
    "a shape that is a dict": {**ENTRY, "shape": {}},
    "a shape that is text": {**ENTRY, "shape": ""},
    "a shape that is a number": {**ENTRY, "shape": 1},
    "no shape": {"dtype": "F32", "data_offsets": [0, 4]},
    "a size that is true": {**ENTRY, "shape": [True]},
    "a size that is a fraction": {**ENTRY, "shape": [1.0]},
    "sizes whose product is huge": {**ENTRY, "shape": [2**40, 2**40]},
    "a product hidden by a zero": {**ENTRY, "shape": [2**61, 2**61, 0], "data_offsets": [0, 0]},
    "a negative size": {**ENTRY, "shape": [-1]},
    "65 axes": {**ENTRY, "shape": [1] * 65},
    "a dtype that is a list": {**ENTRY, "dtype": ["F32"]},
    "a dtype that is none": {**ENTRY, "dtype": "f32"},
    "offsets that are a dict": {**ENTRY, "data_offsets": {"0": 0, "4": 4}},
    "offsets that are text": {**ENTRY, "data_offsets": "04"},
    "three offsets": {**ENTRY, "data_offsets": [0, 2, 4]},
    "an offset that is false": {**ENTRY, "data_offsets": [False, 4]},
    "negative offsets": {**ENTRY, "data_offsets": [-4, 0]},
    "offsets the wrong way round": {**ENTRY, "data_offsets": [4, 0]},
    "a list": [1],
    "nothing": None,
}


@pytest.mark.parametrize("name", NO_ENTRIES)
def test_each_entry_that_is_none_is_refused_with_its_name(name, tmp_path):
    path = tmp_path / "m.safetensors"
    text = json.dumps({"the name": NO_ENTRIES[name]}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    for read in (checkpoint.load_safetensors, checkpoint.outline, checkpoint.describe):
        with pytest.raises(errors.MalformedDataError, match="the name"):
            read(path)
    assert checkpoint.verify(path).state == "damaged"


def test_a_dtype_that_is_not_known_is_named(tmp_path):
    path = tmp_path / "m.safetensors"
    text = json.dumps({"the name": {**ENTRY, "dtype": "X9"}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(errors.MalformedDataError, match=r"dtype 'X9' is none of the format.*name"):
        checkpoint.load_safetensors(path)


def test_booleans_that_are_none_are_not_laid_to_msgpack(tmp_path):
    path = tmp_path / "m.safetensors"
    entry = {"dtype": "BOOL", "shape": [4], "data_offsets": [0, 4]}
    text = json.dumps({"the name": entry}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"\2" * 4)
    problem = checkpoint.verify(path).problem
    assert "other than 0 and 1" in problem
    assert "msgpack" not in problem
