"""`ramie ckpt` on Orbax directories: what the commands print, and that they change nothing."""

import pytest

pytest.importorskip("orbax.checkpoint")

import json
import os

import jax
import numpy as np
from tests.tolerance import assert_exact

from ramie import checkpoint
from ramie.checkpoint.formats import orbax
from ramie.cli.main import main
from ramie.configurations import config
from ramie.training import checkpoints


def tree(step):
    return {
        "step": step,
        "w": np.arange(6, dtype=np.float32).reshape(2, 3) + step,
        "metrics": {"eval": {"loss": 1 / step}},
        "name": "net",
        "empty": {},
    }


def content_of(folder):
    found = {}
    for parent, _, files in os.walk(folder):
        for file in files:
            with open(os.path.join(parent, file), "rb") as stream:
                found[os.path.join(parent, file)] = stream.read()
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with config.temp_flip_flag("use_orbax_checkpointing", True):
        for step in (1, 2, 3):
            checkpoints.save_checkpoint(folder, tree(step), step, keep=9)
    return folder


@pytest.fixture(autouse=True)
def unchanged(run):
    before = content_of(run)
    yield
    assert content_of(run) == before


def page(capsys, *words, status=0):
    assert main(["ckpt", words[0], "--json", *map(str, words[1:])]) == status
    return json.loads(capsys.readouterr().out)


def test_ls(run, capsys):
    found = page(capsys, "ls", run, "--health")
    assert [(item["step"], item["form"], item["health"]["state"]) for item in found] == [
        (step, "directory", "intact") for step in (1, 2, 3)
    ]
    assert found[1]["metrics"] == {"eval": {"loss": 0.5}}
    assert found[0]["nbytes"] > 100


def test_show(run, capsys):
    found = page(capsys, "show", run / "checkpoint_2", "--stats")
    assert found["format"] == "orbax" and found["array_bytes"] == 24
    leaves = {"/".join(leaf["path"]): leaf for leaf in found["leaves"]}
    assert leaves["w"]["type"] == "float32" and leaves["w"]["shape"] == [2, 3]
    assert leaves["w"]["statistics"]["maximum"] == 7
    assert leaves["step"]["value"] == 2 and leaves["name"]["value"] == "net"


def test_verify_and_diff(run, capsys, tmp_path):
    assert [item["state"] for item in page(capsys, "verify", run)] == ["intact"] * 3
    one, two = run / "checkpoint_1", run / "checkpoint_2"
    assert page(capsys, "diff", one, one)["same"] is True
    found = page(capsys, "diff", one, two, status=1)
    changes = {"/".join(change["path"]): change for change in found["changed"]}
    assert changes["w"]["largest"] == 1 and set(changes) == {"w", "step", "metrics/eval/loss"}
    with config.temp_flip_flag("use_orbax_checkpointing", True):
        path = checkpoints.save_checkpoint(tmp_path, tree(1), 1)
    with open(os.path.join(path, "manifest.ocdbt"), "ab") as file:
        file.write(b"more")
    assert page(capsys, "verify", path, status=1)[0]["state"] == "damaged"
    assert main(["ckpt", "convert", path, str(tmp_path / "out")]) == 1


def test_convert_in_all_directions(run, capsys, tmp_path):
    source = run / "checkpoint_3"
    there = tmp_path / "a.msgpack"
    page(capsys, "convert", source, there)
    assert_exact(checkpoint.restore(there, tree(1))["w"], tree(3)["w"])
    page(capsys, "convert", source, tmp_path / "b.safetensors")
    assert_exact(checkpoint.load_safetensors(tmp_path / "b.safetensors")["w"], tree(3)["w"])
    for number, file in enumerate((there, tmp_path / "b.safetensors")):
        back = tmp_path / f"back_{number}"
        page(capsys, "convert", file, back, "--to", "orbax")
        assert page(capsys, "diff", source, back)["same"] is True
        assert page(capsys, "verify", back)[0]["state"] == "intact"
    assert main(["ckpt", "convert", str(there), str(tmp_path / "back_0"), "--to", "orbax"]) == 2
    assert "exists" in capsys.readouterr().err
    page(capsys, "convert", there, tmp_path / "back_0", "--to", "orbax", "--overwrite")
    (tmp_path / "mine").mkdir()
    assert main(["ckpt", "convert", str(there), str(tmp_path / "mine.orbax")]) == 0
    command = ["ckpt", "convert", str(there), str(tmp_path / "mine"), "--to", "orbax"]
    assert main([*command, "--overwrite"]) == 2
    assert main(["ckpt", "convert", str(source), str(tmp_path / "c.orbax")]) == 2
    assert "format of the source, orbax" in capsys.readouterr().err.splitlines()[-1]


def test_keys_and_arrays_in_several_groups_are_converted(tmp_path, monkeypatch):
    monkeypatch.setattr(orbax, "_GROUP", 60)
    many = {f"a{index:03}": np.full(3, index, np.int16) for index in range(25)}
    path = checkpoint.save(tmp_path, {"key": jax.random.key(3), **many}, 1)
    checkpoint.convert(path, tmp_path / "there.orbax")
    checkpoint.convert(tmp_path / "there.orbax", tmp_path / "back")
    found = checkpoint.restore(tmp_path / "back", None)
    assert_exact(jax.random.key_data(found.pop("key")), jax.random.key_data(jax.random.key(3)))
    assert set(found) == set(many)
    for name, value in many.items():
        assert_exact(found[name], value)


def test_prune(capsys, tmp_path):
    with config.temp_flip_flag("use_orbax_checkpointing", True):
        for step in (1, 2, 3):
            path = checkpoints.save_checkpoint(tmp_path, tree(step), step, keep=9)
    os.unlink(os.path.join(path, "_METADATA"))
    found = page(capsys, "prune", tmp_path, "--keep", "1")
    names = {
        kind: [os.path.basename(path) for path in paths]
        for kind, paths in found.items()
        if isinstance(paths, list)
    }
    assert names == {
        "removed": ["checkpoint_1"],
        "kept": ["checkpoint_2"],
        "damaged": ["checkpoint_3"],
    }
    assert checkpoints.available_steps(tmp_path) == [2, 3]
