"""Others: entries of a directory that are called like checkpoints, and are none."""

import os
from collections.abc import Collection
from typing import Literal, NamedTuple

from ramie.checkpoint.formats.orbax import is_orbax
from ramie.checkpoint.formats.orbax_layout import final_name, is_unfinished
from ramie.checkpoint.series.steps import Step, split_name
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import remote

__all__ = ["Other", "find_others"]


class Other(NamedTuple):
    """An entry that is no checkpoint.

    Attributes:
      prefix: what its name starts with.
      step: the number in its name.
      path: where it is.
      kind: "unfinished" if Orbax has not finished it, or was interrupted; "unreadable" if it may
        not be looked at; "foreign" for all else.
      problem: what is wrong with it.
    """

    prefix: str
    step: Step
    path: str
    kind: Literal["unfinished", "unreadable", "foreign"]
    problem: str


def find_others(directory: str, prefixes: Collection[str], known: Collection[str]) -> list[Other]:
    """Return the entries that are called like checkpoints, by prefix and step, and are none.

    Args:
      directory: where to look, locally; behind a URL there are none.
      prefixes: those of the checkpoints that are there. What Orbax left unfinished counts under
        any prefix; without a checkpoint beside it, nothing tells another folder from a step.
      known: the paths of the checkpoints.
    """
    if remote.is_remote(directory):
        return []
    found = []
    for name in storage.list_names(directory):
        path = os.path.join(directory, name)
        split = split_name(final_name(name))
        if split is None or path in known:
            continue
        kind, problem = _judge(path)
        if problem and (kind == "unfinished" or split[0] in prefixes):
            found.append(Other(*split, path, kind, problem))
    return sorted(found)


def _judge(path: str) -> tuple[Literal["unfinished", "unreadable", "foreign"], str]:
    kind = storage.kind_of(path)
    if kind == "file":
        return "foreign", ""
    if kind == "absent":
        lost = os.path.islink(path)
        return "foreign", "a link to what is not there" if lost else ""
    if kind == "other":
        return "foreign", "neither a regular file nor a directory"
    try:
        os.listdir(path)
    except FileNotFoundError:
        return "foreign", ""  # it was removed meanwhile
    except OSError as error:
        return "unreadable", str(error.strerror)
    if is_unfinished(path):
        return "unfinished", "Orbax was interrupted while it wrote it, or is still writing"
    return "foreign", "" if is_orbax(path) else "Orbax did not make this directory"
