"""What every reader has to do with a file that may be anything: read what it says, or refuse it.

`make faults` hands mutated files to these checks, and `tests.faults.fuzz` whatever a fuzzer thinks
of. Each returns whether the file was read. An error that the documentation does not name is
`Undocumented`; a value that the file does not say, or a loss, is an `AssertionError`.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults import reference
from tests.faults.tally import Undocumented

from ramie import checkpoint, serialization
from ramie.checkpoint.formats.leaf import read_array
from ramie.checkpoint.formats.msgpack_outline import names_of
from ramie.checkpoint.inspecting.contents import recognise
from ramie.checkpoint.storage import integrity
from ramie.serialization.decode import decode

_DOCUMENTED = "ramie.errors.checkpoint"
_LONGEST_MESSAGE = 3000
REFUSED = object()

FILE, SAFETENSORS, INDEX, OLD = "checkpoint_1", "m.safetensors", "n.safetensors.index.json", "old"


def tree() -> dict[str, Any]:
    """Return a tree with every kind of leaf, and with many arrays of one shape."""
    generator = np.random.default_rng(0)
    return {
        "params": {f"w{index}": generator.standard_normal((3, 4)) for index in range(4)},
        "many": {f"{index:03}": np.full(2, index, np.float32) for index in range(160)},
        "flags": np.ones(5, bool),
        "none": np.zeros((0, 3), np.int8),
        "list": [1, 2.5, None, "text", b"raw", 2j, np.float16(2), -(2**40)],
        "empty": {"a": {}, "b": None},
        "text": np.array(["a", "bc"]),
        "step": 3,
    }


def small_tree() -> dict[str, Any]:
    """Return a tree with arrays only, of a few bytes."""
    return {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])}


def chunked_tree() -> dict[str, Any]:
    """Return a tree as it is in a file: an array in chunks, and the words of PRNG keys."""
    chunks = {str(index): np.arange(4, dtype=np.int16) + 4 * index for index in range(3)}
    return {
        "large": {
            "__msgpack_chunked_array__": True,
            "shape": {"0": 3, "1": 4},
            "chunks": chunks,
        },
        "key": {"__ramie_prng_key__": "threefry2x32", "words": np.arange(2, dtype=np.uint32)},
        "w": np.ones(3, np.float32),
    }


def outcome(call: Callable[[], Any], *allowed: type[Exception]) -> Any:
    """Return what a call returns, or a mark if it refuses by an error that is documented.

    Args:
      call: a reader.
      allowed: builtin errors that are documented as well; their messages name a path.
    """
    try:
        return call()
    except Exception as error:
        is_named = type(error) in allowed and "path ." in str(error)
        if type(error).__module__ != _DOCUMENTED and not is_named:
            raise Undocumented(f"{type(error).__name__}: {error}") from error
        assert len(str(error)) < _LONGEST_MESSAGE
        return REFUSED


def write(path: Path, data: bytes) -> None:
    """Write a file in place, so that a manifest still speaks of it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(data)


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return the leaves of a tree by path, as outlines name them."""
    names = names_of(value) if isinstance(value, dict) else map(str, range(len(value)))
    entries = value.values() if isinstance(value, dict) else value
    found: dict[tuple[str, ...], Any] = {}
    for name, entry in zip(names, entries, strict=True):
        if isinstance(entry, (dict, list)) and entry:
            found |= flat(entry, (*path, name))
        else:
            found[*path, name] = entry
    return found


# --- msgpack --------------------------------------------------------------------------------------


def check_bytes(data: bytes, folder: Path | None = None) -> bool:
    """Check the readers of msgpack bytes in memory, which need no folder."""
    found = outcome(lambda: serialization.msgpack_restore(data))
    slow = outcome(lambda: decode(io.BytesIO(data), len(data)))
    assert reference.same(found, slow), "the quick reader and the careful one disagree"
    for target in (tree(), None, 0, [], {"w": np.zeros(3)}):
        outcome(lambda target=target: serialization.from_bytes(target, data), ValueError)
    if found is REFUSED:
        return False
    assert reference.same(found, reference.read_msgpack(data)), "it says something else"
    return True


def check_file(data: bytes, folder: Path) -> bool:
    """Check all that reads a msgpack file, without a manifest.

    Args:
      data: the content.
      folder: holds checkpoints of `prepare`.
    """
    path = folder / FILE
    write(path, data)
    found = outcome(lambda: checkpoint.restore(folder, None))
    was_read = found is not REFUSED
    if was_read and checkpoint.outline(path).form == "msgpack":
        assert reference.same(found, reference.read_msgpack(data)), "it says something else"
    check_looks(path, found, folder)
    outcome(lambda: checkpoint.restore(folder, tree()), ValueError)
    check_conversion(path, folder, ".safetensors")
    return was_read


def check_looks(path: Path, found: Any, folder: Path) -> None:
    """Check the commands that look at a checkpoint.

    Args:
      path: the checkpoint.
      found: what a restore of it returned.
      folder: holds checkpoints of `prepare`.
    """
    outline = outcome(lambda: checkpoint.outline(path, separator=None))
    health = outcome(lambda: checkpoint.verify(path))
    assert health is not REFUSED
    outcome(lambda: checkpoint.describe(path, statistics=True, separator=None))
    outcome(lambda: checkpoint.diff(path, folder / "other" / FILE))
    is_whole = health.state in ("intact", "readable")
    assert is_whole == (found is not REFUSED), "verify and restore disagree"
    if not isinstance(found, (dict, list)) or not found:
        return
    leaves = flat(found)
    assert outline is not REFUSED and len(outline.leaves) == len(leaves)
    for leaf in outline.leaves:
        if leaf.is_array and not leaf.note:
            assert reference.same(read_array(leaf), leaves[leaf.path]), "the outline lies"


def check_conversion(path: Path, folder: Path, ending: str) -> None:
    """Check that a conversion says what the source does, or leaves what was there.

    Args:
      path: the source.
      folder: holds checkpoints of `prepare`.
      ending: of the new file.
    """
    new = folder / f"{OLD}{ending}"
    before = new.read_bytes()
    if outcome(lambda: checkpoint.convert(path, new, overwrite=True)) is REFUSED:
        assert new.read_bytes() == before, "a refused conversion changed what was there"
        return
    assert outcome(lambda: checkpoint.diff(path, new).same) in (True, REFUSED)
    new.write_bytes(before)
    os.unlink(integrity.manifest_path(str(new)))


# --- safetensors ----------------------------------------------------------------------------------


def check_safetensors(data: bytes, folder: Path) -> bool:
    """Check all that reads a safetensors file, without a manifest."""
    path = folder / SAFETENSORS
    write(path, data)
    found = outcome(lambda: checkpoint.load_safetensors(path, separator=None))
    was_read = found is not REFUSED
    if was_read:
        try:
            expected = reference.read_safetensors(data)
        except reference.NoOpinion:
            return True
        assert reference.same(found, expected), "it says something else"
    outcome(lambda: checkpoint.load_safetensors(path))
    outcome(lambda: checkpoint.load_safetensors(path, small_tree()))
    restored = outcome(lambda: checkpoint.restore(path, None))
    # A few bytes may make msgpack of it, which other readers take for what it is.
    form = outcome(lambda: recognise(path))
    check_looks(path, restored if form == "msgpack" else found, folder)
    check_conversion(path, folder, "")
    return was_read


def check_index(data: bytes, folder: Path) -> bool:
    """Check all that reads an index of safetensors files, which are as they should be."""
    path = folder / INDEX
    write(path, data)
    found = outcome(lambda: checkpoint.load_safetensors(path))
    for look in (checkpoint.outline, checkpoint.verify):
        outcome(lambda look=look: look(path))
    outcome(lambda: checkpoint.describe(path, statistics=True))
    outcome(lambda: checkpoint.restore(path, None))
    outcome(lambda: checkpoint.diff(path, folder / "other" / FILE))
    if found is REFUSED:
        return False
    wanted = tree()["params"]
    assert all(reference.same(array, wanted[name]) for name, array in found.items())
    return True


# --- manifests ------------------------------------------------------------------------------------


def check_manifest(data: bytes, folder: Path) -> bool:
    """Check that a manifest of any content does no worse than an error."""
    path = folder / "summed" / FILE
    manifest = Path(integrity.manifest_path(str(path)))
    whole = manifest.read_bytes()
    try:
        write(manifest, data)
        found = outcome(lambda: checkpoint.restore(path, None))
        assert outcome(lambda: checkpoint.verify(path)) is not REFUSED
    finally:
        write(manifest, whole)
    assert found is REFUSED or reference.same(found, saved_tree()), "it says something else"
    return found is not REFUSED


def check_summed(data: bytes, folder: Path) -> bool:
    """Check that a file with a manifest is refused whatever is changed in it."""
    path = folder / "summed" / FILE
    whole = path.read_bytes()
    if data == whole:
        return True
    try:
        write(path, data)
        assert outcome(lambda: checkpoint.restore(path, None)) is REFUSED, "it was read"
        assert outcome(lambda: checkpoint.verify(path)).state == "damaged"
    finally:
        write(path, whole)
    return False


def saved_tree() -> dict[str, Any]:
    """Return `tree` as it comes back without a target."""
    found: dict[str, Any] = serialization.msgpack_restore(serialization.to_bytes(tree()))
    return found


def prepare(folder: Path) -> dict[str, bytes]:
    """Save what the checks need; return the contents of files to be changed, by name."""
    checkpoint.save(folder / "other", tree(), 1)
    checkpoint.save(folder / "summed", tree(), 1)
    checkpoint.save_safetensors(folder / SAFETENSORS, small_tree() | {"step": 3})
    index = checkpoint.save_safetensors(
        folder / "n.safetensors", tree()["params"], max_shard_bytes=200
    )
    for name in (OLD, f"{OLD}.safetensors"):
        (folder / name).write_bytes(b"precious")
    found = {
        "msgpack": serialization.to_bytes(tree()),
        "chunked": serialization.msgpack_serialize(chunked_tree(), in_place=True),
        "safetensors": (folder / SAFETENSORS).read_bytes(),
        "index": Path(index).read_bytes(),
        "manifest": Path(integrity.manifest_path(str(folder / "summed" / FILE))).read_bytes(),
    }
    for name in os.listdir(folder):
        if name.endswith(".ramie.json"):
            os.unlink(folder / name)
    return found
