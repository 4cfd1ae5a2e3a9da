"""The pictures say what the numbers say."""

import sys

import numpy as np
import pytest

from ramie import errors
from ramie.cli.demo import pictures
from ramie.cli.demo.data import Split
from ramie.cli.demo.resume import History

pytest.importorskip("matplotlib")


def test_curves_show_both_measures_for_both_sets():
    history = History((2.0, 1.0), (0.5, 0.75), (2.5, 1.5), (0.25, 0.875))
    loss, accuracy = pictures.draw_curves(history).axes
    for axes, series in (
        (loss, (history.train_loss, history.test_loss)),
        (accuracy, (history.train_accuracy, history.test_accuracy)),
    ):
        assert tuple(tuple(line.get_ydata()) for line in axes.lines) == series
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train", "test"]
    assert "87.5 %" in accuracy.get_title(loc="left")


def test_ticks_are_epochs_and_accuracies_are_shown_large():
    train, test = (0.6, 0.95, 0.97, 1.0), (0.9, 0.96, 0.95, 0.99)
    figure = pictures.draw_curves(History((2.0,) * 4, train, (2.0,) * 4, test))
    loss, accuracy = figure.axes
    for axes in (loss, accuracy):
        assert axes.get_xticks().tolist() == [1, 2, 3, 4]
    low, high = accuracy.get_ylim()
    assert 0.93 < low < 0.95 and 1 < high < 1.01
    names = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert names == ["train (epoch 1: 60.0 %)", "test (epoch 1: 90.0 %)"]


@pytest.mark.parametrize(
    ("epochs", "ticks"), [(1, [1]), (15, [*range(1, 16)]), (40, [*range(3, 41, 3)])]
)
def test_many_epochs_have_every_so_many_ticks(epochs, ticks):
    history = History(*((1.0,) * epochs,) * 4)
    assert pictures.draw_curves(history).axes[0].get_xticks().tolist() == ticks


@pytest.mark.parametrize("count", [360, 60, 7])
def test_grid_marks_the_wrong_ones_and_shows_them_first(count):
    labels = (np.arange(count) % 10).astype(np.int32)
    predictions = labels.copy()
    predictions[[3, 5]] = 8
    figure = pictures.draw_predictions(Split(np.zeros((count, 8, 8, 1)), labels), predictions)
    titles = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert len(titles) == min(count, 60)
    assert titles[:3] == ["8 (is 3)", "8 (is 5)", "0"]
    assert sum("is" in title for title in titles) == 2
    assert "wrong in 2 of all" in figure.get_suptitle()


def test_both_are_written(tmp_path):
    history = History((2.0,), (0.5,), (2.5,), (0.25,))
    test = Split(np.zeros((60, 8, 8, 1)), np.zeros(60, np.int32))
    files = pictures.draw_all(tmp_path, history, test, np.zeros(60, np.int32))
    assert [file.name for file in files] == ["curves.png", "predictions.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'ramie\[demo\]'"):
        pictures.check_installed()
