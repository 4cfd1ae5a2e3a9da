"""Hints run as they stand in the shell that the command was started from."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ramie import serialization
from ramie.cli import command

SOURCE = "import sys\nfrom ramie.cli.main import main\nsys.exit(main())\n"


@pytest.fixture
def home(tmp_path):
    """A directory with an installed command, `venv/bin/ramie`, and another in `other`."""
    for folder in ("venv/bin", "other", "a b"):
        (tmp_path / folder).mkdir(parents=True)
        script = tmp_path / folder / "ramie"
        script.write_text(f"#!{sys.executable}\n{SOURCE}")
        script.chmod(0o755)
    return tmp_path


def hint(line, home, path):
    """Run a command that fails, and return the hint in what it says."""
    environment = {**os.environ, "PATH": f"{path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=home, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.split("`")[1].removesuffix(" ckpt ls .")


@pytest.mark.parametrize(
    ("started", "path", "named"),
    [
        ("ramie", "{home}/venv/bin", "ramie"),
        ("venv/bin/ramie", "/none", "venv/bin/ramie"),
        ("./venv/bin/ramie", "{home}/other", "./venv/bin/ramie"),
        ("{home}/venv/bin/ramie", "{home}/venv/bin", "ramie"),
        ("'a b/ramie'", "/none", "'a b/ramie'"),
        ("{python} -m ramie", "/none", "{python} -m ramie"),
        ("{python} -m ramie.cli", "/none", "{python} -m ramie.cli"),
        ("python -X dev -m ramie", "{beside}", "python -m ramie"),
    ],
)
def test_a_hint_names_the_command_as_it_was_started(home, started, path, named):
    beside = home / "beside"
    beside.mkdir()
    (beside / "python").symlink_to(sys.executable)
    words = {
        "home": home,
        "python": shlex.quote(sys.executable),
        "beside": Path(sys.executable).parent,
    }
    if started.startswith("python") and not (words["beside"] / "python").exists():
        pytest.skip("the interpreter has no name `python`")
    found = hint(f"{started.format(**words)} ckpt ls nowhere", home, path.format(**words))
    assert found == named.format(**words)
    again = hint(f"{found} ckpt ls nowhere", home, path.format(**words))
    assert again == found


def test_another_program_gets_what_works(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["program.py"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.command_name() == f"{shlex.quote(sys.executable)} -m ramie"
    line = command.command_line("ckpt", "ls", Path("my run"))
    done = subprocess.run(shlex.split(line), capture_output=True, text=True)
    assert done.returncode == 2 and "There is no 'my run'" in done.stderr


@pytest.mark.parametrize(
    "named", ["ls nowhere", "show 'a b/nowhere'", "ls 'a b/ramie'", "diff saved saved"]
)
def test_a_hint_runs_as_it_stands(home, named):
    (home / "saved").mkdir()
    (home / "saved" / "checkpoint_1").write_bytes(serialization.to_bytes({"w": np.ones(2)}))
    line = f"{shlex.quote(sys.executable)} -m ramie ckpt {named}"
    said = subprocess.run(["bash", "-c", line], cwd=home, capture_output=True, text=True)
    assert said.returncode == 2
    again = said.stderr.split("`")[1]
    done = subprocess.run(["bash", "-c", again], cwd=home, capture_output=True, text=True)
    # The script in "a b" is no checkpoint, which is told of the path that was meant.
    assert done.returncode == 0 or ("a b/ramie" in done.stderr and "ckpt show" in again)
