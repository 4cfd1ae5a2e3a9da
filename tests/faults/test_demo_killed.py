"""`ramie demo`, killed at chosen moments and started again, ends as if it had never been killed."""

import os
import signal
import subprocess
import sys

import pytest
from tests.faults import tally

from ramie.checkpoint.storage import entries as storage
from ramie.cli import demo
from ramie.cli.demo import pictures
from ramie.cli.demo.settings import Settings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

CHOICES = {"epochs": 3, "batch_size": 256, "seed": 5}
STEPS_PER_EPOCH = 5

# A process that signals itself at one call of one function: the moment is exact, and nothing waits.
DEMO_WITH_SIGNAL = """
import os, signal, sys
import ramie.cli.demo.with_linen
from ramie.cli import main

# What a shell starts in the background, these tests among it, ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

owner = {"program": ramie.cli.demo.with_linen, "os": os}[sys.argv[1]]
name, number, signal_number = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
real, calls = getattr(owner, name), 0

def counted(*args, **kwargs):
    global calls
    # Others rename files too, JAX's cache for instance; only the checkpoints count.
    if owner is not os or "checkpoint_" in str(args[1]):
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal_number)
    return real(*args, **kwargs)

setattr(owner, name, counted)
sys.exit(main(sys.argv[5:]))
"""


def run_until_signal(workdir, owner, name, number, signal_number):
    options = [f"--{key.replace('_', '-')}={value}" for key, value in CHOICES.items()]
    moment = [owner, name, str(number), str(int(signal_number))]
    return subprocess.run(
        [
            *(sys.executable, "-c", DEMO_WITH_SIGNAL, *moment),
            *("demo", "--workdir", str(workdir), *options),
        ],
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.fixture
def unseen(monkeypatch):
    monkeypatch.setattr(pictures, "draw_all", lambda *args: [])


@pytest.mark.long
def test_it_ends_with_the_same_bytes(unseen, tmp_path):
    settings = Settings(workdir=tmp_path / "killed", **CHOICES)

    def saved():
        return [path.name for path in settings.saved_checkpoints()]

    # In the second epoch, by a kill.
    ended = run_until_signal(
        settings.workdir, "program", "train_step", STEPS_PER_EPOCH + 3, signal.SIGKILL
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with tally.fault("kills", tally.LOST):
        assert saved() == ["checkpoint_1"]

    # After that epoch, when its checkpoint is written and waits for its name.
    ended = run_until_signal(settings.workdir, "os", "replace", 1, signal.SIGKILL)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert "Resuming after epoch 1 of 3" in ended.stdout
    with tally.fault("kills", tally.LOST):
        assert saved() == ["checkpoint_1"]

    # In the third epoch, by Ctrl-C.
    ended = run_until_signal(
        settings.workdir, "program", "train_step", STEPS_PER_EPOCH + 3, signal.SIGINT
    )
    assert ended.returncode == 130, ended.stderr
    assert saved() == ["checkpoint_1", "checkpoint_2"]
    assert "Traceback" not in ended.stderr
    assert f"To go on from {settings.checkpoint_dir / 'checkpoint_2'}, run:" in ended.stderr
    assert settings.command() in ended.stderr

    demo.run(settings)
    in_peace = Settings(workdir=tmp_path / "in-peace", **CHOICES)
    demo.run(in_peace)
    last = in_peace.saved_checkpoints()[-1]
    assert last.name == "checkpoint_3"
    assert (settings.checkpoint_dir / last.name).read_bytes() == last.read_bytes()
    names = os.listdir(settings.checkpoint_dir)
    assert not [name for name in names if name.startswith(storage.TEMPORARY_PREFIX)]
