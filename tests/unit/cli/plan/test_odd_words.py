"""Whatever is typed for any argument of `ramie plan` ends in a documented exit code."""

import os
import shutil
import sys

import pytest
from tests.unit.cli.plan.plans import PLAN
from tests.unit.cli.test_odd_words import ODD

from ramie.cli import main
from ramie.training.plan import planning

PROGRAM = "def make(mesh, batch=1, **given):\n    return len, ()\n"
LINE = [
    "program:make",
    "--topology=cpu:4",
    "--mesh=data=2,model=2",
    "--sweep=model=1,2",
    "--rules=rules.json",
    "--batch=2",
    "--set=layers=2",
    "--picture=memory.svg",
]
MORE = ["data=2", "cpu:", "v5e:", "v5e:0x2", "cpu:99999999999", "x.py:make", "program:make:make"]
MORE += [
    "{}",
    "[]",
    "null",
    "[[]]",
    "a=[1, 2]",
    "a=" + "[" * 9999,
    ".svg",
    "a.svg/b.svg",
    "run.pgf",
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    (folder / "program.py").write_text(PROGRAM)
    (folder / "rules.json").write_text('{"hidden": "model"}')
    (folder / "run").mkdir()
    (folder / "empty").write_text("")
    return folder


@pytest.mark.parametrize("place", range(len(LINE)), ids=LINE)
def test_odd_words_are_told(template, tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr(planning, "plan", lambda *arguments, **options: PLAN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    option, equals, _ = LINE[place].partition("=")
    for number, word in enumerate([*ODD, *MORE]):
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        monkeypatch.chdir(folder)
        typed = f"{option}={word}" if equals else word
        line = [*LINE[:place], typed, *LINE[place + 1 :]]
        if option == "--mesh":
            line.remove(LINE[3])  # what is swept is not looked at
        try:
            code = main(["plan", *line, *(["--json"] if number % 2 else [])])
        except SystemExit as stop:
            code = stop.code
        shown = capsys.readouterr()
        assert code in (0, 2), (typed, shown.err)
        assert "\x1b" not in shown.out + shown.err
        assert "Traceback" not in shown.err
        sys.modules.pop("program", None)
        os.chdir(tmp_path)
        shutil.rmtree(folder)
