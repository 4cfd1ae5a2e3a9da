"""Reading an Orbax directory into a target: what is asked of Orbax for each leaf, and the result.

Leaves go by the names of their keys, so that a target may be the pytree that was saved, its state
dict, or a part of either.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ramie.checkpoint.formats import orbax
from ramie.checkpoint.formats.match import find_differences, restore_into
from ramie.checkpoint.formats.orbax import Entry, Names
from ramie.errors import CheckpointMismatchError, MPARestoreTargetRequiredError
from ramie.serialization.state_dict import to_state_dict

__all__ = ["nested", "restore", "transform"]

_NUMBERS = (bool, int, float, complex)


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


def restore(path: str, target: Any, source: str, *, strict: bool, partial: bool = True) -> Any:
    """Return a copy of a target with what a directory holds.

    Args:
      path: the directory of the tree.
      target: any pytree; None for nested dictionaries. JAX arrays in it, and
        `jax.ShapeDtypeStruct`s with a sharding, come back as JAX arrays of that sharding; all
        other arrays are those of numpy.
      source: the checkpoint, for error messages.
      strict: whether another shape or dtype is an error. Otherwise shapes are as saved, and dtypes
        as the target says.
      partial: whether, in a job of several processes, the target may leave open how arrays are
        sharded that were saved from several devices.

    Raises:
      MPARestoreTargetRequiredError: if it may not, and does.
      CheckpointMismatchError: if the target asks for what is not there; lists everything.
      MalformedDataError: if the directory cannot be read.
    """
    if target is None:
        return nested(orbax.read(path))
    wanted = {orbax.names_of(keys): leaf for keys, leaf in jax.tree.leaves_with_path(target)}
    if not all(_is_known(leaf) for leaf in wanted.values()):
        return restore_into(target, nested(orbax.read(path)), source, strict=strict)
    known = orbax.contents(path)
    entries = known.entries
    differences = _differences(wanted, entries, strict)
    if any(differences.values()):
        # A state dict may have other names than the tree, and be what was saved.
        named = set(_flatten(to_state_dict(target)))
        if named != set(wanted) and named <= set(entries):
            return restore_into(
                target, nested(orbax.read(path, None, known)), source, strict=strict
            )
        raise CheckpointMismatchError(source, **differences)
    if not partial and jax.process_count() > 1:
        for names, leaf in wanted.items():
            if entries[names].spread and not _is_spread(leaf):
                raise MPARestoreTargetRequiredError(
                    source, os.path.basename(source), "/".join(names)
                )
    asked = {names: _arguments(leaf, entries[names], strict) for names, leaf in wanted.items()}
    found = orbax.read(path, asked, known)
    values = [_as_wanted(leaf, found[names]) for names, leaf in wanted.items()]
    return jax.tree.unflatten(jax.tree.structure(target), values)


def transform(path: str, target: Any, checkpointer: Any, transforms: Any) -> Any:
    """Let Orbax transform what a directory holds into what the target is like.

    Args:
      path: the checkpoint.
      target: any pytree, or None.
      checkpointer: the user's, or None.
      transforms: what is to be done; see the documentation of Orbax.
    """
    package = orbax.import_orbax("transform what it saved")
    with contextlib.ExitStack() as stack:
        if checkpointer is None:
            checkpointer = stack.enter_context(package.PyTreeCheckpointer())
        arguments = jax.tree.map(_plain_arguments, target)
        return checkpointer.restore(
            os.path.abspath(path), item=target, restore_args=arguments, transforms=transforms
        )


def _plain_arguments(leaf: Any) -> Any:
    package = orbax.import_orbax("transform what it saved")
    if getattr(leaf, "sharding", None) is not None:
        return package.ArrayRestoreArgs(
            restore_type=jax.Array, sharding=leaf.sharding, dtype=leaf.dtype
        )
    if hasattr(leaf, "dtype"):
        return package.RestoreArgs(restore_type=np.ndarray, dtype=leaf.dtype)
    return package.RestoreArgs(restore_type=type(leaf))


def _is_known(leaf: Any) -> bool:
    return isinstance(leaf, (str, *_NUMBERS)) or (hasattr(leaf, "shape") and hasattr(leaf, "dtype"))


def _flatten(state: Any, names: Names = ()) -> Iterator[Names]:
    """Yield the names of the leaves of a state dict."""
    if not isinstance(state, Mapping):
        yield names
        return
    for key, value in state.items():
        yield from _flatten(value, (*names, str(key)))


def _differences(
    wanted: Mapping[Names, Any], entries: Mapping[Names, Entry], strict: bool
) -> dict[str, list[str]]:
    differences = find_differences(
        nested(wanted), nested({names: _stand_in(entry) for names, entry in entries.items()})
    )
    differences["extra"] = []  # is left where it is
    if not strict:
        differences |= {"shapes": [], "dtypes": []}
    return differences


def _stand_in(entry: Entry) -> Any:
    """Return something of the kind, shape and dtype of what was saved."""
    if entry.kind == "array":
        return jax.ShapeDtypeStruct(entry.shape, entry.dtype)
    return {"scalar": 0, "string": "", "key": None, "empty": {}}[entry.kind]


def _arguments(leaf: Any, entry: Entry, strict: bool) -> Any:
    """Return what to tell Orbax of a leaf; None to have it as it was saved."""
    package = orbax.import_orbax("read a directory that Orbax wrote")
    if entry.kind == "key":
        sharding = getattr(leaf, "sharding", None)
        return None if sharding is None else package.ArrayRestoreArgs(sharding=sharding)
    if entry.kind not in ("array", "scalar"):
        return None
    if isinstance(leaf, _NUMBERS):
        return package.RestoreArgs(restore_type=type(leaf)) if entry.shape == () else None
    if not hasattr(leaf, "dtype"):
        return None
    dtype = None if strict else leaf.dtype
    if _is_spread(leaf):
        return package.ArrayRestoreArgs(restore_type=jax.Array, sharding=leaf.sharding, dtype=dtype)
    return package.RestoreArgs(restore_type=np.ndarray, dtype=dtype)


def _is_spread(leaf: Any) -> bool:
    """Tell whether a leaf says on which devices, of several or of all processes, it is to be."""
    sharding = getattr(leaf, "sharding", None)
    return sharding is not None and len(sharding.device_set) > 1


def _as_wanted(leaf: Any, value: Any) -> Any:
    """Bring a value to the device of its leaf, if that is one."""
    sharding = getattr(leaf, "sharding", None)
    if sharding is None or isinstance(value, jax.Array):
        return value
    return jax.device_put(value, sharding)
