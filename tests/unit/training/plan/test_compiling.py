"""When the compiler is not there, dies, or outlives who asked it."""

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import pytest

from ramie import errors
from ramie.training.plan import plan

X = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def _python(folder, script):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo check failed: tiles >&2; kill -ABRT $$", ["SIGABRT", "check failed: tiles"]),
        ("kill -KILL $$", ["SIGKILL", "lack of memory on this machine", "none"]),
        ("exit 7", ["exit code 7"]),
        ("exit 0", ["exit code 0"]),
    ],
)
def test_a_compiler_that_dies_is_an_error_here(script, words, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", _python(tmp_path, script))
    with pytest.raises(errors.CompilerFailedError) as found:
        plan(jnp.dot, X, X, topology="cpu:2")
    assert all(word in str(found.value) for word in ["cpu:2", *words]), str(found.value)


@pytest.mark.parametrize(
    ("missing", "topology", "words"),
    [
        ("libtpu", "v5e:2x4", ["libtpu", "ramie[plan]", "cpu:8"]),
        ("flatbuffers", "cpu:8", ["flatbuffers", "ramie[plan]"]),
    ],
)
def test_what_is_not_installed_is_named(missing, topology, words, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == missing else real(name, *a)
    )
    with pytest.raises(errors.MissingExtraError) as found:
        plan(jnp.dot, X, X, topology=topology)
    assert all(word in str(found.value) for word in words), str(found.value)


def test_the_compiler_ends_with_who_asked(tmp_path):
    """Killed in the middle, a plan leaves neither a process nor files."""
    program = """
    import contextlib, jax, jax.numpy as jnp
    from ramie.training.plan import compiling, plan
    run = compiling._started
    @contextlib.contextmanager
    def started(folder, topology):
        with run(folder, topology) as process:
            print(folder, flush=True)
            yield process
    compiling._started = started
    x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    plan(jnp.dot, x, x, topology="cpu:2")
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
    )
    folder = process.stdout.readline().strip()
    assert os.path.isdir(folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 120
    while os.listdir(tmp_path) and time.monotonic() < end:
        time.sleep(0.1)
    assert os.listdir(tmp_path) == []
