"""`ramie completion`: scripts that let a shell complete what can be typed, made of the parser."""

import argparse
import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

from ramie.cli.command import command_name

__all__ = ["SHELLS", "add_parser", "script"]

SHELLS = ("bash", "zsh", "fish")


class _Word(NamedTuple):
    """A word that can be completed: a command or an option."""

    text: str
    help: str


class _Level(NamedTuple):
    """What can follow the words of a command.

    Attributes:
      command: the words, as in `ckpt ls`.
      below: commands that may follow.
      options: options that may.
      choices: what may follow an option, by the option; nothing where that is not known.
      positional: what may stand where no option does; nothing where that is a file.
    """

    command: str
    below: list[_Word]
    options: list[_Word]
    choices: dict[str, list[str]]
    positional: list[str]


def add_parser(commands: Any, root: argparse.ArgumentParser) -> None:
    """Add `completion` to the commands of the `ramie` parser, which is the root."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print a script that lets a shell complete commands and options",
        description="Print a script that lets a shell complete commands and options.",
        epilog=f'In bash and zsh: eval "$({command_name()} completion bash)", or zsh. '
        f"In fish: {command_name()} completion fish | source.",
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(call=lambda arguments: _print(arguments.shell, root), parser=parser)


def _print(shell: str, root: argparse.ArgumentParser) -> int:
    print(script(shell, root), end="")
    return 0


def script(shell: str, root: argparse.ArgumentParser) -> str:
    """Return the script for a shell.

    Args:
      shell: one of `SHELLS`.
      root: the parser of the whole command line.
    """
    levels = list(_levels(root, ""))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](root.prog, levels)


def _levels(parser: argparse.ArgumentParser, command: str) -> Iterator[_Level]:
    level = _Level(command, [], [], {}, [])
    parsers: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers = action.choices
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            level.below.extend(_Word(name, helps.get(name, "")) for name in parsers)
        elif action.option_strings:
            level.options.extend(_Word(text, action.help or "") for text in action.option_strings)
            if action.nargs != 0:
                for text in action.option_strings:
                    level.choices[text] = [str(choice) for choice in action.choices or ()]
        else:
            level.positional.extend(str(choice) for choice in action.choices or ())
    yield level
    for name, below in parsers.items():
        yield from _levels(below, f"{command} {name}".strip())


def _first_sentence(text: str) -> str:
    """Return help without what `argparse` would fill in, in one line."""
    return re.sub(r"\s*\(default: %\(default\)s\)|%%", "", " ".join(text.split()))


_FIND_COMMAND = """\
    for word in {before}; do
        case "$command $word" in
            {commands}) command="${{command:+$command }}$word" ;;
        esac
    done
"""


def _find_command(levels: list[_Level], before: str) -> str:
    known = [level.command for level in levels if level.command]
    patterns = "|".join(f'"{name if " " in name else f" {name}"}"' for name in known)
    return _FIND_COMMAND.format(before=before, commands=patterns)


def _bash(program: str, levels: list[_Level]) -> str:
    lines = [
        f"# Completion of {program} in bash.",
        f"_{program}() {{",
        '    local current="${COMP_WORDS[COMP_CWORD]}" command="" words="" word',
        '    local before="${COMP_WORDS[COMP_CWORD-1]}"',
        "    COMPREPLY=()",
        _find_command(levels, '"${COMP_WORDS[@]:1:COMP_CWORD-1}"').rstrip("\n"),
        '    case "$command $before" in',
    ]
    for level in levels:
        for option, choices in level.choices.items():
            reply = f'COMPREPLY=($(compgen -W "{" ".join(choices)}" -- "$current"));'
            what = f"{reply} return" if choices else "return"
            lines.append(f'        "{level.command} {option}") {what} ;;')
    lines += ["    esac", '    case "$command" in']
    for level in levels:
        words = [word.text for word in level.below] + level.positional
        options = [word.text for word in level.options]
        lines.append(
            f'        "{level.command}") words="{" ".join(words)}";'
            f' [[ $current == -* ]] && words="{" ".join(options)}" ;;'
        )
    lines += [
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "# Where there is no word to offer, file names are completed.",
        f"complete -o default -F _{program} {program}",
    ]
    return "\n".join(lines) + "\n"


def _zsh(program: str, levels: list[_Level]) -> str:
    def described(words: list[_Word]) -> str:
        texts = (f"{word.text}:{_first_sentence(word.help)}" for word in words)
        return " ".join(map(shlex.quote, texts))

    lines = [
        f"#compdef {program}",
        f"_{program}() {{",
        '    local command="" word',
        "    local -a found options",
        _find_command(levels, '"${(@)words[2,CURRENT-1]}"').rstrip("\n"),
        '    case "$command ${words[CURRENT-1]}" in',
    ]
    for level in levels:
        for option, choices in level.choices.items():
            what = f"compadd -- {' '.join(choices)}" if choices else "_files"
            lines.append(f'        "{level.command} {option}") {what}; return ;;')
    lines += ["    esac", '    case "$command" in']
    for level in levels:
        words = level.below + [_Word(text, "") for text in level.positional]
        lines.append(
            f'        "{level.command}") found=({described(words)});'
            f" options=({described(level.options)}) ;;"
        )
    lines += [
        "    esac",
        '    if [[ "${words[CURRENT]}" == -* ]]; then',
        "        _describe -o option options",
        "    elif (( ${#found} )); then",
        "        _describe command found",
        "    else",
        "        _files",
        "    fi",
        "}",
        f'if [[ "${{funcstack[1]}}" == "_{program}" ]]; then',
        f'    _{program} "$@"',
        "else",
        f"    compdef _{program} {program}",
        "fi",
    ]
    return "\n".join(lines) + "\n"


def _fish(program: str, levels: list[_Level]) -> str:
    lines = [f"# Completion of {program} in fish."]
    for level in levels:
        seen = [f"__fish_seen_subcommand_from {word}" for word in level.command.split()]
        if level.below:
            names = " ".join(word.text for word in level.below)
            seen.append(f"not __fish_seen_subcommand_from {names}")
        start = f"complete -c {program} -n {shlex.quote('; and '.join(seen))}" if seen else ""
        start = start or f"complete -c {program}"
        for word in level.below:
            lines.append(f"{start} -f -a {word.text} -d {_fish_quote(word.help)}")
        if level.positional:
            lines.append(f"{start} -f -a {_fish_quote(' '.join(level.positional))}")
        for word in level.options:
            kind, name = ("-l", word.text[2:]) if word.text[:2] == "--" else ("-s", word.text[1:])
            line = f"{start} {kind} {name} -d {_fish_quote(word.help)}"
            if word.text in level.choices:
                choices = " ".join(level.choices[word.text])
                line += f" -x -a {_fish_quote(choices)}" if choices else " -r"
            lines.append(line)
    return "\n".join(lines) + "\n"


def _fish_quote(text: str) -> str:
    escaped = _first_sentence(text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
