"""Files that the package safetensors accepts are read, those that it refuses are refused."""

import json

import numpy as np
import pytest

from ramie import checkpoint, errors
from ramie.checkpoint.formats import safetensors_types as types

package = pytest.importorskip("safetensors")

ROUNDS = 1500
CODES = ["F32", "U8", "BF16", "F4", "F6_E2M3", "I64", "C64", "F8_E8M0", "BOOL"]
ODD = {
    "shape": [[1], [0], [-1], [2.0], None, [True], [[1]], "1", []],
    "data_offsets": [[0, 0], [1, 0], [0, 8], [0], [0, 4, 8], None, [0.0, 4.0], ["0", "4"]],
    "dtype": ["F33", "f32", None, 3, "I4", "U8", "F64"],
    "extra": [1],
}
METADATA = [None, {}, {"a": "b"}, {"a": 1}, {"a": None}, [], "x", {"a": {"b": "c"}}]
PADDING = [b"", b"", b"   ", b"\n", b"\t", b"\0"]


def draw(generator, choices):
    return choices[int(generator.integers(len(choices)))]


def page_and_size(generator):
    """Return the header of a file in order, and how many bytes follow it."""
    page, at = {}, 0
    for index in range(int(generator.integers(5))):
        code = draw(generator, CODES)
        shape = [int(size) for size in generator.integers(4, size=generator.integers(3))]
        try:
            count = types.nbytes_of(code, shape)
        except ValueError:  # would end within a byte
            shape = [4]
            count = types.nbytes_of(code, shape)
        page[f"n{index}"] = {"dtype": code, "shape": shape, "data_offsets": [at, at + count]}
        at += count
    names = list(page)
    generator.shuffle(names)
    return {name: page[name] for name in names}, at


def test_the_package_and_we_agree_on_what_is_in_order(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "m.safetensors"
    verdicts = {True: 0, False: 0}
    for _ in range(ROUNDS):
        page, size = page_and_size(generator)
        change = draw(generator, [*ODD, "metadata", "size", "nothing", "missing"])
        if change in ODD and page:
            page[draw(generator, list(page))][change] = draw(generator, ODD[change])
        elif change == "missing" and page:
            del page[draw(generator, list(page))][draw(generator, ["dtype", "shape"])]
        elif change == "metadata":
            page["__metadata__"] = draw(generator, METADATA)
        elif change == "size":
            size = max(0, size + draw(generator, [-1, 1]))
        text = json.dumps(page).encode() + draw(generator, PADDING)
        data = len(text).to_bytes(8, "little") + text + bytes(size)
        path.write_bytes(data)
        try:
            theirs = dict(package.deserialize(data))
        except package.SafetensorError:
            theirs = None
        try:
            ours = checkpoint.load_safetensors(path, separator=None, partial=True)
        except errors.MalformedDataError:
            ours = None
        verdicts[theirs is not None] += 1
        assert (theirs is None) == (ours is None), text
        for name, about in (theirs or {}).items():
            if about["dtype"] in types.DTYPES:
                assert list(ours[name].shape) == about["shape"]
                assert ours[name].dtype == types.DTYPES[about["dtype"]]
            else:
                assert name not in ours
    assert min(verdicts.values()) > ROUNDS // 5
