"""Advice in messages names what can be typed."""

import ast
import re
import sys

import pytest
from tests.layout import sources

from ramie import errors
from ramie.cli import advice
from ramie.cli.failures import explain
from ramie.cli.main import make_parser

# Advice that no command prints, because none restores into a target or writes steps.
ONLY_IN_PYTHON = {
    "fallback": "restore",
    "partial": "load_safetensors, which the message names",
    "target": "restore",
    "weights_only": "torch.load, which the message names",
    "metrics": "Summary",
    "strict": "restore",
    "keep": "save",
}


def commands():
    """Return the parsers of all commands by their names."""
    found = {}

    def walk(parser):
        below = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
        for parsers in below:
            for inner in parsers.values():
                walk(inner)
        if not below:
            found[parser.prog.removeprefix("ramie ")] = parser

    walk(make_parser())
    return found


COMMANDS = commands()


@pytest.mark.parametrize(
    ("command", "message", "expected"),
    [
        (
            "ckpt convert",
            "it exists; overwrite=True replaces it",
            "it exists; `--overwrite` replaces",
        ),
        ("ckpt convert", "Pass `overwrite=True`.", "Pass `--overwrite`."),
        ("ckpt convert", "as with overwrite=False", "as with no `--overwrite`"),
        ("ckpt show", "try separator=None", "try `--separator none`"),
        ("ckpt show", "try separator='/'", "try `--separator /`"),
        ("ckpt ls", 'say prefix=""', "say `--prefix ''`"),
        ("ckpt ls", "say prefix='my step_'", "say `--prefix 'my step_'`"),
        ("ckpt prune", "keep_every_n_steps=3", "`--keep-every 3`"),
        ("ckpt convert", "name x and max_shard_bytes", "name x and `--max-shard-bytes`"),
        ("ckpt convert", "Pass drop_metadata=True to", "Pass `--drop-metadata` to"),
        ("ckpt rm", "Leave out `step` to", "Leave out `STEP` to"),
        (
            "ckpt show",
            "run/max_shard_bytes/x overwrite=True",
            "run/max_shard_bytes/x overwrite=True",
        ),
        ("ckpt show", 'in "max_shard_bytes"', 'in "max_shard_bytes"'),
        ("ckpt show", "Wrong. (docs/errors.md#flax.errors.X)", "Wrong."),
        ("ckpt show", "one\n  two \x1b", "one two \\x1b"),
        (
            "ckpt show",
            "load_safetensors(path, partial=True) reads",
            "ramie.checkpoint.load_safetensors(path, partial=True) reads",
        ),
    ],
)
def test_parameters_become_options(command, message, expected):
    assert expected in advice.in_words_of(COMMANDS[command], message)


def texts(path):
    """Yield the pieces of strings in a file that are no docstrings."""
    tree = sources.parse(path)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


def test_all_advice_of_the_engine_can_be_typed_or_is_only_for_python():
    known = {action.dest for parser in COMMANDS.values() for action in parser._actions}
    found = {}
    for path in [
        *sources.files("src/ramie/checkpoint"),
        sources.PACKAGE / "errors" / "checkpoint.py",
    ]:
        for text in texts(path):
            for name in re.findall(r"(?<![\w?&])([a-z_]+)=(?:True|False|None|\"|'|\.\.\.)", text):
                found.setdefault(name, f"{sources.relative(path)}: {text}")
    unknown = {name: where for name, where in found.items() if name not in known}
    assert "overwrite" in found and "separator" in found
    assert not {name: where for name, where in unknown.items() if name not in ONLY_IN_PYTHON}


@pytest.mark.parametrize("command", sorted(name for name in COMMANDS if name != "completion"))
def test_what_cannot_be_used_is_named_as_it_was_typed(command):
    parser = COMMANDS[command]
    for action in parser._actions:
        if action.dest == "help":
            continue
        error = errors.CheckpointOptionError(action.dest, "a b", "it is wrong")
        problem = explain(error, parser).problem
        typed = action.option_strings[-1] if action.option_strings else action.metavar
        assert problem == f"argument {typed}: 'a b' cannot be used, because it is wrong."
    error = errors.CheckpointOptionError("something", None, "it is wrong")
    assert explain(error, parser).problem == "none cannot be used, because it is wrong."


def test_packages_are_installed_where_the_command_is(monkeypatch, tmp_path):
    error = errors.MissingExtraError("orbax", "orbax", "read it")
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = explain(error, COMMANDS["ckpt show"]).problem
    assert problem.endswith(f"{sys.executable} -m pip install 'ramie[orbax]'")
