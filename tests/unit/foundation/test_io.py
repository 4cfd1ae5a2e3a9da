"""Files: local ones, remote ones by URL, and which backend is asked."""

import builtins
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ramie import errors, io


@pytest.fixture(params=["local", "file url", "memory"])
def root(request, tmp_path):
    """A folder to work in, on each kind of file system."""
    if request.param == "local":
        yield str(tmp_path)
    elif request.param == "file url":
        yield f"file://{tmp_path}"
    else:
        fsspec = pytest.importorskip("fsspec")
        files = fsspec.filesystem("memory")
        files.makedirs("/base", exist_ok=True)
        yield "memory://base"
        files.store.clear()
        files.pseudo_dirs[:] = [""]


def write(path, data=b"data"):
    with io.GFile(path, "wb") as file:
        file.write(data)


def read(path):
    with io.GFile(path, "rb") as file:
        return file.read()


def test_write_read_size_exists(root):
    path = f"{root}/a"
    assert not io.exists(path)
    write(path, b"12345")
    assert (read(path), io.getsize(path), io.exists(path), io.isdir(path)) == (
        b"12345",
        5,
        True,
        False,
    )
    assert io.isdir(root)


def test_folders(root):
    io.makedirs(f"{root}/x/y")
    io.makedirs(f"{root}/x/y")
    write(f"{root}/x/y/f")
    write(f"{root}/x/g")
    assert sorted(io.listdir(f"{root}/x")) == ["g", "y"]
    io.rmtree(f"{root}/x")
    assert not io.exists(f"{root}/x")


def test_glob(root):
    for name in ("ckpt_1", "ckpt_2", "other"):
        write(f"{root}/{name}")
    found = sorted(io.glob(f"{root}/ckpt_*"))
    assert [path.rpartition("/")[2] for path in found] == ["ckpt_1", "ckpt_2"]
    assert [read(path) for path in found] == [b"data", b"data"]
    assert io.glob(f"{root}/nothing*") == []


def test_copy_and_rename_replace_only_when_told(root):
    a, b = f"{root}/a", f"{root}/b"
    write(a, b"a")
    write(b, b"b")
    for operation in (io.copy, io.rename):
        with pytest.raises(errors.AlreadyExistsError, match="overwrite=True"):
            operation(a, b)
        with pytest.raises(FileExistsError):
            operation(a, b)
        assert read(b) == b"b"
    io.copy(a, b, overwrite=True)
    assert (read(a), read(b)) == (b"a", b"a")
    io.rename(a, f"{root}/c")
    io.rename(f"{root}/c", b, overwrite=True)
    assert not io.exists(a) and not io.exists(f"{root}/c") and io.exists(b)


def test_folders_can_be_renamed(root):
    io.makedirs(f"{root}/d")
    write(f"{root}/d/f", b"inside")
    io.rename(f"{root}/d", f"{root}/e")
    assert read(f"{root}/e/f") == b"inside"


def test_what_is_missing_is_not_found(root):
    missing = f"{root}/missing"
    for operation in (read, io.remove, io.listdir, io.getsize, io.rmtree):
        with pytest.raises(io.NotFoundError):
            operation(missing)
    for operation in (io.copy, io.rename):
        with pytest.raises(io.NotFoundError):
            operation(missing, f"{root}/x")


def test_remove(root):
    write(f"{root}/a")
    io.remove(f"{root}/a")
    assert not io.exists(f"{root}/a")


def test_paths_may_be_path_objects(tmp_path):
    path = tmp_path / "a"
    write(path)
    assert io.exists(Path(path)) and io.getsize(path) == 4
    assert io.glob(tmp_path / "*") == [str(path)]


def test_a_pattern_with_a_slash_gives_folders_without_it(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("")
    assert io.glob(f"{tmp_path}/*/") == [f"{tmp_path}/d"]


def test_between_file_systems_files_are_copied_but_not_renamed(tmp_path):
    pytest.importorskip("fsspec")
    write(tmp_path / "a", b"x" * 3_000_000)
    io.copy(tmp_path / "a", "memory://bridge", overwrite=True)
    assert io.getsize("memory://bridge") == 3_000_000
    with pytest.raises(errors.AlreadyExistsError):
        io.copy(tmp_path / "a", "memory://bridge")
    with pytest.raises(ValueError, match="another file system"):
        io.rename("memory://bridge", tmp_path / "b")
    io.remove("memory://bridge")


def test_without_fsspec_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "fsspec":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "fsspec", raising=False)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'ramie\[remote\]'"):
        io.exists("gs://bucket/model")


def test_without_tensorflow_its_mode_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with (
        io.override_mode(io.BackendMode.TF),
        pytest.raises(ImportError, match="needs the package tensorflow"),
    ):
        io.exists("/tmp")


def test_modes():
    assert io.io_mode is io.BackendMode.DEFAULT
    with pytest.raises(ZeroDivisionError), io.override_mode(io.BackendMode.TF):
        assert io.io_mode is io.BackendMode.TF
        1 / 0  # noqa: B018
    assert io.io_mode is io.BackendMode.DEFAULT
    io.set_mode(io.BackendMode.TF)
    io.set_mode(io.BackendMode.DEFAULT)
    for wrong in ("TF", 1, None):
        with pytest.raises(TypeError, match=r"BackendMode\.DEFAULT or"):
            io.set_mode(wrong)
    assert io.io_mode is io.BackendMode.DEFAULT


def test_windows_drives_and_odd_names_are_no_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("C:model", "a:b", "x:/y".replace("/", "_")):
        write(name)
        assert io.exists(name)
    assert os.path.exists("a:b")


def test_importing_it_imports_no_backend():
    code = (
        "import sys, ramie.io; "
        "print([m for m in ('tensorflow', 'fsspec', 'jax', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
