"""Orbax directories: what is in one, and reading it; Orbax itself does the reading of arrays.

A directory holds one tree. Its leaves are known here by the names of the keys that lead to them,
which are the same for a pytree and for its state dict: so what was saved as one is read as the
other. Orbax comes with the extra ``ramie[orbax]``, and is imported when it is needed.
"""

import contextlib
import functools
import json
import math
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from ramie.checkpoint.formats import orbax_layout
from ramie.checkpoint.formats.leaf import Leaf
from ramie.checkpoint.storage import entries as storage
from ramie.errors import MalformedDataError, MissingExtraError

__all__ = [
    "Contents",
    "Entry",
    "check_device",
    "contents",
    "holds_tree",
    "import_orbax",
    "is_orbax",
    "may_hold",
    "names_of",
    "outline",
    "read",
    "read_single",
    "single_entry",
]

Names = tuple[str, ...]

_TREE_MARKS = ("_METADATA", "checkpoint")  # the second in its first layouts
_MARKS = (
    "_CHECKPOINT_METADATA",
    "commit_success.txt",
    "orbax.checkpoint",
    "manifest.ocdbt",
    *_TREE_MARKS,
)
_SHARDINGS = "_sharding"
_OTHER_HANDLERS = (".ArrayCheckpointHandler", "RandomKeyCheckpointHandler")
_DTYPES_OF_PYTHON = tuple(map(np.dtype, (bool, int, float)))
_GROUP = 1 << 26
_STRAGGLING = 0.05
_PASSED_ON = (MissingExtraError, MemoryError, PermissionError)


def import_orbax(purpose: str) -> Any:
    """Import Orbax.

    Raises:
      MissingExtraError: if it is not installed.
    """
    try:
        import orbax.checkpoint as orbax
    except ImportError as error:
        raise MissingExtraError("orbax-checkpoint", "orbax", purpose) from error
    return orbax


def is_orbax(path: str) -> bool:
    """Tell whether Orbax made a directory, by the files in it or above it."""
    if any(os.path.exists(os.path.join(path, mark)) for mark in _MARKS):
        return True
    if orbax_layout.is_item(path):
        return True
    # Under a longer name it might be the folder of a run that keeps trees beside its checkpoints.
    return os.path.basename(path).isdigit() and orbax_layout.looks_like_step(path)


def holds_tree(path: str) -> bool:
    """Tell whether a directory is itself that of a tree."""
    if not any(os.path.isfile(os.path.join(path, mark)) for mark in _TREE_MARKS):
        return False
    handler = _load_page(os.path.join(path, "_CHECKPOINT_METADATA")).get("item_handlers")
    return not (isinstance(handler, str) and handler.endswith(_OTHER_HANDLERS))


def _load_page(place: str) -> dict[str, Any]:
    """Return a page of JSON; an empty one if there is none, or none that can be read."""
    try:
        with open(place, "rb") as file:
            page = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return page if isinstance(page, dict) else {}


def may_hold(path: str, name: str) -> bool:
    """Tell whether a directory may hold leaves under a name at the top, without importing Orbax."""
    try:
        page = _load_page(os.path.join(path, "_METADATA"))
        leaves = page["tree_metadata"].values()
        return any(leaf["key_metadata"][0]["key"] == name for leaf in leaves)
    except (LookupError, TypeError, AttributeError, OSError, MalformedDataError, ValueError):
        return False


class Entry(NamedTuple):
    """One leaf, as the metadata of a directory describe it.

    Attributes:
      kind: "scalar" for a number of Python, "string", "key" for PRNG keys, whose shape and dtype
        are those of their words, and "empty" for None and containers without content.
      shape: the shape of an array; () for a number.
      dtype: its dtype.
      value: None or the container, if it is empty.
      generator: of PRNG keys.
      spread: whether it was saved from several devices, each with a part.
    """

    kind: Literal["array", "key", "scalar", "string", "empty"]
    shape: tuple[int, ...] = ()
    dtype: Any = None
    value: Any = None
    generator: str = ""
    spread: bool = False


def names_of(path: Iterable[Any]) -> Names:
    """Return the names of the keys of a path in a pytree.

    Example:
      >>> import jax
      >>> [names_of(path) for path, _ in jax.tree.leaves_with_path({"a": [1, {"b": 2}]})]
      [('a', '0'), ('a', '1', 'b')]
    """
    return tuple(str(_name(key)) for key in path)


def _name(key: Any) -> Any:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return getattr(key, attribute)
    return key


def check_device() -> None:
    """Check that JAX has a device: Orbax asks for one, whatever it is to do.

    Raises:
      RuntimeError: if it has none.
    """
    try:
        jax.default_backend()
    except Exception as error:
        platforms = getattr(jax.config, "jax_platforms", None)
        raise RuntimeError(
            "Orbax reads and writes nothing unless JAX has a device, and JAX finds none of the "
            f"platforms {platforms!r} ({type(error).__name__}: {error}). Set the "
            "environment variable JAX_PLATFORMS=cpu before JAX is imported."
        ) from error


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Say of what Orbax raises which directory it is about, and that it may be damaged."""
    check_device()
    try:
        with _without_stragglers():
            yield
    except _PASSED_ON:
        raise
    except Exception as error:
        if not os.path.isdir(path):
            raise FileNotFoundError(path) from error
        lines = str(error).strip().splitlines() or [""]
        problem = f"{type(error).__name__}: {lines[0][:300]}"
        raise MalformedDataError(problem, source=path, writer="Orbax") from error


@contextlib.contextmanager
def _without_stragglers() -> Iterator[None]:
    """Keep tracebacks of reads to ourselves that go on in other threads when one has failed.

    Orbax closes its event loop without waiting for them, and each would print that it is closed.
    """
    before = sys.unraisablehook

    def hook(about: Any) -> None:
        if str(about.exc_value) != "Event loop is closed":
            before(about)

    sys.unraisablehook = hook
    try:
        yield
    except Exception:
        time.sleep(_STRAGGLING)
        raise
    finally:
        if sys.unraisablehook is hook:
            sys.unraisablehook = before


# --- metadata -------------------------------------------------------------------------------------


class Contents(NamedTuple):
    """What a directory holds.

    Attributes:
      tree: the tree of Orbax's own metadata.
      entries: the leaves by name.
    """

    tree: Any
    entries: dict[Names, Entry]


def contents(path: str) -> Contents:
    """Return what a directory holds, without reading arrays.

    Raises:
      MalformedDataError: if it is damaged, as far as that shows.
      MissingExtraError: if Orbax is not installed.
    """
    orbax = import_orbax("read a directory that Orbax wrote")
    with _explained(path), contextlib.closing(orbax.PyTreeCheckpointHandler()) as handler:
        # Not by a checkpointer: that warns of each item that it has no page of its own.
        tree = _metadata(handler, pathlib.Path(path).absolute())
        if tree is None:
            raise ValueError(f"Orbax finds no description of the tree in {os.listdir(path)}")
        tree = getattr(tree, "tree", tree)
        generators = _generators(path)
        entries = {
            names_of(keys): _entry(about, generators.get(".".join(names_of(keys)), ""))
            for keys, about in jax.tree.leaves_with_path(tree, is_leaf=_is_empty)
        }
    return Contents(tree, entries)


def _metadata(handler: Any, path: pathlib.Path) -> Any:
    """Return Orbax's own metadata, also where it does not understand the shardings beside them.

    Those are of the devices from which arrays were saved, and nobody here needs them. Early ones
    are of kinds that JAX has given up.
    """
    try:
        return handler.metadata(path)
    except Exception:
        if not (path / _SHARDINGS).exists():
            raise
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Exception):
            for entry in path.iterdir():
                if entry.name != _SHARDINGS:
                    (pathlib.Path(folder) / entry.name).symlink_to(entry)
            return handler.metadata(pathlib.Path(folder))
        raise  # the first error: it names the directory


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (Mapping, list, tuple)) and not value)


def _generators(path: str) -> dict[str, str]:
    """Return the generators of PRNG keys, by the names that Orbax gives to arrays."""
    folder = os.path.join(path, "array_metadatas")
    found: dict[str, str] = {}
    for name in storage.list_names(folder):
        with open(os.path.join(folder, name), "rb") as file:
            page = json.load(file)
        for item in page["array_metadatas"]:
            about = item["array_metadata"]
            generator = (about.get("ext_metadata") or {}).get("random_key_impl")
            if generator:
                found[about["param_name"]] = str(generator)
    return found


def _entry(about: Any, generator: str) -> Entry:
    if _is_empty(about):
        return Entry("empty", value=None if about is None else {})
    shape, dtype = getattr(about, "shape", None), getattr(about, "dtype", None)
    if shape is None or dtype is None:
        return Entry("string")
    if "Scalar" in type(about).__name__:
        return Entry("scalar", (), np.dtype(dtype))
    kind: Literal["key", "array"] = "key" if generator else "array"
    part = getattr(getattr(about, "storage", None), "write_shape", None)
    spread = part is not None and tuple(part) != tuple(shape)
    return Entry(kind, tuple(shape), np.dtype(dtype), None, generator, spread)


# --- reading --------------------------------------------------------------------------------------


def read(
    path: str, wanted: Mapping[Names, Any] | None = None, known: Contents | None = None
) -> dict[Names, Any]:
    """Read leaves.

    Args:
      path: the directory of the tree.
      wanted: the arguments of Orbax for each leaf to be read, or None for a leaf as it is there:
        arrays in the memory of the host, numbers and strings as those of Python. All leaves by
        default.
      known: what `contents` returned, if that was asked already; it takes a while.

    Returns:
      The leaves by name.

    Raises:
      MalformedDataError: if it cannot be read.
      MissingExtraError: if Orbax is not installed.
    """
    orbax = import_orbax("read a directory that Orbax wrote")
    tree, entries = known or contents(path)
    asked = dict.fromkeys(entries) if wanted is None else wanted

    def arguments(keys: Any, about: Any) -> Any:
        names = names_of(keys)
        if names in asked and asked[names] is not None:
            return asked[names]
        kind = entries[names].kind if names in entries else "empty"
        if kind == "key":
            here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            return orbax.ArrayRestoreArgs(sharding=here)
        return orbax.RestoreArgs(restore_type=np.ndarray if kind == "array" else None)

    def item(keys: Any, about: Any) -> Any:
        return about if names_of(keys) in asked else orbax.PLACEHOLDER

    found = {names: entry.value for names, entry in entries.items() if entry.kind == "empty"}
    if any(names not in found for names in asked):
        with _explained(path), orbax.PyTreeCheckpointer() as checkpointer:
            restored = checkpointer.restore(
                os.path.abspath(path),
                args=orbax.args.PyTreeRestore(
                    item=jax.tree.map_with_path(item, tree),
                    restore_args=jax.tree.map_with_path(arguments, tree),
                ),
            )
        for keys, value in jax.tree.leaves_with_path(restored):
            names = names_of(keys)
            if names in asked:
                found[names] = _as_saved(entries.get(names), value)
    return {names: found[names] for names in asked}


def _as_saved(entry: Entry | None, value: Any) -> Any:
    """Return a number as one of numpy, if it was: Orbax gives numbers of Python for all."""
    if entry is None or entry.kind != "scalar" or entry.dtype in _DTYPES_OF_PYTHON:
        return value
    return entry.dtype.type(value)


def read_single(path: str) -> Any:
    """Read a directory in which a single array was saved by the handler for these.

    Raises:
      MalformedDataError: if it cannot be read.
      MissingExtraError: if Orbax is not installed.
    """
    orbax = import_orbax("read a directory that Orbax wrote")
    kind = single_entry(path).kind
    handler = orbax.ArrayCheckpointHandler()
    as_host = orbax.RestoreArgs(restore_type=np.ndarray if kind == "array" else None)
    with _explained(path), orbax.Checkpointer(handler) as checkpointer:
        arguments = orbax.args.ArrayRestore(restore_args=as_host)
        return checkpointer.restore(os.path.abspath(path), args=arguments)


def single_entry(path: str) -> Entry:
    """Describe the array in such a directory.

    Raises:
      MalformedDataError: if it does not hold one.
    """
    entries = list(contents(path).entries.values())
    if len(entries) != 1:
        problem = f"it holds {len(entries)} arrays instead of one"
        raise MalformedDataError(problem, source=path, writer="Orbax")
    return entries[0]


# --- outlines -------------------------------------------------------------------------------------


class _Groups:
    """Reads arrays a group at a time, and holds the last group only.

    Each call of Orbax costs some hundredths of a second, and a tree may not fit into memory.
    """

    def __init__(self, path: str, sizes: Mapping[Names, int], known: Contents) -> None:
        self._path = path
        self._known = known
        self._groups: dict[Names, tuple[Names, ...]] = {}
        self._held: dict[Names, Any] = {}
        group: list[Names] = []
        room = _GROUP
        for names, nbytes in sizes.items():
            if group and nbytes > room:
                self._close(group)
                group, room = [], _GROUP
            group.append(names)
            room -= nbytes
        self._close(group)

    def _close(self, group: list[Names]) -> None:
        self._groups |= dict.fromkeys(group, tuple(group))

    def load(self, names: Names) -> np.ndarray[Any, Any]:
        """Return an array."""
        if names not in self._held:
            self._held = {}  # before the next ones take memory
            self._held = read(self._path, dict.fromkeys(self._groups[names]), self._known)
        return np.asarray(self._held[names])


def outline(path: str) -> list[Leaf]:
    """Return the leaves of a directory, those that are no arrays with their values.

    Raises:
      MalformedDataError: if it is damaged, as far as that shows without reading the arrays.
    """
    known = contents(path)
    entries = known.entries
    sizes = {
        names: math.prod(entry.shape) * entry.dtype.itemsize
        for names, entry in entries.items()
        if entry.kind == "array"
    }
    groups = _Groups(path, sizes, known)
    small = read(path, {names: None for names in entries if names not in sizes}, known)
    leaves = []
    for names, entry in entries.items():
        if entry.kind == "array":
            leaf = Leaf(names, entry.shape, entry.dtype, None, path, load=groups.load)
        elif entry.kind == "key":
            words = np.asarray(jax.random.key_data(small[names]))
            load = functools.partial(_given, words)
            leaf = Leaf(names, words.shape, words.dtype, None, path, (), entry.generator, load)
        elif isinstance(small[names], np.ndarray):  # of the first layouts, which say no shape
            load = functools.partial(_given, small[names])
            leaf = Leaf(names, small[names].shape, small[names].dtype, None, path, load=load)
        elif isinstance(small[names], np.generic):
            number = np.asarray(small[names])
            load = functools.partial(_given, number)
            leaf = Leaf(names, (), number.dtype, None, path, (), "scalar", load)
        else:
            leaf = Leaf(names, value=small[names])
        leaves.append(leaf)
    return leaves


def _given(array: np.ndarray[Any, Any], names: Names) -> np.ndarray[Any, Any]:
    return array
