"""The directories that Orbax's own tests read, of all its layouts and with parts missing.

They come with the installed package. What Orbax can restore is restored alike here, and the rest
is named: nothing is read by half without a word.
"""

import pytest

pytest.importorskip("orbax.checkpoint")

import gc
import json
import os
import pathlib
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
from tests.tolerance import assert_exact

from ramie import checkpoint, errors

ROOT = pathlib.Path(ocp.__file__).parent
_MARKS = {"_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt", "orbax.checkpoint"}
_SHARD = "ocdbt.process_"
# Two steps that no page describes: nothing tells them from folders that happen to hold trees.
_NOT_TOLD = {
    f"v0_checkpoints/composite_checkpoint/checkpoint_metadata_missing/{name}"
    for name in (
        "pytree_checkpointable_has_metadata",
        "pytree_checkpointable_missing_metadata",
    )
}


def _directories():
    """Return all of them, items and the steps that they are in, by their paths in the package."""
    found = set()
    for folder, _, names in os.walk(ROOT):
        place = pathlib.Path(folder)
        if _MARKS & set(names) and not place.name.startswith(_SHARD):
            found |= {place, place.parent} if place.name == "state" else {place}
    return sorted(str(place.relative_to(ROOT)) for place in found)


DIRECTORIES = _directories()
needs_them = pytest.mark.skipif(not DIRECTORIES, reason="this package of Orbax comes without any")


def _is_not_told(name):
    return any(name.endswith(end) for end in _NOT_TOLD)


@pytest.fixture(scope="module")
def theirs():
    """What Orbax itself restores of each, None where it fails.

    What its other threads let go after a failure is unheard until the tests of this file are done.
    """
    before, sys.unraisablehook = sys.unraisablehook, lambda about: None
    gc.freeze()  # looking at what other tests left takes seconds each time
    try:
        yield {name: _orbax_restores(ROOT / name) for name in DIRECTORIES}
        gc.collect()
    finally:
        gc.unfreeze()
        sys.unraisablehook = before


def _orbax_restores(place):
    """Return what Orbax itself restores; None where it fails."""
    if not (place / "state").is_dir() and not (place / "metadata").is_dir():
        return _tree(place)
    found = {}
    for item in sorted(place.iterdir()):
        if item.name == "metadata":
            file = next(item.iterdir())
            found[item.name] = json.loads(file.read_text())
        elif item.is_dir():
            found[item.name] = _tree(item)
    page = place / "_CHECKPOINT_METADATA"
    listed = json.loads(page.read_text()).get("item_handlers") or {} if page.exists() else {}
    missing = set(listed) - set(found) - {"descriptor"}
    return None if missing or any(value is None for value in found.values()) else found


def _tree(place):
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(place).item_metadata
            tree = getattr(tree, "tree", tree)
            host = jax.tree.map(lambda about: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            return checkpointer.restore(
                place, args=ocp.args.PyTreeRestore(item=tree, restore_args=host)
            )
    except Exception:
        return None
    finally:
        gc.collect()


@needs_them
@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_of_orbax_is_read_as_orbax_reads_it(theirs, name, tmp_path):
    place = ROOT / name
    if _is_not_told(name):
        with pytest.raises(errors.CheckpointOptionError, match="Orbax did not make"):
            checkpoint.verify(place)
        return
    expected = theirs[name]
    verdict = checkpoint.verify(place)
    if expected is None:
        assert verdict.state in ("damaged", "incomplete") and str(ROOT) in verdict.problem
        for act in (
            lambda: checkpoint.restore(place, None),
            lambda: checkpoint.convert(place, tmp_path / "new", drop_metadata=True),
        ):
            with pytest.raises(errors.MalformedDataError):
                act()
            gc.collect()
        assert not (tmp_path / "new").exists()
        return
    assert verdict.state == "readable" and not verdict.problem
    ours = checkpoint.restore(place, None)
    flat = dict(_flat(ours))
    assert flat.keys() == dict(_flat(expected)).keys()
    for path, value in _flat(expected):
        assert_exact(np.asarray(flat[path]), np.asarray(value))
    assert {leaf.path for leaf in checkpoint.outline(place).leaves} == set(flat)
    into = checkpoint.restore(place, jax.tree.map(_blank, ours))
    assert dict(_flat(into)).keys() == flat.keys()
    new = checkpoint.convert(place, tmp_path / "new", drop_metadata=True)
    assert checkpoint.diff(place, new).same


def _blank(leaf):
    return np.zeros_like(leaf) if isinstance(leaf, np.ndarray) else leaf


def _flat(tree, path=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for name, value in items:
        below = (*path, str(name))
        if isinstance(value, (dict, list, tuple)) and value:
            yield from _flat(value, below)
        else:
            yield below, value


@needs_them
def test_there_are_some_of_each_kind(theirs):
    whole = {name: found is not None for name, found in theirs.items()}
    assert len(whole) >= 70 and 40 <= sum(whole.values()) < len(whole)


@needs_them
@pytest.mark.parametrize("folder", sorted({os.path.dirname(name) for name in DIRECTORIES}))
def test_no_folder_of_them_ends_a_survey(folder):
    checkpoint.survey(ROOT / folder, others=True)
