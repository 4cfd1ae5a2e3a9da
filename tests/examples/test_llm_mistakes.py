"""What a user of the language model gets wrong is said in one line, and changes nothing."""

import importlib.util
import io
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console
from tests.examples import fences

pytest.importorskip("grain")
from examples.llm import __main__ as program
from examples.llm import checks, progress
from examples.llm.settings import PRESETS, Settings

TINY = PRESETS["tiny"]


def refused(folder, *options):
    """Run the program in this process; return what it says as it ends."""
    with pytest.raises(SystemExit) as stop:
        program.main(["--preset", "tiny", "--workdir", str(folder), *options])
    return str(stop.value.code)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--devices 1 --mesh data=3", "has 3 devices, and there are 1"),
        ("--devices 1 --mesh rows=1", "'rows=1' is none of data=N, fsdp=N and model=N"),
        ("--devices 1 --mesh data=0", "'data=0' is none of"),
        ("--devices 3 --mesh data=3", "the batch, 8, does not divide into the 3 parts"),
        ("--devices 3", "--mesh 'data=3': the batch, 8, does not divide"),
        ("--devices 3 --mesh model=3 --batch 9", "the width, 32, does not divide into the 3 parts"),
        ("--devices 64 --mesh model=64 --width 64 --heads 4", "keys and values, 16, does not"),
        ("--processes 2 --devices 3 --mesh data=3,model=2 --batch 9", "each process has 3 devices"),
        ("--width 33", "width 33 has to be a multiple of 2 x 2 heads"),
        ("--heads 2 --groups 4", "do not divide into 4 groups"),
        ("--depth 0", "depth 0: a whole number from 1 on is needed"),
        ("--length 1", "length 1: a whole number from 2 on is needed"),
        ("--seed -1", "seed -1: a whole number from 0 on is needed"),
        ("--rate nan", "rate nan: a number above 0 is needed"),
        ("--rate 0", "rate 0.0: a number above 0 is needed"),
        ("--steps 3", "warmup 3 has to be less than steps, 3"),
        ("--every 0", "--every 0: give a whole number from 1 on"),
        ("--processes 0", "--processes 0: give a whole number from 1 on"),
        ("--devices -1", "--devices -1: give a whole number from 1 on"),
        ("--length 1000000", "length 1000000 is too long: the text that is held out has"),
        ("--sample def", "holds no checkpoint; train first: python -m examples.llm --workdir"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_made(options, said, tmp_path):
    assert said in refused(tmp_path / "run", *options.split())
    assert not (tmp_path / "run").exists()


def test_a_workdir_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file; give a folder" in refused(tmp_path / "file")
    assert "cannot be written" in refused(tmp_path / "file" / "below")


@pytest.fixture
def begun(tmp_path):
    """The folder of a run that has begun and has saved, so it seems."""
    checks.begin(tmp_path, TINY)
    (tmp_path / "checkpoints" / "12").mkdir(parents=True)
    (tmp_path / "checkpoints" / "16.orbax-checkpoint-tmp").mkdir()
    return tmp_path


def test_another_run_in_the_folder_is_refused_with_what_differs(begun):
    said = refused(begun, "--width", "64", "--remat")
    assert "holds a run with other sizes: width 32 (now 64), remat False (now True)." in said
    assert "holds a run with other sizes: depth 2 (now 3)" in refused(
        begun, "--depth", "3", "--sample", "def"
    )


def test_another_text_is_refused(begun):
    (begun / "text.txt").write_text("5 bytes, crc32 00000000")
    said = refused(begun)
    assert "was trained on another text (5 bytes, crc32 00000000; now 8000000 bytes" in said
    assert "go on with the same Python" in said


@pytest.mark.parametrize("content", ["{", '{"width": 32, "colour": 3}', "[]"])
def test_damaged_sizes_are_refused(begun, content):
    (begun / "settings.json").write_text(content)
    assert "settings.json cannot be read (these are no settings" in refused(begun)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sample", ""], "the prompt is empty; give at least one byte"),
        (["--sample", "a", "--processes", "2"], "--sample takes one process"),
        (["--sample", "a", "--bytes", "0"], "the number of bytes is 0"),
        (
            ["--sample", "a", "--top-k", "300"],
            "the top-k is 300; give a whole number",
        ),
        (["--sample", "a", "--temperature", "-1"], "the temperature is -1.0"),
    ],
)
def test_what_cannot_be_sampled_is_said(begun, options, said):
    assert said in refused(begun, *options)


def test_the_last_whole_checkpoint_is_found(begun, tmp_path):
    assert checks.newest(begun) == 12
    assert checks.newest(tmp_path / "nowhere") is None


def test_a_missing_package_is_named_with_what_to_install(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "grain" else find(name)
    )
    said = refused(tmp_path / "run")
    assert "grain cannot be imported" in said and "pip install -e '.[examples]'" in said


def test_a_signal_before_anything_is_begun_ends_in_good_order():
    code = (
        "import os, signal, time\n"
        "from examples.llm import launching\n"
        "with launching.nothing_to_save():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=fences.ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0
    assert done.stderr == "told to leave before the first step; nothing was changed\n"


def test_ctrl_c_ends_all_processes_with_one_line(tmp_path):
    """A terminal sends it to all of them at once, here while they import JAX."""
    run = [sys.executable, "-m", "examples.llm", "--preset", "tiny", "--processes", "2"]
    started = subprocess.Popen(
        [*run, "--workdir", str(tmp_path)],
        cwd=fences.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 100
    while not (tmp_path / "settings.json").exists():
        assert time.monotonic() < end and started.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    os.killpg(started.pid, signal.SIGINT)
    printed, _ = started.communicate(timeout=100)
    assert started.returncode == 130
    assert printed == "\nInterrupted. The same command goes on from the last checkpoint.\n"


def test_a_pipe_gets_a_line_now_and_then(capsys):
    now = [0.0]
    show = progress._lines(Settings(steps=100), lambda: now[0])
    for number in range(1, 101):
        show(number, 2.5, 0.0 if number == 1 else 2048.0)
        now[0] += 1.0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "step 1 of 100: loss 2.500"
    assert lines[1] == "step 11 of 100: loss 2.500, 2,048 tokens/s, 1:29 left"
    assert lines[-1] == "step 100 of 100: loss 2.500, 2,048 tokens/s, 0:00 left"
    assert len(lines) == 11


def test_a_terminal_gets_a_bar(monkeypatch):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, legacy_windows=False)
    monkeypatch.setattr(progress, "Console", lambda: console)
    with progress.shown(Settings(steps=100), 20, quiet=False) as show:
        show(60, 1.25, 2048.0)
    for part in ("60/100", "loss 1.250", "2,048 tokens/s"):
        assert part in out.getvalue()


def test_quiet_is_quiet(capsys):
    with progress.shown(TINY, 0, quiet=True) as show:
        show(12, 1.0, 1.0)
    assert capsys.readouterr() == ("", "")
