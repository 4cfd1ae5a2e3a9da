"""Files of other programs get their names; what msgpack may begin with is never taken for one."""

import bz2
import glob
import gzip
import io
import json
import lzma
import os
import pickle
import sysconfig
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import checkpoint, errors, serialization
from ramie.checkpoint.inspecting import foreign
from ramie.checkpoint.inspecting.contents import recognise
from ramie.training import checkpoints

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def written(write):
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def zipped(*names, extra=b""):
    def write(stream):
        with zipfile.ZipFile(stream, "w") as archive:
            for name in names:
                entry = zipfile.ZipInfo(name)
                entry.extra = extra
                archive.writestr(entry, b"x" * 20)

    return written(write)


def tarred(stream):
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights"), io.BytesIO())


ARRAY = np.ones(3)
FILES = {
    "PyTorch (a zip": zipped("archive/data.pkl", "archive/data/0"),
    "TorchScript": zipped("m/extra/producer_info.json", extra=b"FB\2\0ZZ"),
    "TorchScript program": zipped("m/constants.pkl"),
    "PyTorch before 1.6": pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2),
    "NumPy (.npy)": written(lambda stream: np.save(stream, ARRAY)),
    "NumPy (.npz)": written(lambda stream: np.savez(stream, w=ARRAY)),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "Keras": zipped("metadata.json", "config.json", "model.weights.h5"),
    "GGUF": b"GGUF\3\0\0\0" + bytes(100),
    "ONNX": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x10" + bytes(100),
    "SavedModel": b"\x08\x01\x12\xf5\x12\n\xb2" + bytes(100),
    "checkpoint of TensorFlow": b'model_checkpoint_path: "ckpt-1"\n',
    "Git LFS": POINTER,
    "gzip": gzip.compress(b"x" * 100),
    "bzip2": bz2.compress(b"x" * 100),
    "xz": lzma.compress(b"x" * 100),
    "LZMA": lzma.compress(b"x" * 100, lzma.FORMAT_ALONE),
    "Zstandard": b"\x28\xb5\x2f\xfd\x24" + bytes(20),
    "a zip archive": zipped("weights/readme"),
    "tar": written(tarred),
    "MATLAB": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + b" " * 90,
    "JSON": json.dumps({"hidden_size": 3}).encode(),
    "HTML": b"<!DOCTYPE html><html>not found</html>",
    "text": "Straße\n".encode() * 100,
} | {
    f"a pickle {protocol}": pickle.dumps({"w": [1, 2, 3], "v": ARRAY}, protocol)
    for protocol in (0, 2, 3, 4, 5)
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("ending", ["file", "m.safetensors", "checkpoint_3"])
def test_files_get_their_names(tmp_path, name, ending):
    path = tmp_path / ending
    path.write_bytes(FILES[name])
    kind = name.rstrip("02345 ") if name.startswith("a pickle") else name
    for call in (
        recognise,
        checkpoint.outline,
        checkpoint.load_safetensors,
        lambda path: checkpoint.restore(path, None),
        lambda path: checkpoints.restore_checkpoint(path, None),
        lambda path: checkpoint.convert(path, tmp_path / "new"),
    ):
        with pytest.raises(errors.ForeignFileError) as caught:
            call(path)
        assert kind in str(caught.value) and str(path) in str(caught.value)
    found = checkpoint.verify(path)
    assert found.state == "foreign" and not found.is_good and kind in found.problem
    assert os.listdir(tmp_path) == [ending]


def test_a_series_goes_on_beside_such_a_file(tmp_path):
    one = checkpoint.save(tmp_path, {"w": ARRAY}, 1)
    (tmp_path / "checkpoint_2").write_bytes(FILES["PyTorch (a zip"])
    (tmp_path / "checkpoint_3").write_bytes(b"")
    assert checkpoint.newest_intact(tmp_path) == one
    with pytest.raises(errors.MalformedDataError, match="it is empty"):
        checkpoint.restore(tmp_path, None)
    with pytest.warns(RuntimeWarning, match="checkpoint_1"):
        found = checkpoint.restore(tmp_path, None, fallback=True)
    assert list(found) == ["w"]
    states = [item.health.state for item in checkpoint.survey(tmp_path, health=True)]
    assert states == ["intact", "foreign", "damaged"]


def test_what_has_a_manifest_is_damaged_and_not_foreign(tmp_path):
    path = checkpoint.save(tmp_path, {"w": ARRAY}, 1)
    for content in (POINTER, FILES["gzip"], b""):
        with open(path, "r+b") as file:  # in place: another file would not be ours
            file.truncate(0)
            file.write(content)
        assert checkpoint.verify(path).state == "damaged"
        with pytest.raises(errors.DamagedCheckpointError):
            checkpoint.restore(path, None)


def test_directories_get_their_names(tmp_path):
    for files, kind in (
        (["saved_model.pb", "variables"], "SavedModel"),
        (["checkpoint", "m.index", "m.data-00000-of-00001"], "TensorFlow"),
        ([".metadata", "__0_0.distcp"], "distributed checkpoint of PyTorch"),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(b"x")
        with pytest.raises(errors.CheckpointOptionError, match=kind):
            recognise(folder)
        with pytest.raises(errors.CheckpointNotFoundError, match=kind):
            checkpoint.restore(folder, {"w": ARRAY}, must_exist=True)
        with pytest.warns(UserWarning, match=kind):
            assert checkpoint.restore(folder, None) is None


def first_bytes():
    """Return a tree for each byte with which a msgpack file can begin, but those never written."""
    trees = [*range(128), *range(-32, 0), None, True, False, 1.5]
    trees += [200, 2**16 - 1, 2**31, 2**63, -100, -1000, -(2**20), -(2**40)]
    trees += ["x" * size for size in (*range(32), 40, 300, 70_000)]
    trees += [b"x" * size for size in (0, 300, 70_000)]
    trees += [[7] * size for size in (*range(16), 100, 70_000)]
    trees += [{str(key): key for key in range(size)} for size in (*range(16), 100, 70_000)]
    trees += [np.zeros(size, np.uint8) for size in (0, 300, 70_000)]
    return [*trees, np.int8(1), np.float64(2), 1 + 2j]


def test_whatever_msgpack_begins_with_is_read(tmp_path):
    path = tmp_path / "file"
    seen = set()
    for tree in first_bytes():
        data = serialization.msgpack_serialize(tree)
        seen.add(data[0])
        path.write_bytes(data)
        assert foreign.name_file(data[: foreign.LONGEST], len(data)) is None
        assert recognise(path) == "msgpack"
        found = checkpoint.restore(path, None)
        assert type(found) is type(tree) and np.array_equal(found, tree)
    numbers = {0xC0, 0xC2, 0xC3, 0xCB} | set(range(0xCC, 0xD4))
    rest = {0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF}
    assert seen >= set(range(0xC0)) | numbers | rest | set(range(0xE0, 0x100))


@given(
    st.recursive(
        st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9) | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=20,
    )
)
def test_no_tree_is_taken_for_another_file(tree):
    data = serialization.msgpack_serialize(tree)
    assert foreign.name_file(data[: foreign.LONGEST], len(data)) is None


def test_files_of_installed_packages_get_their_names():
    """Arrays, archives and pickles that other packages have for their own tests."""
    kinds = {".npy": "NumPy (.npy)", ".npz": "NumPy (.npz)", ".bz2": "bzip2", ".xz": "xz"}
    site = sysconfig.get_paths()["purelib"]
    seen = set()
    for ending, kind in kinds.items():
        for path in glob.glob(f"{site}/**/*{ending}", recursive=True):
            if os.path.getsize(path) < 2:
                continue
            with pytest.raises(errors.ForeignFileError) as caught:
                recognise(path)
            assert kind in caught.value.kind, path
            seen.add(ending)
    assert ".npy" in seen  # NumPy has some
