"""Reading an Orbax directory into a target: what is asked of Orbax for each leaf, and the result.

Leaves go by the names of their keys, so that a target may be the pytree that was saved, its state
dict, or a part of either.
"""

import contextlib
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from ramie.checkpoint.formats import orbax
from ramie.checkpoint.formats.match import Report, judge, restore_into
from ramie.checkpoint.formats.orbax import Entry, Names
from ramie.checkpoint.shardings import can_hold
from ramie.errors import MPARestoreTargetRequiredError
from ramie.serialization.arrays import is_prng_key
from ramie.serialization.state_dict import to_state_dict

__all__ = ["nested", "restore", "transform"]

_PLAIN = (str, bytes, bool, int, float, complex, type(None))
_OF_PYTREES = (OrderedDict, defaultdict)


def nested(leaves: Mapping[Names, Any]) -> Any:
    """Return nested dictionaries of leaves by name."""
    tree: dict[str, Any] = {}
    for names, value in leaves.items():
        if not names:
            return value
        level = tree
        for name in names[:-1]:
            level = level.setdefault(name, {})
        level[names[-1]] = value
    return tree


def restore(
    path: str,
    target: Any,
    source: str,
    *,
    strict: bool,
    partial: bool = True,
    report: Report | None = None,
) -> Any:
    """Return a copy of a target with what a directory holds, as it was saved.

    Args:
      path: the directory of the tree.
      target: any pytree; None for nested dictionaries. JAX arrays in it, and
        `jax.ShapeDtypeStruct`s with a sharding, come back as JAX arrays of that sharding, where
        it can hold what was saved; all other arrays are those of numpy.
      source: the checkpoint, for error messages.
      strict: whether another shape, dtype or type is an error.
      partial: whether, in a job of several processes, the target may leave open how arrays are
        sharded that were saved from several devices.
      report: see `match.restore_into`.

    Raises:
      MPARestoreTargetRequiredError: if it may not, and does.
      CheckpointMismatchError: if the target asks for what is not there; lists everything.
      MalformedDataError: if the directory cannot be read.
    """
    if target is None:
        return nested(orbax.read(path))
    known = orbax.contents(path)
    form = _form_of(target, known.entries)
    pairs = dict(_pairs(form.wanted, known.entries))
    if form.is_state and not all(_is_known(leaf) for _, leaf in _by_keys(target) or ()):
        pairs = dict.fromkeys(known.entries) | pairs  # who knows what such types will take
    if not partial and jax.process_count() > 1:
        for names, leaf in pairs.items():
            if known.entries[names].spread and not _is_spread(leaf):
                raise MPARestoreTargetRequiredError(
                    source, os.path.basename(source), "/".join(names)
                )
    asked = {names: _arguments(leaf, known.entries[names]) for names, leaf in pairs.items()}
    found: dict[Names, Any] = {names: _UNREAD for names in known.entries}
    for names, value in orbax.read(path, asked, known).items():
        found[names] = _as_wanted(pairs[names], value)
    for names, leaf in form.wanted.items():
        if isinstance(leaf, Mapping) and found.get(names, leaf) is None:
            found[names] = {}  # Orbax writes None for most containers without content
    return _taken(form, target, nested(found), source, strict, report)


class _Unread:
    """Stands for a leaf that the target does not ask for."""


_UNREAD = _Unread()


class _Form(NamedTuple):
    """What a target asks for: by the names of its state dict, or else by those of the pytree."""

    wanted: dict[Names, Any]
    is_state: bool


def _form_of(target: Any, entries: Mapping[Names, Entry]) -> _Form:
    """Choose the names under which the leaves are that the target asks for.

    They are the same for most trees. Types that are no pytrees have only those of a state dict,
    types that are not registered only those of pytrees; a State of NNX, for example, has both.
    """
    state = _Form(dict(_flatten(to_state_dict(target))), True)
    is_known = all(map(_is_known, state.wanted.values()))
    if is_known and all(_is_nothing(x) or names in entries for names, x in state.wanted.items()):
        return state
    leaves = _by_keys(target)
    if leaves is None:
        return state
    tree = _Form({orbax.names_of(keys): leaf for keys, leaf in leaves}, False)
    if not is_known and all(map(_is_known, tree.wanted.values())):
        return tree
    names = {names for names, leaf in tree.wanted.items() if not _is_nothing(leaf)}
    return tree if names and names <= set(entries) else state


def _by_keys(target: Any) -> list[tuple[Any, Any]] | None:
    """Return the leaves of a pytree; None if JAX cannot sort its keys, as 1 and "a"."""
    try:
        return list(jax.tree.leaves_with_path(target, is_leaf=lambda x: x is None))
    except ValueError:
        return None


def _pairs(
    wanted: Mapping[Names, Any], entries: Mapping[Names, Entry]
) -> Iterator[tuple[Names, Any]]:
    """Yield the names of the leaves to be read, each with what the target has there.

    A leaf of the target may meet a container, of which all is read, and the other way round.
    """
    inner = {names[:length] for names in wanted for length in range(len(names))}
    for names in entries:
        if names in wanted:
            yield names, wanted[names]
            continue
        outer = (names[:length] for length in range(len(names)))
        above = next((part for part in outer if part in wanted), None)
        if above is not None:
            yield names, wanted[above]
        elif names in inner:
            yield names, None


def _taken(
    form: _Form, target: Any, state: Any, source: str, strict: bool, report: Report | None
) -> Any:
    """Return the target with the values of a state."""
    if form.is_state:
        return restore_into(target, state, source, strict=strict, report=report)
    values = restore_into(nested(form.wanted), state, source, strict=strict, report=report)
    leaves = []
    for names in form.wanted:
        value = values
        for name in names:
            value = value[name]
        leaves.append(value)
    return jax.tree.unflatten(jax.tree.structure(target, is_leaf=lambda x: x is None), leaves)


def transform(
    path: str,
    target: Any,
    checkpointer: Any,
    transforms: Any,
    *,
    strict: bool,
    report: Report | None = None,
) -> Any:
    """Let Orbax transform what a directory holds into what the target is like.

    Args:
      path: the checkpoint.
      target: any pytree, or None.
      checkpointer: the user's, or None.
      transforms: what is to be done; see the documentation of Orbax.
      strict: whether another shape, dtype or type is an error.
      report: see `match.restore_into`.
    """
    package = orbax.import_orbax("transform what it saved")
    with contextlib.ExitStack() as stack:
        if checkpointer is None:
            checkpointer = stack.enter_context(package.PyTreeCheckpointer())
        found = checkpointer.restore(
            os.path.abspath(path),
            item=target,
            restore_args=jax.tree.map(_plain_arguments, target),
            transforms=transforms,
        )
    judge(to_state_dict(target), to_state_dict(found), path, strict=strict, report=report)
    return found


def _plain_arguments(leaf: Any) -> Any:
    package = orbax.import_orbax("transform what it saved")
    if getattr(leaf, "sharding", None) is not None:
        return package.ArrayRestoreArgs(restore_type=jax.Array, sharding=leaf.sharding)
    return package.RestoreArgs(restore_type=np.ndarray if _is_array(leaf) else None)


def _is_known(leaf: Any) -> bool:
    return isinstance(leaf, _PLAIN) or _is_nothing(leaf) or _is_array(leaf)


def _is_nothing(leaf: Any) -> bool:
    return leaf is None or (isinstance(leaf, Mapping) and not leaf)


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _flatten(state: Any, names: Names = ()) -> Iterator[tuple[Names, Any]]:
    """Yield the leaves of a state dict by name; containers without content are some.

    So are containers that serialization would give back as plain dictionaries.
    """
    if not isinstance(state, Mapping) or not state or isinstance(state, _OF_PYTREES):
        yield names, state
        return
    for key, value in state.items():
        yield from _flatten(value, (*names, str(key)))


def _arguments(leaf: Any, entry: Entry) -> Any:
    """Return what to tell Orbax of a leaf; None to have it as it was saved."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or entry.kind not in ("array", "key"):
        return None
    package = orbax.import_orbax("read a directory that Orbax wrote")
    if entry.kind == "key":
        return package.ArrayRestoreArgs(sharding=sharding) if is_prng_key(leaf) else None
    if not _is_spread(leaf) or not can_hold(sharding, entry.shape, entry.dtype):
        return None
    return package.ArrayRestoreArgs(restore_type=jax.Array, sharding=sharding)


def _is_spread(leaf: Any) -> bool:
    """Tell whether a leaf says on which devices, of several or of all processes, it is to be."""
    sharding = getattr(leaf, "sharding", None)
    return sharding is not None and len(sharding.device_set) > 1


def _as_wanted(leaf: Any, value: Any) -> Any:
    """Bring an array to the devices of its leaf, if that has some and they can hold it."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or not isinstance(value, np.ndarray):
        return value
    is_possible = can_hold(sharding, value.shape, value.dtype)
    return jax.device_put(value, sharding) if is_possible else value
