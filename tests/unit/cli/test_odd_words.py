"""Whatever is typed for any argument of any command ends in a documented exit code."""

import os
import shutil

import numpy as np
import pytest

from ramie import checkpoint
from ramie.cli import main

ODD = ["", " ", ".", "..", "/", "//", "none", "-1", "0", "1e999", "nan", "x" * 300, "*", "\\"]
ODD += [
    "%s",
    "{}",
    "\n",
    "\x1b[2J",
    "\N{SNOWMAN}",
    "\udcff",
    "a=b",
    "=",
    "(",
    "[",
    "a/b",
    "w/",
    "/w",
]
ODD += [
    "pipe",
    "empty",
    "run",
    "run/checkpoint_1",
    "m.safetensors",
    "x.orbax",
    "memory://a",
    "a://b",
]

# A line of each command that makes sense; `=` joins an option to its value.
LINES = [
    ["ls", "run", "--prefix=checkpoint_"],
    ["show", "m.safetensors", "w", "--depth=1", "--separator=."],
    ["verify", "run"],
    ["diff", "run/checkpoint_1", "m.safetensors", "--separator=."],
    ["stats", "run/checkpoint_1", "m.safetensors", "--separator=."],
    ["convert", "run/checkpoint_1", "new.safetensors", "--max-shard-bytes=99", "--metadata=a=b"],
    ["convert", "m.safetensors", "new", "--separator=.", "--to=msgpack"],
    ["extract", "run/checkpoint_1", "w", "new", "--separator=.", "--to=msgpack"],
    ["rename", "m.safetensors", "w", "v", "--output=new", "--separator=.", "--to=msgpack"],
    ["prune", "run", "--keep=1", "--keep-every=1", "--prefix=checkpoint_"],
    ["rm", "run", "1", "--prefix=checkpoint_", "--yes"],
]
CASES = [
    (line, place)
    for line in LINES
    for place in range(1, len(line))
    if not line[place].startswith("--") or "=" in line[place]
]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    checkpoint.save(folder / "run", {"w": np.ones(3), "n": 1}, 1, keep=0)
    checkpoint.save_safetensors(folder / "m.safetensors", {"w": np.ones(3)})
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("line", "place"), CASES, ids=[f"{line[0]}-{line[place]}" for line, place in CASES]
)
def test_odd_words_are_told(template, tmp_path, monkeypatch, capsys, line, place):
    monkeypatch.chdir(tmp_path)
    for number, word in enumerate(ODD):
        if word == "x.orbax" and line[0] != "ls":
            continue  # it would be written, slowly
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        os.chdir(folder)
        os.mkfifo("pipe")
        option, equals, _ = line[place].partition("=")
        typed = f"{option}={word}" if equals and option.startswith("--") else word
        flags = ["--json"] if (number + place) % 2 else []
        try:
            code = main(["ckpt", *line[:place], typed, *line[place + 1 :], *flags])
        except SystemExit as stop:
            code = stop.code
        shown = capsys.readouterr()
        assert code in (0, 1, 2), (typed, shown.err)
        assert "\x1b" not in shown.out + shown.err
        os.chdir(tmp_path)
        shutil.rmtree(folder)


def test_every_command_has_a_line():
    from tests.unit.cli.test_advice import COMMANDS

    named = {f"ckpt {line[0]}" for line in LINES}
    assert named == {name for name in COMMANDS if name.startswith("ckpt ")}
