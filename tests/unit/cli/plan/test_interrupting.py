"""Ctrl-C while `ramie plan` works, in a process of its own on a terminal of its own."""

import json
import os
import signal
import subprocess
import sys

import pytest
from tests.unit.cli.plan.plans import PLAN

from ramie.cli import main
from ramie.training.plan import planning

pty = pytest.importorskip("pty")

PROGRAM = """
import signal
import sys
import jax
import jax.numpy as jnp

X = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def make(mesh):
    return jnp.dot, (X, X)


def stopping(mesh):
    if mesh.shape["model"] == 2:
        print("WAITING", file=sys.stderr, flush=True)
        signal.pause()
    return make(mesh)
"""
INTERRUPTED = 130


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plannable.py").write_text(PROGRAM)
    (tmp_path / "temporary").mkdir()
    return tmp_path


# A session that has no terminal yet gets the first one that it opens.
ON_TERMINAL = 'exec 0<"$1" 2>"$1"; shift; exec "$@"'


def start(folder, *words, terminal=None, **options):
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"TMPDIR": str(folder / "temporary"), "TERM": "xterm", "COLUMNS": "200"}
    line = [sys.executable, "-m", "ramie", "plan", *words]
    if terminal is not None:
        line = ["sh", "-c", ON_TERMINAL, "sh", terminal, *line]
    options["start_new_session"] = terminal is not None
    return subprocess.Popen(
        line, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, **options
    )


def left_by_plans(folder):
    """List what plans left behind. Python's own look at a temporary folder may be cut, too."""
    return list((folder / "temporary").glob("ramie-plan-*"))


def test_the_meshes_so_far_are_shown(folder):
    words = ["plannable:stopping", "--topology", "cpu:2", "--sweep", "model=1,2"]
    process = start(folder, *words, stderr=subprocess.PIPE)
    assert process.stderr.readline() == "WAITING\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    assert err == "ramie plan: interrupted; 1 of 2 meshes were not planned\n"
    assert [line.split()[:2] for line in out.splitlines()[:2]] == [
        ["mesh", "verdict"],
        ["data=2,model=1", "unknown"],
    ]
    assert left_by_plans(folder) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sweep", "model=2,1"], "interrupted"),
        (["--sweep", "model=1,2,4"], "interrupted; 2 of 3 meshes were not planned"),
    ],
)
def test_scripts_get_whole_json(folder, capsys, monkeypatch, words, said):
    def interrupted(*arguments, mesh, **options):
        if mesh["model"] == 2:
            raise KeyboardInterrupt
        return PLAN

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(planning, "plan", interrupted)
    assert main(["plan", "plannable:make", "--topology", "cpu:4", *words, "--json"]) == INTERRUPTED
    sys.modules.pop("plannable")
    shown = capsys.readouterr()
    page = json.loads(shown.out)
    if said == "interrupted":
        assert page == {"error": "interrupted", "kind": "interrupted"} and shown.err == ""
    else:
        assert [entry["topology"] for entry in page] == ["v5e:4x4"]
        assert shown.err == f"ramie plan: {said}\n"


def test_the_compiler_is_interrupted_too(folder):
    """The key is pressed, so that both processes get the signal; neither leaves a trace."""
    ours, theirs = pty.openpty()
    process = start(folder, "plannable:make", "--topology", "cpu:2", terminal=os.ttyname(theirs))
    shown = b""
    while b"compiling for data=2 of cpu:2" not in shown:
        shown += os.read(ours, 4096)
    os.close(theirs)
    os.write(ours, b"\x03")
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:  # the other side is closed
        pass
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert b"Traceback" not in shown
    assert shown.decode().splitlines()[-1].endswith("ramie plan: interrupted")
    assert left_by_plans(folder) == []
