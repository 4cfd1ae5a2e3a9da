"""The commands need no device: they work where JAX is told to use platforms that are absent."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie import checkpoint
from ramie.checkpoint.inspecting.difference import diff
from ramie.training import checkpoints

TREE = {"w": jnp.arange(6.0).reshape(2, 3), "b": {"c": np.ones(3), "n": 3}}


def anywhere(program, *words):
    """Run a program where the only platform that JAX may use is not there."""
    surroundings = {**os.environ, "JAX_PLATFORMS": "nowhere"}
    return subprocess.run(
        [sys.executable, *program, *map(str, words)],
        capture_output=True,
        text=True,
        env=surroundings,
    )


@pytest.fixture
def files(tmp_path):
    """Return a checkpoint of each format, by its name."""
    ocp = pytest.importorskip("orbax.checkpoint")
    with ocp.PyTreeCheckpointer() as user:
        tree = {**TREE, "key": jax.random.key(3)}
        orbax = checkpoints.save_checkpoint(tmp_path / "o", tree, 1, orbax_checkpointer=user)
    return {
        "orbax": orbax,
        "msgpack": checkpoint.save(tmp_path / "m", tree, 1),
        "safetensors": checkpoint.save_safetensors(tmp_path / "s.safetensors", TREE),
    }


@pytest.mark.parametrize("form", ["orbax", "msgpack", "safetensors"])
def test_looking_at_a_checkpoint_needs_no_device(files, form):
    done = anywhere(["-m", "ramie"], "ckpt", "show", "--stats", files[form])
    assert done.returncode == 0, done.stderr
    assert "w " in done.stdout and "float32" in done.stdout and "[2, 3]" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("source", "to"),
    [("orbax", "msgpack"), ("msgpack", "orbax"), ("safetensors", "orbax"), ("orbax", "msgpack")],
)
def test_converting_needs_no_device(files, tmp_path, source, to):
    new = tmp_path / "new"
    done = anywhere(["-m", "ramie"], "ckpt", "convert", files[source], new, "--to", to)
    assert (done.returncode, done.stderr) == (0, "")
    assert diff(files[source], new).same


def test_comparing_and_verifying_need_no_device(files):
    done = anywhere(["-m", "ramie"], "ckpt", "diff", files["orbax"], files["msgpack"])
    assert (done.returncode, done.stderr) == (0, "")
    done = anywhere(["-m", "ramie"], "ckpt", "verify", *files.values())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_program_without_devices_is_told_so(files, tmp_path):
    code = """if True:
        import sys
        from ramie import checkpoint
        for act in (
            lambda: checkpoint.outline(sys.argv[1]),
            lambda: checkpoint.restore(sys.argv[1], None),
            lambda: checkpoint.convert(sys.argv[1], sys.argv[3]),
            lambda: checkpoint.convert(sys.argv[2], sys.argv[3], form="orbax"),
        ):
            try:
                act()
            except RuntimeError as error:
                print("platforms 'nowhere'" in str(error), "JAX_PLATFORMS=cpu" in str(error))
    """
    done = anywhere(["-c", code], files["orbax"], files["msgpack"], tmp_path / "new")
    assert done.stdout == "True True\n" * 4, done.stderr
    assert not (tmp_path / "new").exists()


def test_files_of_msgpack_need_no_device_in_a_program_either(tmp_path):
    path = checkpoint.save(tmp_path, TREE, 1)
    code = """if True:
        import sys
        from ramie import checkpoint
        print(checkpoint.restore(sys.argv[1], None)["w"].sum())
        print(len(checkpoint.outline(sys.argv[1]).leaves))
        checkpoint.convert(sys.argv[1], sys.argv[2])
        print(checkpoint.load_safetensors(sys.argv[2])["b"]["n"])
    """
    done = anywhere(["-c", code], path, tmp_path / "new.safetensors")
    assert (done.stdout, done.stderr) == ("15.0\n3\n3\n", "")
