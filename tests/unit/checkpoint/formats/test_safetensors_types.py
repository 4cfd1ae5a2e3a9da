"""Every dtype of safetensors: read, unpacked, or named as what cannot be read; never damaged."""

import json
import struct

import jax
import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.formats import safetensors_types as types
from ramie.cli.main import main

FORMAT = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"]
FORMAT += ["F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64"]
FORMAT += ["F64", "I64", "U64"]
"""What the package of that name knows in its release 0.8.0."""

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
"""The values of the sixteen patterns, by the specification of microscaling formats."""


def write(path, arrays):
    """Write a file from name, dtype, shape and bytes of each array."""
    page, data = {}, b""
    for name, code, shape, content in arrays:
        offsets = [len(data), len(data) + len(content)]
        page[name] = {"dtype": code, "shape": shape, "data_offsets": offsets}
        data += content
    text = json.dumps(page).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize("code", FORMAT)
def test_every_dtype_of_the_format_is_known(tmp_path, code):
    content = bytes([0, 1] * types.nbytes_of(code, [4, 2]))[: types.nbytes_of(code, [4, 2])]
    path = write(tmp_path / "m.safetensors", [("w", code, [4, 2], content), ("v", "U8", [1], b"x")])
    deserialize = pytest.importorskip("safetensors").deserialize
    assert {name for name, _ in deserialize(path.read_bytes())} == {"w", "v"}
    leaves = {leaf.path[0]: leaf for leaf in checkpoint.outline(path).leaves}
    assert leaves["w"].shape == (4, 2)
    assert checkpoint.verify(path).state == "readable"
    assert main(["ckpt", "show", "--stats", str(path)]) == 0
    found = checkpoint.load_safetensors(path, partial=True)
    assert ("w" in found) == (code in types.DTYPES)
    assert_exact(found["v"], np.array([ord("x")], np.uint8))


def test_no_dtype_is_left_out():
    assert set(types.DTYPES) <= set(FORMAT)
    assert [code for code in FORMAT if code not in types.DTYPES] == ["F6_E2M3", "F6_E3M2"]


def test_two_items_of_four_bits_share_a_byte(tmp_path):
    content = bytes(low | (low + 1) << 4 for low in range(0, 16, 2))
    path = write(tmp_path / "m.safetensors", [("w", "F4", [2, 8], content)])
    found = checkpoint.load_safetensors(path)["w"]
    assert found.shape == (2, 8) and found.dtype == ml_dtypes.float4_e2m1fn
    wide = found.astype(np.float32)
    assert_exact(wide, FP4.reshape(2, 8))
    assert np.signbit(wide).reshape(-1).tolist() == [False] * 8 + [True] * 8
    ours = checkpoint.save_safetensors(tmp_path / "ours.safetensors", {"w": found})
    assert (tmp_path / "ours.safetensors").read_bytes()[-8:] == content
    jax.tree.map(assert_exact, checkpoint.load_safetensors(ours), {"w": found})
    old = checkpoint.convert(path, tmp_path / "msgpack")
    jax.tree.map(assert_exact, checkpoint.restore(old, None), {"w": found})
    new = checkpoint.convert(old, tmp_path / "new.safetensors")
    assert (tmp_path / "new.safetensors").read_bytes() == (
        tmp_path / "ours.safetensors"
    ).read_bytes()
    for other in (ours, old, new):
        assert checkpoint.diff(path, other).same
    odd = {"a": {"w": found[0, :3]}}
    with pytest.raises(errors.FormatLimitError, match=r"an odd number of float4_e2m1fn at a/w"):
        checkpoint.save_safetensors(tmp_path / "odd.safetensors", odd)


def test_what_pytorch_writes_of_four_bits_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    content = torch.tensor(list(range(0, 256, 17)), dtype=torch.uint8).view(4, 4)
    files.save_file({"w": content.view(torch.float4_e2m1fn_x2)}, tmp_path / "m.safetensors")
    found = checkpoint.load_safetensors(tmp_path / "m.safetensors")["w"]
    assert_exact(found.astype(np.float32), np.repeat(FP4, 2).reshape(4, 8))


def test_the_others_are_read_where_some_cannot_be(tmp_path):
    arrays = [
        ("a.six", "F6_E2M3", [4], b"abc"),
        ("a.w", "F32", [1], struct.pack("<f", 2)),
        ("b", "F6_E3M2", [2, 4], b"abcdef"),
    ]
    path = write(tmp_path / "m.safetensors", arrays)
    assert [leaf.kind for leaf in checkpoint.outline(path).leaves] == [
        "F6_E2M3",
        "float32",
        "F6_E3M2",
    ]
    with pytest.raises(
        NotImplementedError, match=r"F6_E2M3, F6_E3M2.*2 \('a.six', 'b'\)"
    ) as caught:
        checkpoint.load_safetensors(path)
    assert "partial=True" in str(caught.value) and "in order" in str(caught.value)
    with pytest.raises(errors.UnsupportedCheckpointError, match="F6_E2M3"):
        checkpoint.restore(path, None)
    with pytest.raises(errors.UnsupportedCheckpointError, match="F6_E2M3"):
        checkpoint.convert(path, tmp_path / "new")
    rest = checkpoint.convert(path, tmp_path / "rest", partial=True)
    jax.tree.map(assert_exact, checkpoint.restore(rest, None), {"a": {"w": np.float32([2])}})
    whole = checkpoint.load_safetensors(path, partial=True)
    jax.tree.map(assert_exact, whole, {"a": {"w": np.float32([2])}})
    target = {"a": {"six": np.zeros(4), "w": np.float32([0])}, "b": np.ones(8)}
    filled = checkpoint.load_safetensors(path, target, partial=True)
    jax.tree.map(assert_exact, filled, {**target, "a": {**target["a"], "w": np.float32([2])}})
    # They go from file to file as they are.
    index = checkpoint.convert(path, tmp_path / "parts.safetensors", max_shard_bytes=4)
    merged = checkpoint.convert(index, tmp_path / "again.safetensors")
    assert checkpoint.diff(path, index).same and checkpoint.diff(path, merged).same
    assert checkpoint.verify(index).state == "intact"
    arrays[0] = ("a.six", "F6_E2M3", [4], b"abd")
    other = write(tmp_path / "other.safetensors", arrays)
    assert [change.path for change in checkpoint.diff(path, other).changed] == [("a", "six")]


@pytest.mark.parametrize(
    ("code", "shape", "count"), [("F4", [3], 2), ("F4", [3], 1), ("F6_E3M2", [3], 3)]
)
def test_arrays_that_end_within_a_byte_are_refused(tmp_path, code, shape, count):
    path = write(tmp_path / "m.safetensors", [("w", code, shape, bytes(count))])
    with pytest.raises(errors.MalformedDataError, match="w"):
        checkpoint.load_safetensors(path, partial=True)


@pytest.mark.parametrize("code", ["I4", "C128", "F4_X2", "f32", "", None, 3])
def test_what_is_no_dtype_of_the_format_is_refused(tmp_path, code):
    path = write(tmp_path / "m.safetensors", [("w", code, [1], bytes(1))])
    with pytest.raises(errors.MalformedDataError, match="w"):
        checkpoint.load_safetensors(path)


def test_arrays_of_other_libraries_are_named(tmp_path):
    class Odd:
        dtype, shape = "no dtype at all", (2,)

    for value, message in (
        (Odd(), "a Odd at a/w. Save numpy.asarray of it"),
        (jax.random.key(0), "PRNG keys at a/w"),
    ):
        with pytest.raises(errors.FormatLimitError) as caught:
            checkpoint.save_safetensors(tmp_path / "m.safetensors", {"a": {"w": value}})
        assert message in str(caught.value)


def test_tensors_of_pytorch_are_named(tmp_path):
    torch = pytest.importorskip("torch")
    for value in (
        torch.ones(2),
        torch.ones(2, dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(2)),
        torch.nn.Linear(2, 2),
    ):
        for save in (
            lambda tree: checkpoint.save_safetensors(tmp_path / "m.safetensors", tree),
            lambda tree: checkpoint.save(tmp_path / "run", tree, 1),
        ):
            with pytest.raises((errors.FormatLimitError, TypeError)) as caught:
                save({"a": {"w": value}})
            text = str(caught.value)
            assert "a/w" in text and ".numpy()" in text and "ramie.interop.torch" in text
            assert "PRNG" not in text
