"""What the tests of the larger examples share: calling them as a user does, in this process."""

import functools
import importlib
import json
import os
import signal
import sys

import jax
import pytest
from tests.tolerance import assert_exact

from ramie.training import checkpoints


class Cut(BaseException):
    """Ends a run as a kill does: nothing more is saved."""


class Example:
    """An example with a preset ``tiny`` of six steps that saves every two of them.

    Args:
      name: the folder in `examples`.
      asked: the option that asks a trained model.
      other: an option and a value that the preset has not.
      step: what it calls a step.
    """

    def __init__(self, name, asked, other=("--batch", 3), step="step"):
        self.name, self.asked, self.other, self.step = name, asked, other, step
        self.program = importlib.import_module(f"examples.{name}.__main__")
        self.running = importlib.import_module(f"examples.{name}.running")

    def call(self, *options):
        """Call the program with what was typed; return its exit code or message."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [self.name, "--preset", "tiny", *map(str, options)])
            try:
                return self.program.main()
            except SystemExit as end:
                return end.code

    def call_and_act(self, number, act, *options):
        """Call the program, and act when it has done so many steps."""
        log = self.running.Log
        add = log.add

        def watched(self, step, **values):
            add(self, step, **values)
            if step == number and "loss" in values:
                act()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log, "add", watched)
            return self.call(*options)

    def ends_as_one_that_is_not_cut(self, whole, folder, capsys):
        """Cut a run at step 3, tell it to leave at step 5, and compare it with a whole one."""

        def cut():
            raise Cut

        with pytest.raises(Cut):
            self.call_and_act(3, cut, "--workdir", folder)
        assert checkpoints.available_steps(folder / "checkpoints") == [2]
        leave = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
        assert self.call_and_act(5, leave, "--workdir", folder) == 128 + signal.SIGTERM
        assert checkpoints.available_steps(folder / "checkpoints") == [4, 5]
        assert f"goes on after {self.step} 2" in capsys.readouterr().out
        assert self.call("--workdir", folder) is None
        for name in ("log.jsonl", "result.json"):
            assert (folder / name).read_text() == (whole / name).read_text()
        for one, other in zip(saved(folder), saved(whole), strict=True):
            assert_exact(one, other)

    def shows_its_result(self, whole, score, capsys):
        """Look at what a run has left, and at what it prints where nobody looks at a terminal."""
        log = self.running.read_log(whole)
        assert [line["step"] for line in log if "loss" in line] == [1, 2, 3, 4, 5, 6]
        assert [line["step"] for line in log if score in line] == [2, 4, 6]
        assert (whole / "result.png").read_bytes().startswith(b"\x89PNG")
        capsys.readouterr()
        assert self.call("--workdir", whole) is None
        printed = capsys.readouterr().out
        assert "never" in printed and "\r" not in printed and "\x1b" not in printed
        assert self.call("--workdir", whole, "--quiet") is None
        assert capsys.readouterr().out == f"drawn in {whole / 'result.png'}\n"

    def answers(self, whole, questions, capsys):
        """Ask a trained model, and return what it says to each question."""
        assert self.call("--workdir", whole, self.asked, *questions) is None
        lines = capsys.readouterr().out.splitlines()
        for line, question in zip(lines, questions, strict=True):
            assert line.startswith(f"{question}: ")
        return [line.partition(": ")[2] for line in lines]

    def refuses_what_cannot_work(self, whole, folder):
        """Call it with folders of something else, other settings, and a package that is missing."""
        assert "holds a run with other settings" in self.call("--workdir", whole, *self.other)
        (folder / "note.txt").write_text("mine")
        assert "holds something else than a run" in self.call("--workdir", folder)
        assert "is a file" in self.call("--workdir", folder / "note.txt")
        assert "holds no run of this example" in self.call("--workdir", folder, self.asked, "word")
        for name, content in [("odd", "\0"), ("other", '{"example": "another"}'), ("list", "[]")]:
            (folder / name).mkdir()
            (folder / name / "settings.json").write_text(content)
            assert "other settings" in self.call("--workdir", folder / name)
            asked = self.call("--workdir", folder / name, self.asked, "word")
            assert "holds no run of this example" in asked
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.program, "NEEDED", ("no_such_package",))
            assert "pip install no_such_package" in self.call("--workdir", folder / "new")
        assert not (folder / "new").exists()

    def says_in_one_line(self, options, said, folder):
        """Call it with what does not go together."""
        message = self.call("--workdir", folder, *options)
        assert message.startswith("error: ") and said in message and "\n" not in message


def saved(folder):
    """Return the arrays of the newest checkpoint of a run."""
    found = checkpoints.restore_checkpoint(folder / "checkpoints", None, must_exist=True)
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    return [jax.random.key_data(x) if is_key(x) else x for x in jax.tree.leaves(found)]


def compile_once(patch, running):
    """Let all runs of a module share one `Stepper`, for runs that share their first state."""
    kept = []
    made = running.Stepper

    def stepper(step, state, **options):
        if not kept:
            kept.append(made(step, state, **options))
        kept[0].state = state
        return kept[0]

    patch.setattr(running, "Stepper", stepper)


def log_of(folder):
    """Return what a run wrote as its result."""
    return json.loads((folder / "result.json").read_text())
