"""What is said where no checkpoint is found: what was looked for, and what there is instead."""

import os
from collections import Counter
from contextlib import suppress

from ramie.cli.output import visible

__all__ = ["nothing_found"]

_MOST, _MOST_FOLDERS = 5, 50


def nothing_found(directory: str, prefix: str | None) -> str:
    """Say that a directory has no checkpoints, or none of a prefix; which others it has."""
    from ramie import checkpoint

    place = visible(directory)
    if prefix is None:
        below = ", ".join(f'"{visible(folder)}"' for folder in _with_checkpoints(directory))
        there = f"; there are some in {below}" if below else ""
        return f'no checkpoints in "{place}": nothing there is named a prefix and a step{there}'
    found = Counter(item.prefix for item in checkpoint.survey(directory))
    others = [f"{count} with --prefix '{visible(name)}'" for name, count in found.most_common()]
    instead = ", ".join(others[:_MOST]) + (", and others" if len(others) > _MOST else "")
    there = f"there are {instead}" if others else "there are none of other prefixes either"
    return f"no checkpoints in \"{place}\" whose names are '{visible(prefix)}' and a step; {there}"


def _with_checkpoints(directory: str) -> list[str]:
    """Return folders directly below that hold checkpoints."""
    from ramie import checkpoint
    from ramie.errors import RamieError

    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        folders = sorted(entry.path for entry in entries if entry.is_dir())
        for folder in folders[:_MOST_FOLDERS]:
            with suppress(OSError, RamieError):
                if checkpoint.survey(folder):
                    found.append(folder)
    return found[:_MOST]
