"""The command line: usage, version, and what is refused with exit code 2."""

import json
import subprocess
import sys
import types

import pytest

from ramie import errors
from ramie.cli import demo, main
from ramie.cli.demo.settings import SettingsError
from ramie.foundation.version import __version__


def exit_code(*argv):
    try:
        return main(list(argv))
    except SystemExit as stop:
        return stop.code


@pytest.fixture
def ran_with(monkeypatch):
    """Replace the training by a note of the settings it would have had."""
    seen = []
    monkeypatch.setattr(demo, "run", seen.append, raising=False)
    return seen


def run_raises(monkeypatch, error):
    def run(settings):
        raise error

    monkeypatch.setattr(demo, "run", run, raising=False)


def test_version(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"ramie {__version__}\n"


def test_help_lists_the_commands(capsys):
    assert exit_code("--help") == 0
    assert "demo" in capsys.readouterr().out


def test_no_command_shows_the_usage(capsys):
    assert exit_code() == 2
    assert "COMMAND" in capsys.readouterr().err


def test_help_of_demo_names_every_option_with_its_default(capsys):
    assert exit_code("demo", "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--workdir", "--epochs", "--batch-size", "--learning-rate", "--seed"):
        assert option in shown
    assert "(default: 15)" in shown


def test_options_reach_the_settings(ran_with, tmp_path):
    argv = ["--epochs", "3", "--batch-size", "8", "--learning-rate", "1e-2", "--seed", "7"]
    assert exit_code("demo", "--workdir", str(tmp_path), *argv) == 0
    (settings,) = ran_with
    assert (settings.workdir, settings.epochs, settings.batch_size) == (tmp_path, 3, 8)
    assert (settings.learning_rate, settings.seed) == (0.01, 7)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epochs", "0"], "argument --epochs: must be a whole number of at least 1, but it is 0"),
        (["--epochs", "2.5"], "argument --epochs: must be a whole number, but it is '2.5'"),
        (["--batch-size", "many"], "argument --batch-size: must be a whole number"),
        (["--learning-rate", "nan"], "argument --learning-rate: must be a finite number above 0"),
        (["--learning-rate", "fast"], "argument --learning-rate: must be a number"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--workdir", __file__], "argument --workdir: must be a directory"),
    ],
)
def test_nonsense_is_misuse(ran_with, capsys, argv, message):
    assert exit_code("demo", *argv) == 2
    assert message in capsys.readouterr().err
    assert ran_with == []


def test_what_only_the_run_can_know_is_misuse_too(monkeypatch, capsys, tmp_path):
    run_raises(monkeypatch, SettingsError("batch_size", "must be at most 9"))
    assert exit_code("demo", "--workdir", str(tmp_path)) == 2
    assert "argument --batch-size: must be at most 9" in capsys.readouterr().err


def test_failures_are_told_without_a_traceback(monkeypatch, capsys, tmp_path):
    run_raises(monkeypatch, errors.MissingExtraError("sklearn", "demo", "load the digits"))
    assert exit_code("demo", "--workdir", str(tmp_path)) == 1
    assert "pip install 'ramie[demo]'" in capsys.readouterr().err
    run_raises(monkeypatch, PermissionError(13, "Permission denied", "curves.png"))
    assert exit_code("demo", "--workdir", str(tmp_path)) == 1
    assert f"cannot use --workdir {tmp_path}" in capsys.readouterr().err


def test_results_and_failures_as_json(monkeypatch, capsys, tmp_path):
    history = types.SimpleNamespace(train_loss=(2.0, 1.0), test_accuracy=(0.5, 0.75))
    results = types.SimpleNamespace(
        progress=types.SimpleNamespace(history=history), pictures=(tmp_path / "curves.png",)
    )
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint_2").touch()
    monkeypatch.setattr(demo, "run", lambda settings: print("epoch 1") or results, raising=False)
    assert exit_code("demo", "--workdir", str(tmp_path), "--json") == 0
    shown = capsys.readouterr()
    page = json.loads(shown.out)
    assert shown.err == "epoch 1\n" and page["settings"]["workdir"] == str(tmp_path)
    assert page["epochs"][1] == {"train_loss": 1.0, "test_accuracy": 0.75}
    assert page["checkpoint"].endswith("checkpoint_2")
    assert page["pictures"] == [str(tmp_path / "curves.png")]
    run_raises(monkeypatch, errors.RamieError("broken"))
    assert exit_code("demo", "--workdir", str(tmp_path), "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"error": "broken", "kind": "failed"}
    run_raises(monkeypatch, KeyboardInterrupt())
    assert exit_code("demo", "--workdir", str(tmp_path), "--json") == 130
    page = json.loads(capsys.readouterr().out)
    assert page["kind"] == "interrupted" and f"--workdir {tmp_path}" in page["command"]


def test_interrupt_tells_how_to_resume(monkeypatch, capsys, tmp_path):
    run_raises(monkeypatch, KeyboardInterrupt())
    assert exit_code("demo", "--workdir", str(tmp_path), "--seed", "3") == 130
    shown = capsys.readouterr().err
    assert "start again (no epoch was finished yet)" in shown
    assert f"ramie demo --workdir {tmp_path} --epochs 15 --batch-size 16" in shown
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint_4").touch()
    assert exit_code("demo", "--workdir", str(tmp_path)) == 130
    assert f"go on from {tmp_path / 'checkpoints' / 'checkpoint_4'}" in capsys.readouterr().err


def test_misuse_is_found_without_loading_jax():
    code = (
        "import sys\n"
        "from ramie.cli import main\n"
        "try:\n"
        "    main(['demo', '--epochs', '0'])\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, 'jax' in sys.modules)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "2 False\n"
