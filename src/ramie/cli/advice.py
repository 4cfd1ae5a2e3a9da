"""Messages of the library in the words of the command line: options instead of parameters."""

import argparse
import re
import shlex
from typing import Any

from ramie.cli.command import runnable
from ramie.cli.output import visible

__all__ = ["in_words_of", "misuse"]

_ASSIGNED = re.compile(r"(`?)\b([a-z_]+)=(True|False|None|'[^']*'|\"[^\"]*\"|-?[\w.]*\w)\1")
_QUOTES = "'\""
_QUOTED = re.compile(r"`([a-z_]+)`")
_COMPOUND = re.compile(r"(?<![\w./\"'=-])[a-z]+(?:_[a-z]+)+(?![\w./\"'=(])")
_IN_PYTHON = re.compile(r"(?<![\w.])(?=(?:load|save)_safetensors\b)")
_REFERENCE = re.compile(r" \(docs/errors\.md#[^)]*\)")


def in_words_of(parser: argparse.ArgumentParser, message: str) -> str:
    """Return a message as one line that names what can be typed.

    The `dest` of an argument is the name of the parameter that it becomes. So `overwrite=True`
    becomes `--overwrite`, `separator=None` becomes `--separator none`, and `directory` its
    metavar, wherever the command has such an argument. What only Python can do says so.
    """
    arguments = _arguments(parser)

    def assigned(match: re.Match[str]) -> str:
        _, name, value = match.groups()
        if name not in arguments:
            return match[0]
        return _typed(arguments[name], value)

    def quoted(match: re.Match[str]) -> str:
        return f"`{_name(arguments[match[1]])}`" if match[1] in arguments else match[0]

    def compound(match: re.Match[str]) -> str:
        return f"`{_name(arguments[match[0]])}`" if match[0] in arguments else match[0]

    text = _IN_PYTHON.sub("ramie.checkpoint.", _REFERENCE.sub("", message))
    text = _COMPOUND.sub(compound, _QUOTED.sub(quoted, _ASSIGNED.sub(assigned, text)))
    return " ".join(visible(line.strip()) for line in runnable(text).splitlines())


def misuse(parser: argparse.ArgumentParser, option: str, value: Any, reason: str) -> str:
    """Say that what was given for a parameter cannot be used."""
    action = _arguments(parser).get(option)
    given = "none" if value is None else shlex.quote(str(value))
    what = "" if action is None else f"argument {_name(action)}: "
    return in_words_of(parser, f"{what}{given} cannot be used, because {reason}.")


def _arguments(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions}


def _name(action: argparse.Action) -> str:
    if action.option_strings:
        return max(action.option_strings, key=len)
    return str(action.metavar or action.dest)


def _typed(action: argparse.Action, value: str) -> str:
    name = _name(action)
    if action.nargs == 0:  # a switch
        return f"`{name}`" if value == "True" else f"no `{name}`"
    if value == "None":
        return f"`{name} none`"
    return f"`{name} {shlex.quote(value.strip(_QUOTES))}`"
