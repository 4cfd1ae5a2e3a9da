"""The rules file: names of axes with the mesh axes over which they are divided."""

import json
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["Rule", "RulesFileError", "read_rules"]

Rule = tuple[str, str | tuple[str, ...] | None]
"""The name of an axis, and over which axis of the mesh it is divided, or which, or none."""

_FORM = "say each name with a mesh axis, several in a list, or none"


class RulesFileError(Exception):
    """A rules file cannot be used; the text says why."""


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read the rules for logical axes from a file, in their order.

    A file is TOML if its name ends in `.toml`, else JSON. It is a table from names to mesh axes, or
    a list of pairs, of which a name may have several. TOML has no null: there, and in JSON too, an
    empty list says that an axis is not divided. In TOML a list has the name `rules`.

    Args:
      path: the file.

    Raises:
      RulesFileError: it is neither, or says something else.
      OSError: it cannot be read.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     file = pathlib.Path(folder, "rules.toml")
      ...     _ = file.write_text('batch = "data"\\nhidden = ["model", "pipe"]\\nembed = []')
      ...     read_rules(file)
      (('batch', 'data'), ('hidden', ('model', 'pipe')), ('embed', None))
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RulesFileError("it is no text in UTF-8") from None
    if path.suffix.lower() == ".toml":
        try:
            content: Any = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise RulesFileError(f"it cannot be read as TOML: {error}") from None
    else:
        try:
            content = json.loads(text, object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError) as error:
            raise RulesFileError(f"it cannot be read as JSON: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("rules"), (dict, list)):
        if len(content) > 1:
            raise RulesFileError("it may hold nothing beside `rules`")
        content = content["rules"]
    if isinstance(content, dict):
        pairs = list(content.items())
    elif isinstance(content, list):
        pairs = [_pair(entry) for entry in content]
    else:
        raise RulesFileError(f"it holds {content!r:.60} and no rules; {_FORM}")
    return tuple((name, _axes(name, axes)) for name, axes in pairs)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice, of which JSON would keep the last without a word."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"{double!r} is named twice; for two rules of one name write a list of pairs"
        )
    return found


def _pair(entry: Any) -> tuple[str, Any]:
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
        return entry[0], entry[1]
    if isinstance(entry, list) and len(entry) == 1 and isinstance(entry[0], str):
        return entry[0], None
    raise RulesFileError(f"{entry!r:.60} is not a rule; write a pair, as ['hidden', 'model']")


def _axes(name: str, axes: Any) -> str | tuple[str, ...] | None:
    match axes:
        case None | []:
            return None
        case str() if axes:
            return axes
        case list() if all(isinstance(axis, str) and axis for axis in axes):
            return tuple(axes)
    raise RulesFileError(f"the rule for {name!r} is {axes!r:.60}; {_FORM}")
