"""`ramie ckpt`: tables and JSON, exit codes, and that looking changes nothing."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ramie import checkpoint
from ramie.cli import main, output


def damage(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    with path.open("r+b") as file:
        file.write(data)


@pytest.fixture
def run(tmp_path):
    for step in (9, 10):
        tree = {"step": step, "w": np.arange(3.0) * step, "metrics": {"eval": {"loss": 1 / step}}}
        checkpoint.save(tmp_path, tree, step, keep=0)
    return tmp_path


def ckpt(capsys, *argv):
    """Return the exit code, and what was printed for people."""
    try:
        code = main(["ckpt", *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def page(capsys, *argv):
    code, out, _ = ckpt(capsys, *argv, "--json")
    return code, json.loads(out)


def snapshot(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)}


def test_ls(run, capsys):
    before = snapshot(run)
    code, out, _ = ckpt(capsys, "ls", run)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and lines[0] == ["name", "step", "size", "age", "metrics"]
    assert lines[2][:2] == ["checkpoint_10", "10"] and lines[2][-2:] == ["eval/loss", "0.1"]
    code, found = page(capsys, "ls", run, "--health")
    assert code == 0 and found[1]["step"] == 10 and found[1]["health"]["state"] == "intact"
    assert found[1]["metrics"] == {"eval": {"loss": 0.1}}
    assert snapshot(run) == before
    damage(run / "checkpoint_9")
    assert ckpt(capsys, "ls", run, "--health")[0] == 1
    assert ckpt(capsys, "ls", run)[0] == 0
    code, out, err = ckpt(capsys, "ls", run, "--prefix", "other_")
    assert (code, out) == (0, "") and "no checkpoints" in err


def test_show(run, capsys):
    code, out, _ = ckpt(capsys, "show", run / "checkpoint_10")
    assert code == 0 and "arrays: 1 with 3 elements, 24 B; on disk: msgpack" in out
    assert ["w", "float64", "[3]", "24", "B"] in [line.split() for line in out.splitlines()]
    code, out, _ = ckpt(capsys, "show", run / "checkpoint_10", "--stats")
    assert "deviation" in out and " 20 " in out
    code, found = page(capsys, "show", run / "checkpoint_10", "--stats")
    leaves = {"/".join(leaf["path"]): leaf for leaf in found["leaves"]}
    assert (found["array_bytes"], leaves["step"]["value"]) == (24, 10)
    assert leaves["w"]["statistics"]["maximum"] == 20.0


def test_show_tells_metadata_and_cannot_be_made_to_control_the_terminal(tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    tree = {"\x1b[31mred": np.array([np.nan]), "[bold]": np.ones(1)}
    checkpoint.save_safetensors(path, tree, metadata={"title": "a\x1b[2J"})
    code, out, _ = ckpt(capsys, "show", path, "--stats")
    assert code == 0 and "\x1b" not in out
    assert "\\x1b[31mred" in out and "[bold]" in out and "metadata title: a\\x1b[2J" in out
    _, found = page(capsys, "show", path, "--stats")
    (leaf,) = [leaf for leaf in found["leaves"] if leaf["path"] == ["\x1b[31mred"]]
    assert leaf["statistics"]["mean"] == "nan"


def test_verify(run, capsys):
    code, out, _ = ckpt(capsys, "verify", run)
    assert code == 0 and out.count("intact") == 2
    checkpoint.save_safetensors(run / "m.safetensors", {"w": np.ones(9), "v": np.ones(9)})
    (run / "checkpoint_11").mkdir()  # no checkpoint
    code, out, _ = ckpt(capsys, "verify", run)
    assert code == 0 and out.count("intact") == 3
    damage(run / "checkpoint_9")
    code, found = page(capsys, "verify", run / "checkpoint_9", run / "checkpoint_10")
    assert code == 1 and [item["state"] for item in found] == ["damaged", "intact"]
    assert "damaged" in found[0]["problem"]
    code, _, err = ckpt(capsys, "verify", run / "none")
    assert code == 2 and "There is no 'none'" in err


def test_diff(run, capsys):
    one, two = run / "checkpoint_9", run / "checkpoint_10"
    assert ckpt(capsys, "diff", one, one) == (0, "leaves: 3 the same, 0 not\n", "")
    code, out, _ = ckpt(capsys, "diff", one, two)
    assert code == 1 and "leaves: 0 the same, 3 not" in out and "differs" in out
    code, found = page(capsys, "diff", one, two)
    assert code == 1 and found["same"] is False
    assert {"/".join(change["path"]) for change in found["changed"]} == {
        "step",
        "w",
        "metrics/eval/loss",
    }
    (run / "half").write_bytes(one.read_bytes()[:20])
    code, _, err = ckpt(capsys, "diff", one, run / "half")
    assert code == 1 and err.startswith("ramie ckpt diff: Cannot read the file")


def test_convert(run, capsys):
    old, new = run / "checkpoint_9", run / "m.safetensors"
    assert ckpt(capsys, "convert", old, new) == (0, f"{new}\n", "")
    code, _, err = ckpt(capsys, "convert", old, new)
    assert code == 2 and "it exists" in err
    assert page(capsys, "convert", old, new, "--overwrite") == (0, {"path": str(new)})
    assert ckpt(capsys, "diff", old, new)[0] == 0
    damage(old)
    code, _, err = ckpt(capsys, "convert", old, run / "n.safetensors")
    assert code == 1 and "damaged" in err and not (run / "n.safetensors").exists()


def test_prune(run, capsys):
    before = snapshot(run)
    code, out, _ = ckpt(capsys, "prune", run, "--keep", 1, "--dry-run")
    assert code == 0 and "would be removed" in out and snapshot(run) == before
    code, found = page(capsys, "prune", run, "--keep", 1)
    assert code == 0 and found["removed"] == [str(run / "checkpoint_9")]
    assert checkpoint.available_steps(run) == [10]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["shred"],
        ["ls"],
        ["ls", "nowhere"],
        ["show", "."],
        ["show", "/dev/null"],
        ["prune", "."],
        ["prune", ".", "--keep", "0"],
        ["convert", "a", "b", "--max-shard-bytes", "many"],
    ],
)
def test_misuse_and_what_cannot_be_read_exit_with_2(argv, capsys):
    code, out, err = ckpt(capsys, *argv)
    assert (code, out) == (2, "") and err and "Traceback" not in err


def test_interrupts_are_told(run, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "survey", interrupted)
    assert ckpt(capsys, "ls", run)[0] == 130


def test_progress_is_shown_to_people_after_a_while(monkeypatch, capsys):
    with output.waiting() as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(output, "_PATIENCE", 0.0)
    with output.waiting() as progress:
        progress._timer.join()
        progress("reading \x1b", 1, 2)
        task = progress._bar.tasks[0]
        assert (task.description, task.completed, task.total) == ("reading \\x1b", 1, 2)
    with output.waiting() as progress:
        assert callable(progress)


def test_help_does_not_load_jax():
    code = (
        "import sys\n"
        "from ramie.cli import main\n"
        "try:\n"
        "    main(['ckpt', 'ls', '--help'])\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, 'jax' in sys.modules, 'rich' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.endswith("0 False False\n")
