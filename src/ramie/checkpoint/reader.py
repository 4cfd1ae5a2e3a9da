"""Restoring: finding the checkpoint that is asked for, and reading it into a target."""

import errno
import os
import warnings
from typing import Any, NamedTuple

from ramie.checkpoint import multiprocess
from ramie.checkpoint.formats import (
    msgpack,
    orbax,
    orbax_items,
    orbax_layout,
    orbax_target,
    safetensors_index,
    spread_arrays,
)
from ramie.checkpoint.formats.match import Report, restore_into
from ramie.checkpoint.inspecting import contents, foreign, health
from ramie.checkpoint.series import steps
from ramie.checkpoint.shardings import on_devices
from ramie.checkpoint.storage import entries as storage
from ramie.checkpoint.storage import folders
from ramie.errors import (
    CheckpointNotFoundError,
    CheckpointOptionError,
    DamagedCheckpointError,
    MalformedDataError,
)
from ramie.serialization.decode_layers import Forms

__all__ = ["Options", "available_steps", "latest", "newest_intact", "restore", "restore_by"]

_ATTEMPTS = 10
_PREFIX = "checkpoint_"


def latest(directory: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the checkpoint with the largest step, or None if there is none.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    found = _find(directory, prefix)
    return found[-1].path if found else None


def available_steps(
    directory: str | os.PathLike[str], prefix: str = "checkpoint_"
) -> list[int | float]:
    """Return the steps that have a checkpoint, in order: ints, or floats where they are written so.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    return [checkpoint.step for checkpoint in _find(directory, prefix)]


def _find(directory: str | os.PathLike[str], prefix: str) -> list[steps.Found]:
    return steps.find(*steps.split_prefix(storage.local_or_remote(directory), prefix))


def restore(
    path: str | os.PathLike[str],
    target: Any,
    step: int | float | None = None,
    *,
    prefix: str = "checkpoint_",
    fallback: bool = False,
    strict: bool = True,
    must_exist: bool = False,
) -> Any:
    """Read a checkpoint into a copy of a target.

    What was saved by Ramie is compared with the checksums in its manifest on the way.

    Args:
      path: a directory of checkpoints, or one checkpoint: a msgpack or safetensors file, the index
        of several, or an Orbax directory, which are told by their content.
      target: a tree of the structure that was saved, or None for the plain state dict. Arrays in
        it, or `jax.ShapeDtypeStruct`s, say which shape and dtype is wanted.
      step: which checkpoint of the directory; the latest by default.
      prefix: the start of the names in the directory.
      fallback: if the latest checkpoint is damaged, warn and take the newest that is not.
      strict: whether values must have the shape, dtype and type that the target says; see
        `formats.match.restore_into`. Otherwise they come as they were saved, as Flax's restore
        has it. None takes anything, and a container is no value in either case.
      must_exist: whether it is an error if there is no checkpoint.

    Returns:
      The target with the saved values, arrays as numpy arrays (from an Orbax directory, those
      that are JAX arrays in the target as such, sharded as there); the very target if no step is
      given and there is no checkpoint, so that a first start and a resumed one are written alike.

    Raises:
      CheckpointNotFoundError: if there is none of the given step, or none at all and one must
        exist; a ValueError.
      DamagedCheckpointError: if the file is not what was saved; names the newest checkpoint that
        is undamaged; a MalformedDataError.
      MalformedDataError: if the file has no manifest, and is damaged; a ValueError.
      CheckpointMismatchError: if the structure, a shape or a dtype does not match the target;
        lists all differences by path; a ValueError.
      CheckpointOptionError: if shardings of the target are over an abstract mesh, the checkpoint is
        a directory of Orbax, and `jax.set_mesh` has set no such mesh; a ValueError.
    """
    options = Options(strict, must_exist=must_exist)
    return restore_by(options, path, target, step, prefix=prefix, fallback=fallback)


class Options(NamedTuple):
    """How a checkpoint of any format is read.

    Attributes:
      strict: see `restore`.
      checkpointer: one of Orbax, for directories that hold something else than a tree.
      transforms: transformations of Orbax.
      partial: see `orbax_target.restore`.
      report: see `match.restore_into`.
      must_exist: see `restore`.
    """

    strict: bool
    checkpointer: Any = None
    transforms: Any = None
    partial: bool = True
    report: Report | None = None
    must_exist: bool = False


def _load(place: str, target: Any, options: Options) -> Any:
    """Read the checkpoint at a path into a target."""
    strict, checkpointer, transforms, partial, report, _ = options
    if storage.kind_of(place) != "directory":
        forms: Forms = {}
        state = _read_file(place, target, partial, forms)
        return restore_into(target, state, place, strict=strict, report=report, forms=forms)
    orbax.check_device()
    target = on_devices(target)
    multiprocess.agree(lambda: _check_share(place), place)
    if transforms is not None:
        return orbax_target.transform(
            place, target, checkpointer, transforms, strict=strict, report=report
        )
    if checkpointer is not None and orbax_layout.needs_handler(place):
        return checkpointer.restore(os.path.abspath(place), item=target)
    return orbax_items.restore(place, target, place, strict=strict, partial=partial, report=report)


def _read_file(place: str, target: Any, partial: bool, forms: Forms) -> Any:
    """Return the state dict in a file of any format, and the forms that were seen in it.

    Raises:
      FileNotFoundError: if it is gone.
      CheckpointOptionError: if the names in it are no paths.
    """
    try:
        form = contents.recognise(place)
    except CheckpointNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place) from error
    if form == "msgpack":
        return spread_arrays.fill(msgpack.read(place, forms), target, place, partial=partial)
    try:
        return contents.load(place, form)
    except CheckpointOptionError as error:
        error.add_note(f'load_safetensors("{place}", separator=None) reads it.')
        raise


def _check_share(place: str) -> None:
    folders.check(place, multiprocess.share())


def restore_by(
    options: Options,
    path: str | os.PathLike[str],
    target: Any,
    step: int | float | None,
    *,
    prefix: str,
    fallback: bool,
) -> Any:
    """Find a checkpoint and read it, as `restore` does, in the way that options say."""
    place = storage.local_or_remote(path)
    if step is not None:
        chosen = _of_step(place, step, prefix)
        try:
            return _load(chosen, target, options)
        except MalformedDataError as error:
            explained = _explained(error, chosen, newest_intact(place, prefix))
            raise explained from (error.__cause__ if explained is error else error)
    if storage.kind_of(place) == "absent":
        return _without(options, place, prefix, target)
    if storage.kind_of(place) != "directory" or _is_step(place):
        try:
            return _load(place, target, options)
        except FileNotFoundError:
            if storage.kind_of(place) == "absent":  # a writer removed it after we looked
                return _without(options, place, prefix, target)
            raise
    for _ in range(_ATTEMPTS):
        newest = latest(place, prefix)
        if newest is None:
            return _without(options, place, prefix, target)
        try:
            return _load(newest, target, options)
        except FileNotFoundError:
            # A writer's retention removed it after we looked; then there is a newer one.
            continue
        except MalformedDataError as error:
            intact = newest_intact(place, prefix)
            explained = _explained(error, newest, intact)
            if intact is None or not fallback:
                raise explained from (error.__cause__ if explained is error else error)
            warnings.warn(
                f'{explained} Going on with "{intact}", as fallback=True asks for.',
                RuntimeWarning,
                stacklevel=3,
            )
            return _load(intact, target, options)
    raise CheckpointNotFoundError(place, f"{prefix}<step>")


def _without(options: Options, place: str, prefix: str, target: Any) -> Any:
    """Return the very target, as there is no checkpoint; say so where that may be a mistake.

    Raises:
      CheckpointNotFoundError: if there had to be one.
    """
    folder, start = steps.split_prefix(place, prefix)
    hint = _without_prefix(folder, start)
    # With a target or a prefix of its own, a run may well begin beside them.
    if not hint and (options.must_exist or (target is None and prefix == _PREFIX)):
        hint = _of_others(place)
    if options.must_exist:
        raise CheckpointNotFoundError(
            folder, f"{start}<step>", hint=hint or "Check the path and the prefix."
        )
    if hint:
        warnings.warn(
            f'There is no checkpoint "{start}<step>" in "{folder}", so the target is returned as '
            f"it is. {hint}",
            UserWarning,
            stacklevel=4,
        )
    return target


def _without_prefix(folder: str, start: str) -> str:
    """Say, of a folder without a prefix in its names, how to read it; "" of others."""
    found = steps.find(folder, "") if start else []
    if not found:
        return ""
    last = ", ".join(checkpoint.name for checkpoint in found[-5:])
    return f'Steps without a prefix are there, such as {last}: pass prefix="" to restore them.'


def _of_others(folder: str) -> str:
    """Say, of a folder that has something else in place of steps, how to read it; "" of others."""
    known = foreign.name_directory(folder)
    if known:
        return f"The directory is {known.kind}. {known.instead}"
    found = safetensors_index.sets_in(folder)
    return f'To read safetensors, name the file: "{found[0]}" is there.' if found else ""


def _is_step(place: str) -> bool:
    """Tell whether Orbax made a directory; TensorFlow calls a file as its first layout did."""
    return orbax.is_orbax(place) and foreign.name_directory(place) is None


def newest_intact(directory: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the newest checkpoint that is not damaged, or None if there is none.

    Args:
      directory: where the checkpoints are; it need not exist.
      prefix: the start of their names.
    """
    for checkpoint in reversed(_find(directory, prefix)):
        if health.is_good(checkpoint.path):
            return checkpoint.path
    return None


def _explained(error: MalformedDataError, chosen: str, intact: str | None) -> MalformedDataError:
    """Say with an error which checkpoint of the directory is not damaged."""
    if isinstance(error, DamagedCheckpointError):
        return DamagedCheckpointError(error.source or chosen, error.ranges, intact)
    if intact:
        error.add_note(f'The newest checkpoint that can be read is "{intact}".')
    return error


def _of_step(place: str, step: Any, prefix: str) -> str:
    """Return the path for a step: the one spelled like it, else the one of equal value."""
    folder, start = steps.split_prefix(place, prefix)
    name = steps.checkpoint_name(start, step)
    found = steps.find(folder, start)
    for number in steps.numbers_of(step):
        matches = [checkpoint for checkpoint in found if checkpoint.step == number]
        for checkpoint in matches:
            if checkpoint.name == name:
                return checkpoint.path
        if matches:
            return matches[0].path
    names = [checkpoint.name for checkpoint in found]
    raise CheckpointNotFoundError(folder, name, names, hint=_without_prefix(folder, start))
