"""Steps: how checkpoints are named, which entries of a directory are some, and their order."""

import math
import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp

from ramie.checkpoint.formats.orbax import is_orbax
from ramie.checkpoint.formats.orbax_layout import is_unfinished, looks_like_step
from ramie.checkpoint.storage import entries as storage
from ramie.errors import CheckpointOptionError

__all__ = [
    "Found",
    "checkpoint_name",
    "find",
    "natural_sort",
    "numbers_of",
    "parse_step",
    "split_name",
    "split_prefix",
]

Step = int | float

_LOOKS = 5

_NUMBER = re.compile(r"([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")


_ENDS_IN_A_DIGIT = re.compile(r".*[0-9.]", re.DOTALL)


class Found(NamedTuple):
    """A checkpoint that is there: its step, its name in the directory, and its path."""

    step: Step
    name: str
    path: str


def parse_step(text: str) -> Step | None:
    """Return the number that a name ends in, exactly as it is written, or None if it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else None


def split_name(name: str) -> tuple[str, Step] | None:
    """Return the prefix and the step of a visible name, the number at its longest, if it has one.

    Example:
      >>> split_name("checkpoint_1e2"), split_name("00000010"), split_name("notes.txt")
      (('checkpoint_', 100.0), ('', 10), None)
    """
    if name.startswith(".") or not _ENDS_IN_A_DIGIT.fullmatch(name):
        return None
    for start in range(len(name)):
        step = parse_step(name[start:])
        if step is not None:
            return name[:start], step
    return None


def checkpoint_name(prefix: str, step: Any) -> str:
    """Return the name of the checkpoint of a step, as Python writes the number.

    A float of fewer bits is written with all digits of its value, as Flax does it.

    Args:
      prefix: what the name starts with.
      step: a finite number: int, float, or a numpy or jax scalar.

    Raises:
      CheckpointOptionError: if it is none.

    Example:
      >>> import numpy as np
      >>> checkpoint_name("checkpoint_", np.float32(0.1))
      'checkpoint_0.10000000149011612'
    """
    is_number = isinstance(step, (int, float)) or hasattr(step, "dtype")
    if not is_number or isinstance(step, bool) or getattr(step, "shape", ()) != ():
        raise CheckpointOptionError(
            "step",
            step if not hasattr(step, "shape") else f"array of shape {step.shape}",
            "it is not a single number; a replicated one needs unreplicating first",
        )
    text = str(float(step) if _is_real(step) else step)
    if parse_step(text) is None:
        raise CheckpointOptionError("step", text, "steps are finite numbers")
    return prefix + text


def _is_real(step: Any) -> bool:
    return isinstance(step, float) or jnp.issubdtype(getattr(step, "dtype", int), jnp.floating)


def numbers_of(step: Any) -> tuple[Step, ...]:
    """Return the number that the name of a step ends in, and the one it used to, if they differ.

    Names were once as short as the bits of a float allow: 0.1 for a float32 that is 0.1 and a bit.
    """
    spelled = parse_step(checkpoint_name("", step)), parse_step(str(step))
    return tuple(dict.fromkeys(number for number in spelled if number is not None))


def split_prefix(directory: str, prefix: str) -> tuple[str, str]:
    """Return the directory that a prefix leads into, and the start of the names there.

    Args:
      directory: where checkpoints are.
      prefix: the start of a name; it may lead into a directory below, as in `run1/step_`.

    Raises:
      CheckpointOptionError: if the prefix leads out of the directory.
    """
    if not isinstance(prefix, str):
        raise CheckpointOptionError("prefix", prefix, "it is not a string")
    if "\0" in prefix or (os.altsep and os.altsep in prefix):
        raise CheckpointOptionError("prefix", prefix, "it holds characters that file names lack")
    below, _, start = prefix.rpartition(os.sep)
    if not below and prefix == start:
        return directory, start
    if os.path.isabs(prefix) or ".." in below.split(os.sep):
        raise CheckpointOptionError(
            "prefix", prefix, "it leads out of the checkpoint directory; change the directory"
        )
    return os.path.join(directory, os.path.normpath(below)), start


def find(directory: str, prefix: str) -> list[Found]:
    """Return the checkpoints in a directory, sorted by step.

    Only regular files, and directories that Orbax has finished, called exactly prefix plus number
    count; a directory that does not exist has none.
    """
    found: list[Found] = []
    for _ in range(_LOOKS):
        found, is_whole = _look(directory, prefix)
        if is_whole:
            break
    return sorted(found)


def _look(directory: str, prefix: str) -> tuple[list[Found], bool]:
    """Look once; tell also whether everything was still there when it was looked at.

    Where it was not, a writer has removed it for a newer one, which the list may lack.
    """
    found, is_whole = [], True
    for name in storage.list_names(directory):
        step = parse_step(name[len(prefix) :]) if name.startswith(prefix) else None
        if step is None:
            continue
        path = os.path.join(directory, name)
        kind = storage.kind_of(path)
        is_whole = is_whole and kind != "absent"
        if kind == "file" or (kind == "directory" and _is_step(path)):
            found.append(Found(step, name, path))
    return found, is_whole


def _is_step(path: str) -> bool:
    return (is_orbax(path) or looks_like_step(path)) and not is_unfinished(path)


def natural_sort(file_list: Iterable[str], signed: bool = True) -> list[str]:
    """Sort names by text and, where they hold numbers, by the numbers' values.

    Args:
      file_list: the names.
      signed: whether -3 comes before 2; otherwise only the size of numbers counts.

    Example:
      >>> from ramie.training.checkpoints import natural_sort
      >>> natural_sort(["ckpt_1e2", "ckpt_11", "ckpt_-3", "ckpt_2.5"])
      ['ckpt_-3', 'ckpt_2.5', 'ckpt_11', 'ckpt_1e2']
    """

    def key(name: str) -> list[Any]:
        # Splitting by a group alternates text and number, so like is compared with like.
        pieces: list[Any] = _NUMBER.split(name)
        values = [_value(piece) for piece in pieces[1::2]]
        pieces[1::2] = values if signed else [abs(value) for value in values]
        return pieces

    return sorted(file_list, key=key)


def _value(text: str) -> Step:
    try:
        return int(text)
    except ValueError:
        return float(text)
