"""The demo as it comes out of the box: at least 98 % on images it never saw."""

import pytest

from ramie import demo
from ramie.demo.settings import Settings

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


def test_defaults_reach_98_percent(tmp_path):
    results = demo.run(Settings(workdir=tmp_path))
    history = results.progress.history
    assert history.test_accuracy[-1] >= 0.98
    assert len(history) == 15 and history.train_loss[-1] < history.train_loss[0]
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert (tmp_path / "predictions.png").stat().st_size > 10_000
