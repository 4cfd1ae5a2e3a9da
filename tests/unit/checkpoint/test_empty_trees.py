"""What holds nothing, and dtypes that few have: through every command, in every format.

Each kind is saved, and each command is called on the file. A format that cannot hold a kind says
so, with the path, before anything is written.
"""

import os

import jax
import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie.checkpoint.inspecting.numbers import number_kind
from ramie.cli.main import main

DTYPES = ["bool", "int8", "uint64", "float16", "float32", "longdouble", "complex64", "complex128"]
DTYPES += ["bfloat16", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn", "int4", "uint2"]
DTYPES += ["V5", "V1", "S4", "U3", "M8[s]", "m8[D]", ">f4", ">i8"]
IN_SAFETENSORS = {"bool", "int8", "uint64", "float16", "float32", "complex64", "bfloat16"}
IN_SAFETENSORS |= {"float8_e5m2", "float8_e8m0fnu", ">f4", ">i8"}
SHAPES = {"none": (0,), "no columns": (3, 0), "no rows": (0, 9), "hidden": (2, 0, 3)}
COMMANDS = (["show"], ["show", "--stats"], ["show", "--json", "--stats"], ["verify"])


def zeros():
    return {f"{dtype} {name}": np.zeros(SHAPES[name], dtype) for dtype in DTYPES for name in SHAPES}


def containers():
    keys = jax.random.split(jax.random.key(0), 2)
    return {
        "an empty dict": {},
        "an empty list": [],
        "an empty tuple": (),
        "None": None,
        "empty text": "",
        "dicts of nothing": {"a": {}, "b": {"c": {}}},
        "no keys": keys[:0],
        "keys": keys,
        "bytes": b"",
    }


def unusual():
    """Return arrays that have elements, and whose numbers are easily got wrong."""
    found = {f"{dtype} of no axes": np.zeros((), dtype) for dtype in DTYPES}
    for dtype in ("float32", "bfloat16", "float8_e5m2", "complex64"):
        found[f"{dtype} nan"] = np.full(3, np.nan).astype(dtype)
        found[f"{dtype} inf"] = np.array([np.inf, -np.inf]).astype(dtype)
    for name in ("int8", "int64", "uint8", "uint64", "int4", "uint2"):
        about = ml_dtypes.iinfo(name)
        found[f"{name} ends"] = np.array([int(about.min), int(about.max)], "O").astype(name)
    found["fortran"] = np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    found["big-endian fortran"] = np.asfortranarray(np.arange(6.0).reshape(2, 3).astype(">f4"))
    found["strided"] = np.arange(12, dtype=np.int32)[::-3]
    found["broadcast"] = np.broadcast_to(np.float32(2), (2, 2))
    found["void"] = np.frombuffer(b"abcdefghij", "V5")
    found["text with zeros"] = np.array(["a\0b", ""])
    found["not a time"] = np.array(["NaT", "2020-01-01"], "M8[D]")
    found["scalar"] = np.float32(2)
    return found


def holds(form, value):
    """Tell whether a format has a place for a value."""
    if form == "msgpack":
        return True
    if isinstance(value, bytes):
        return False
    if not hasattr(value, "dtype"):
        return True
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return form == "orbax" and value.size > 0
    if form == "orbax":
        is_lacking = value.dtype in (np.longdouble, ml_dtypes.uint2)
        return value.size > 0 and number_kind(value.dtype) is not None and not is_lacking
    if value.dtype == ml_dtypes.float4_e2m1fn:  # two share a byte
        return value.size % 2 == 0
    return value.dtype.newbyteorder("=") in {np.dtype(name) for name in IN_SAFETENSORS} | PLAIN


PLAIN = {np.dtype(name) for name in ("int32", "int64", "uint8")}
CASES = {**zeros(), **containers(), **unusual()}


def save(form, folder, tree):
    if form == "msgpack":
        return checkpoint.save(folder, tree, 1)
    return checkpoint.save_safetensors(folder / "m.safetensors", tree)


def ramie(*words):
    return main(["ckpt", *map(str, words)])


def restored(path):
    if str(path).endswith(".safetensors"):
        return checkpoint.load_safetensors(path)
    return checkpoint.restore(path, None)


def check_equal(found, value):
    if not isinstance(value, (np.ndarray, np.generic)):
        return
    value = np.asarray(value, order="C")
    assert_exact(np.asarray(found), value.astype(value.dtype.newbyteorder("=")))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["msgpack", "safetensors"])
def test_each_command_takes_what_the_format_holds(form, name, tmp_path, capsys):
    value = CASES[name]
    tree = {"w": np.ones(2, np.float32), "deep": {"z": value}}
    if not holds(form, value):
        with pytest.raises(errors.FormatLimitError, match="at deep/z"):
            save(form, tmp_path, tree)
        assert os.listdir(tmp_path) == []
        return
    path = save(form, tmp_path / "one", tree)
    other = save(form, tmp_path / "two", {**tree, "w": np.zeros(2, np.float32)})
    check_equal(restored(path)["deep"]["z"], value)
    for command in COMMANDS:
        assert ramie(command[0], path, *command[1:]) == 0
    assert ramie("ls", os.path.dirname(path)) == 0
    assert ramie("diff", path, path) == 0
    assert ramie("diff", path, other) == 1
    assert [change.path for change in checkpoint.diff(path, other).changed] == [("w",)]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", CASES)
def test_each_kind_is_converted_or_refused_by_its_path(name, tmp_path, capsys):
    value = CASES[name]
    source = save("msgpack", tmp_path / "one", {"w": np.ones(2), "deep": {"z": value}})
    there, back = tmp_path / "m.safetensors", tmp_path / "back"
    if not holds("safetensors", value):
        assert ramie("convert", source, there) == 2
        assert "at deep/z" in capsys.readouterr().err
        assert sorted(os.listdir(tmp_path)) == ["one"]
        return
    assert ramie("convert", source, there) == 0
    assert ramie("diff", source, there) == 0
    assert ramie("convert", there, back) == 0
    assert ramie("diff", source, back) == 0
    check_equal(checkpoint.restore(back, None)["deep"]["z"], value)


LACKING = [name for name in CASES if not holds("orbax", CASES[name])]


@pytest.mark.parametrize("name", LACKING)
def test_what_orbax_lacks_is_refused_before_anything_is_written(name, tmp_path, capsys):
    value = CASES[name]
    source = save("msgpack", tmp_path / "one", {"w": np.ones(2), "deep": {"z": value}})
    assert ramie("convert", source, tmp_path / "m.orbax") == 2
    assert "at deep/z" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["one"]


ORBAX = [name for name in CASES if holds("orbax", CASES[name])]


@pytest.mark.parametrize("name", ORBAX)
def test_each_command_takes_what_orbax_holds(name, tmp_path, capsys):
    source = save("msgpack", tmp_path / "one", {"w": np.ones(2), "deep": {"z": CASES[name]}})
    there, back = tmp_path / "m.orbax", tmp_path / "back"
    assert ramie("convert", source, there) == 0
    for command in COMMANDS:
        assert ramie(command[0], there, *command[1:]) == 0
    assert ramie("diff", source, there) == 0
    assert ramie("convert", there, back) == 0
    assert ramie("diff", source, back) == 0
    check_equal(checkpoint.restore(back, None)["deep"]["z"], CASES[name])


WHOLE = ["float32 none", "V5 no rows", "an empty dict", "None", "empty text", "keys", "void"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_tree_that_is_nothing_else(name, tmp_path, capsys):
    path = save("msgpack", tmp_path, CASES[name])
    for command in COMMANDS:
        assert ramie(command[0], path, *command[1:]) == 0
    assert ramie("diff", path, path) == 0
    assert ramie("ls", tmp_path) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["V5", "S4", "U3", "M8[s]", "float32", "int4", "bool"])
def test_a_difference_counts_the_elements_that_differ(dtype, tmp_path):
    one = np.zeros(4, dtype)
    two = one.copy()
    two.view(np.uint8)[-one.itemsize] = 1
    paths = [save("msgpack", tmp_path / str(i), {"z": array}) for i, array in enumerate((one, two))]
    change = checkpoint.diff(*paths).changed[0]
    assert change.n_different == 1
    assert (change.largest is not None) == (dtype in ("float32", "int4", "bool"))


def test_a_number_that_is_none_is_the_same_as_itself(tmp_path):
    for value in (float("nan"), complex("nan+nanj"), 0.0):
        path = save("msgpack", tmp_path, {"a": value})
        assert checkpoint.diff(path, path).same
        os.unlink(path)
    one = save("msgpack", tmp_path / "one", {"a": 0.0})
    assert not checkpoint.diff(one, save("msgpack", tmp_path / "two", {"a": -0.0})).same


def test_old_checkpoints_of_nothing_are_pruned(tmp_path):
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, {"z": np.zeros((0, 3))}, step, keep=9)
    assert ramie("prune", tmp_path, "--keep", "1") == 0
    assert checkpoint.available_steps(tmp_path) == [3]
