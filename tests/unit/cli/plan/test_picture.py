"""The picture of memory: every bar is as long as what it shows."""

import re
from xml.etree import ElementTree

import pytest
from tests.unit.cli.plan.plans import LARGE, PLAN, SIMULATED

from ramie.cli.plan import picture
from ramie.cli.plan.report import Row

pytest.importorskip("matplotlib")


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw, and return the text of the file and the lengths of its bars by their colour."""
    from matplotlib.axes import Axes

    lengths = []
    barh = Axes.barh

    def noted(self, y, width, **settings):
        lengths.append((y, settings["label"].strip("_"), width, settings["left"]))
        return barh(self, y, width, **settings)

    monkeypatch.setattr(Axes, "barh", noted)

    def draw(plans):
        path = tmp_path / "memory.svg"
        picture.draw([Row(plan.mesh, plan) for plan in plans], "on & off", path)
        return path.read_text(encoding="utf-8"), lengths

    return draw


def test_bars_are_stacked_by_kind(drawn):
    text, lengths = drawn([PLAN, LARGE])
    assert lengths == [
        (0, "arguments", 5.0, 0.0),
        (0, "outputs", 0.25, 5.0),
        (0, "temporaries", 6.0, 5.25),
        (0, "code", 0.03125, 11.25),
        (1, "", 5.0, 0.0),
        (1, "not named", 35.0, 5.0),
    ]
    ElementTree.fromstring(text)
    for words in ("data=4,model=4", "data=16,model=1", "on &amp; off", "16.00 GiB a chip"):
        assert re.search(rf">\s*{re.escape(words)}\s*<", text), words


def test_simulated_devices_have_no_limit(drawn):
    text, _ = drawn([SIMULATED])
    assert "a chip" not in text


def test_the_same_plan_is_the_same_file(drawn):
    assert drawn([PLAN])[0] == drawn([PLAN])[0]


@pytest.mark.parametrize("ending", ["png", "pdf", "svg", "PNG"])
def test_formats(tmp_path, ending):
    path = tmp_path / f"memory.{ending}"
    picture.draw([Row(PLAN.mesh, PLAN), Row({"data": 3}, None, "no")], "x", path)
    assert path.stat().st_size > 1000
    assert ending.lower() in picture.FORMATS
