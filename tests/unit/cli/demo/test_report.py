"""What the terminal shows, on a terminal and in a file."""

import io
from pathlib import Path

import numpy as np
import pytest

from ramie.cli.demo import report
from ramie.cli.demo.data import Digits, Split
from ramie.cli.demo.resume import History, Progress
from ramie.cli.demo.settings import Settings

HISTORY = History((2.0,), (0.5,), (2.5,), (0.25,))


def shown_by_bar(monkeypatch, terminal):
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, legacy_windows=False)
    monkeypatch.setattr(report, "_console", lambda: console)
    with report.ProgressBar(epochs=2, steps=3, done=0) as bar:
        for _ in range(3):
            bar.finish_step()
        bar.finish_epoch(HISTORY)
    return file.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch):
    shown = shown_by_bar(monkeypatch, terminal=True)
    assert "epoch 2/2" in shown and "50%" in shown and "test accuracy 25.00 %" in shown
    assert "left" in shown  # what the time is


def test_a_file_gets_a_line_per_epoch_and_no_control_codes(monkeypatch):
    shown = shown_by_bar(monkeypatch, terminal=False)
    assert shown == "epoch 1/2: train loss 2.0000, test loss 2.5000, test accuracy 25.00 %\n"


def test_the_bar_is_taken_away_when_training_breaks_off(monkeypatch):
    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(report, "_console", lambda: console)
    with pytest.raises(KeyboardInterrupt), report.ProgressBar(2, 3, 0) as bar:
        bar.finish_step()
        raise KeyboardInterrupt
    assert bar._bar.live.is_started is False


def test_paths_are_shown_as_they_are(capsys):
    workdir = Path("[bold]/runs")
    one = Split(np.zeros((1, 8, 8, 1), np.float32), np.zeros(1, np.int32))
    report.show_start(Settings(workdir=workdir), Digits(one, one), Progress(None))
    report.show_results(HISTORY, Digits(one, one), [workdir / "curves.png"])
    shown = capsys.readouterr().out
    assert "Training for 15 epochs, in [bold]/runs" in shown
    assert "Picture: [bold]/runs/curves.png" in shown


def test_the_best_epochs_are_marked_and_the_mark_is_explained(capsys):
    one = Split(np.zeros((1, 8, 8, 1), np.float32), np.zeros(1, np.int32))
    history = History((2.0,) * 3, (0.5,) * 3, (2.5,) * 3, (0.25, 0.75, 0.5))
    report.show_results(history, Digits(one, one), [])
    shown = capsys.readouterr().out
    marked = [line for line in shown.splitlines() if "75.00 % *" in line]
    assert len(marked) == 1 and shown.count("% *") == 1
    assert "* highest test accuracy, 75.00 %" in shown


def test_what_to_type_next_is_quoted(capsys):
    report.show_next(Settings(workdir=Path("my run")))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ramie ckpt ls 'my run/checkpoints'")
    assert lines[1].endswith("ramie ckpt show 'my run/checkpoints' --stats")
