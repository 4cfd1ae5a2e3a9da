"""Safetensors out of trees and back: held to the package of that name, and to hostile headers."""

import json
import struct

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.listing import names
from tests.tolerance import assert_exact

from ramie import checkpoint, errors
from ramie import struct as ramie_struct
from ramie.checkpoint.formats import safetensors_types
from ramie.trees.frozen import FrozenDict

DTYPES = [
    dtype.name
    for code, dtype in safetensors_types.DTYPES.items()
    if not safetensors_types.is_packed(code)
]


@ramie_struct.dataclass
class State:
    step: int
    params: object
    opt_state: object


def header_of(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def write_raw(path, page, data=b"", length=None):
    text = page if isinstance(page, bytes) else json.dumps(page).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back_bit_for_bit(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tree = {"a": {"b": array}, "none": np.zeros((0, 2), dtype), "one": array[1, 1].reshape(())}
    path = checkpoint.save_safetensors(tmp_path / "m.safetensors", tree)
    found = checkpoint.load_safetensors(path)
    jax.tree_util.tree_map(assert_exact, found, tree)


def test_the_package_reads_our_files_and_we_its(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    tensors = {f"layer.{dtype}": np.arange(5).astype(dtype) for dtype in ("f4", "i8", "?", "f2")}
    path = tmp_path / "ours.safetensors"
    checkpoint.save_safetensors(path, tensors, separator="/", metadata={"format": "np"})
    for name, array in numpy_files.load_file(path).items():
        assert_exact(array, tensors[name])
    safe_open = pytest.importorskip("safetensors").safe_open
    with safe_open(path, "np") as file:
        assert file.metadata() == {"format": "np"}
    many = {dtype: np.arange(4).astype(dtype) for dtype in DTYPES}
    theirs = tmp_path / "theirs.safetensors"
    numpy_files.save_file(many, theirs, {"k": "v"})
    found = checkpoint.load_safetensors(theirs, separator=None)
    assert found.keys() == many.keys()
    jax.tree_util.tree_map(assert_exact, found, many)
    assert checkpoint.outline(theirs).metadata == {"k": "v"}


def test_a_training_state_comes_back_with_its_types(tmp_path):
    params = FrozenDict({"dense": {"kernel": jnp.ones((2, 3), jnp.bfloat16)}})
    state = State(5, params, (optax.adam(1e-3).init(params), None, {}))
    path = checkpoint.save_safetensors(tmp_path / "m.safetensors", state)
    blank = jax.tree_util.tree_map(lambda leaf: leaf * 0, state)
    found = checkpoint.load_safetensors(path, blank)
    assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(state)
    jax.tree_util.tree_map(assert_exact, found, state)
    assert found.step == 5 and type(found.step) is int
    with pytest.raises(errors.CheckpointMismatchError, match="params/dense/kernel"):
        checkpoint.load_safetensors(path, blank.replace(params={"dense": {"kernel": np.ones(2)}}))


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="."), min_size=1, max_size=5),
        st.recursive(
            st.integers() | st.floats(allow_nan=False) | st.text() | st.none() | st.booleans(),
            lambda inner: st.dictionaries(
                st.text(st.characters(codec="utf-8", exclude_characters="."), max_size=3),
                inner,
                max_size=3,
            ),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_leaves_that_are_no_arrays_come_back(tmp_path_factory, tree):
    tree = json.loads(json.dumps(tree))
    path = tmp_path_factory.mktemp("values") / "m.safetensors"
    try:
        checkpoint.save_safetensors(path, {"w": np.ones(2), "tree": tree})
    except UnicodeEncodeError:
        return
    assert checkpoint.load_safetensors(path).get("tree", {}) == tree


def test_large_items_come_first_so_that_all_are_aligned(tmp_path):
    path = tmp_path / "m.safetensors"
    tree = {"a": np.ones(3, "i1"), "b": np.ones(3, "f8"), "c": np.ones(3, "f2")}
    checkpoint.save_safetensors(path, tree)
    for leaf in checkpoint.outline(path).leaves:
        assert leaf.spans[0][0] % leaf.dtype.itemsize == 0


def test_the_separator_is_chosen_and_checked(tmp_path):
    path = tmp_path / "m.safetensors"
    tree = {"a.b": {"c": np.ones(1)}}
    with pytest.raises(errors.CheckpointOptionError, match=r"key 'a\.b' contains it"):
        checkpoint.save_safetensors(path, tree)
    checkpoint.save_safetensors(path, tree, separator="/")
    assert list(header_of(path)) == ["a.b/c"]
    assert list(checkpoint.load_safetensors(path, separator="/")) == ["a.b"]
    assert list(checkpoint.load_safetensors(path, separator=None)) == ["a.b/c"]
    with pytest.raises(errors.CheckpointOptionError, match="nested"):
        checkpoint.save_safetensors(path, tree, separator=None)
    checkpoint.save_safetensors(path, {"a": np.ones(1), "a.b": np.ones(1)}, separator=None)
    with pytest.raises(errors.CheckpointOptionError, match="no paths"):
        checkpoint.load_safetensors(path)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (jax.random.key(0), "PRNG keys at a/b. Save the words"),
        (np.ones(2, "c16"), "dtype complex128 at a/b. Convert it to one of bool"),
        (np.ones(2, ml_dtypes.int4), "dtype int4"),
        (np.array(["text"]), "dtype <U4"),
        (1 + 2j, "type complex"),
        (b"bytes", "type bytes"),
    ],
)
def test_what_the_format_cannot_hold_is_said(tmp_path, leaf, message):
    with pytest.raises(errors.FormatLimitError) as caught:
        checkpoint.save_safetensors(tmp_path / "m.safetensors", {"a": {"b": leaf}})
    assert message in str(caught.value)
    assert names(tmp_path) == []


def test_options_that_make_no_sense_are_refused(tmp_path):
    for path, options in (
        ("m.bin", {}),
        ("m.safetensors", {"metadata": {"a": 1}}),
        ("m.safetensors", {"metadata": {"ramie.values": "{}"}}),
        ("m.safetensors", {"max_shard_bytes": 0}),
    ):
        with pytest.raises(errors.CheckpointOptionError):
            checkpoint.save_safetensors(tmp_path / path, {"a": np.ones(1)}, **options)
    with pytest.raises(errors.FormatLimitError):
        checkpoint.save_safetensors(tmp_path / "m.safetensors", np.ones(1))
    assert names(tmp_path) == []


def test_arrays_are_spread_over_files(tmp_path):
    tree = {f"w{i}": np.full(100, i, "f4") for i in range(5)} | {"step": 7}
    path = tmp_path / "m.safetensors"
    index = checkpoint.save_safetensors(path, tree, max_shard_bytes=900, metadata={"format": "np"})
    shards = [f"m-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
    assert names(tmp_path) == [*shards, "m.safetensors.index.json"]
    page = json.loads((tmp_path / "m.safetensors.index.json").read_text())
    assert page["metadata"] == {"total_size": 2000}
    assert page["weight_map"]["w4"] == shards[2]
    found = checkpoint.load_safetensors(index)
    assert found.keys() == tree.keys()
    jax.tree_util.tree_map(assert_exact, found, tree)
    outline = checkpoint.outline(index)
    assert (outline.form, outline.metadata) == ("safetensors index", {"format": "np"})
    assert checkpoint.verify(index).state == "intact"
    with pytest.raises(errors.CheckpointOptionError, match="replaces the whole set"):
        checkpoint.save_safetensors(path, tree, max_shard_bytes=900)
    (tmp_path / shards[1]).unlink()
    with pytest.raises(errors.IncompleteCheckpointError, match="is missing"):
        checkpoint.load_safetensors(index)
    assert checkpoint.verify(index).state == "incomplete"


@pytest.mark.parametrize("place", ["../other.safetensors", "/etc/passwd", "", ".", "a/b", 3, None])
def test_an_index_leads_nowhere_else(tmp_path, place):
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": place}}))
    with pytest.raises(errors.MalformedDataError, match="not the name of a file beside it"):
        checkpoint.load_safetensors(index)


def test_an_index_that_contradicts_its_files_is_refused(tmp_path):
    checkpoint.save_safetensors(tmp_path / "a.safetensors", {"w": np.ones(1), "v": np.ones(1)})
    index = tmp_path / "m.safetensors.index.json"
    for places in ({"w": "a.safetensors"}, {n: "a.safetensors" for n in "wvx"}):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(errors.MalformedDataError):
            checkpoint.outline(index)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "not an object": [],
    "no JSON": b"{,",
    "bad UTF-8": b'{"\xff": 1}',
    "deep": b'{"a":' + b"[" * 100_000,
    "twice": b'{"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "metadata": {"__metadata__": {"a": 1}, "a": ENTRY},
    "entry": {"a": 3},
    "dtype": {"a": {**ENTRY, "dtype": "O"}},
    "dtype of no hash": {"a": {**ENTRY, "dtype": ["F32"]}},
    "negative": {"a": {**ENTRY, "shape": [-2]}},
    "huge": {"a": {**ENTRY, "shape": [2**40, 2**40]}},
    "shape of text": {"a": {**ENTRY, "shape": "2"}},
    "truth as size": {"a": {**ENTRY, "shape": [True, 2]}},
    "offsets": {"a": {**ENTRY, "data_offsets": [8, 0]}},
    "fraction": {"a": {**ENTRY, "data_offsets": [0.0, 8.0]}},
    "three": {"a": {**ENTRY, "data_offsets": [0, 4, 8]}},
    "gap": {"a": {**ENTRY, "shape": [1], "data_offsets": [4, 8]}},
    "overlap": {"a": ENTRY, "b": ENTRY},
    "too short": {"a": {**ENTRY, "shape": [1], "data_offsets": [0, 4]}},
    "too long": {"a": {**ENTRY, "shape": [4], "data_offsets": [0, 16]}},
    "values": {"__metadata__": {"ramie.values": '{"b": [1]}'}, "a": ENTRY},
    "values no JSON": {"__metadata__": {"ramie.values": "{"}, "a": ENTRY},
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused(tmp_path, page):
    path = write_raw(tmp_path / "m.safetensors", page, bytes(8))
    with pytest.raises(errors.MalformedDataError):
        checkpoint.load_safetensors(path)
    assert checkpoint.verify(path).state == "damaged"


def test_hostile_lengths_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    for length in (2**63, 2**64 - 1, 100, 0):
        write_raw(path, {"a": ENTRY}, bytes(8), length)
        with pytest.raises(errors.MalformedDataError):
            checkpoint.load_safetensors(path)
    path.write_bytes(b"\0" * 4)
    with pytest.raises(errors.MalformedDataError):
        checkpoint.load_safetensors(path)
    write_raw(path, {"a": {"dtype": "BOOL", "shape": [8], "data_offsets": [0, 8]}}, b"\2" * 8)
    with pytest.raises(errors.MalformedDataError, match="boolean"):
        checkpoint.load_safetensors(path)


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "m.safetensors"
    checkpoint.save_safetensors(path, {"a": np.arange(8.0), "b": 3})
    good = path.read_bytes()
    for position in range(0, len(good), 5):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        with path.open("r+b") as file:  # in place: another file would not be ours
            file.write(bad)
        with pytest.raises(errors.DamagedCheckpointError):
            checkpoint.load_safetensors(path)
        assert checkpoint.verify(path).state == "damaged"


def test_formats_are_converted_and_back(tmp_path):
    tree = {
        "step": 3,
        "params": {"w": np.arange(6.0).reshape(2, 3), "b": jnp.ones(2, jnp.bfloat16), "e": {}},
        "flags": np.array([True, False]),
        "loss": np.float32(0.5),
        "empty": np.zeros((0, 3), "i4"),
    }
    old = checkpoint.save(tmp_path, tree, 1)
    new = checkpoint.convert(old, tmp_path / "m.safetensors")
    back = checkpoint.convert(new, tmp_path / "again")
    for found in (checkpoint.load_safetensors(new), checkpoint.restore(back, None)):
        jax.tree_util.tree_map(assert_exact, found, tree)
    assert checkpoint.verify(new).state == checkpoint.verify(back).state == "intact"
    index = checkpoint.convert(old, tmp_path / "parts.safetensors", max_shard_bytes=50)
    checkpoint.convert(index, tmp_path / "again", overwrite=True)
    jax.tree_util.tree_map(assert_exact, checkpoint.restore(tmp_path / "again", None), tree)


def test_conversions_that_would_lie_or_lose_are_refused(tmp_path):
    old = checkpoint.save(tmp_path, {"w": np.ones(4)}, 1)
    with pytest.raises(errors.CheckpointOptionError, match="format of the source"):
        checkpoint.convert(old, tmp_path / "copy")
    (tmp_path / "m.safetensors").write_bytes(b"mine")
    with pytest.raises(errors.CheckpointOptionError, match="it exists"):
        checkpoint.convert(old, tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == b"mine"
    with open(old, "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\7")
    with pytest.raises(errors.DamagedCheckpointError):
        checkpoint.convert(old, tmp_path / "new.safetensors")
    with pytest.raises(errors.CheckpointNotFoundError):
        checkpoint.convert(tmp_path / "nothing", tmp_path / "new.safetensors")


def test_arrays_without_a_value_are_named_and_nothing_is_left(tmp_path):
    gone = jnp.ones(3)
    gone.delete()
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for leaf, problem in ((gone, "deleted or donated"), (masked, "lose its mask")):
        with pytest.raises(ValueError, match=f"the array 'a.b': .*{problem}"):
            checkpoint.save_safetensors(tmp_path / "m.safetensors", {"a": {"b": leaf}})
    assert names(tmp_path) == []
