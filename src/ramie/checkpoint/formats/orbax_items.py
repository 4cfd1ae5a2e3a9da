"""The items of a directory of Orbax, each read as its handler wrote it: leaves, values, restoring.

Where there are several, they are what a dictionary holds, by name. What a handler that is not
known wrote is named, and left where it is.
"""

import filecmp
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.checkpoint.formats import orbax, orbax_target
from ramie.checkpoint.formats.leaf import Leaf, read_array
from ramie.checkpoint.formats.match import Report, restore_into
from ramie.checkpoint.formats.orbax_layout import (
    DIRECT,
    Item,
    Layout,
    custom_of_tree,
    is_unfinished,
    item_file,
    layout,
    load_json,
)
from ramie.checkpoint.storage import entries as storage
from ramie.errors import (
    CheckpointMismatchError,
    CheckpointOptionError,
    FormatLimitError,
    IncompleteCheckpointError,
    MalformedDataError,
    UnsupportedCheckpointError,
)
from ramie.serialization.state_dict import from_state_dict, to_state_dict

__all__ = ["Unread", "check", "outline", "refuse_unread", "restore", "unread"]

_TEXT_LIMIT = 1 << 28
_WORDS = {2: "threefry2x32", 4: "rbg"}


class Unread:
    """Stands in an outline for an item that is not read; equal to one of the same files.

    Attributes:
      item: the item.
    """

    def __init__(self, item: Item) -> None:
        self.item = item

    def __repr__(self) -> str:
        """Say what it is."""
        if self.item.kind == "absent":
            return "listed, but not there"
        return f"not read: written by {self.item.handler or 'an unknown handler'}"

    def __eq__(self, other: object) -> bool:
        """Compare the files."""
        if not isinstance(other, Unread):
            return NotImplemented
        ours, theirs = self.item.path, other.item.path
        names = _files(ours)
        return names == _files(theirs) and all(
            filecmp.cmp(os.path.join(ours, name), os.path.join(theirs, name), shallow=False)
            for name in names
        )

    __hash__ = None  # type: ignore[assignment]


def _files(folder: str) -> list[str]:
    return [os.path.relpath(place, folder) for place in storage.files_below(folder)]


# --- outlines -------------------------------------------------------------------------------------


def outline(path: str) -> tuple[list[Leaf], dict[str, str]]:
    """Return the leaves of a directory, and strings about it, without reading large arrays.

    Raises:
      MalformedDataError: if it is damaged, as far as that shows.
    """
    whole = layout(path)
    leaves = [
        leaf
        for item in whole.items
        for leaf in _leaves(item, () if whole.is_single else (item.name,))
    ]
    metadata = dict(whole.metadata)
    for item in whole.items:
        if item.kind == "tree":
            place = "tree" if whole.is_single else item.name
            for name, text in custom_of_tree(item.path).items():
                free = whole.is_single and name not in metadata
                metadata[name if free else f"{place}/{name}"] = text
    return leaves, metadata


def _leaves(item: Item, above: tuple[str, ...]) -> Iterator[Leaf]:
    if item.kind == "tree":
        yield from (_moved(leaf, above + leaf.path) for leaf in orbax.outline(item.path))
    elif item.kind == "array":
        yield _single(item.path, above)
    elif item.kind == "jax key":
        generator = _generator(item)
        words = _single(_part(item), above)
        yield words._replace(note=generator(words.shape)) if generator else words
    elif item.kind == "numpy key":
        _about_key(item, "legacy")  # a restore needs to know
        yield from (_moved(leaf, above + leaf.path) for leaf in orbax.outline(_part(item)))
    elif item.kind == "json":
        yield from _plain_leaves(load_json(item), above)
    elif item.kind == "text":
        yield Leaf(above, value=_text(item))
    else:
        yield Leaf(above, value=Unread(item))


def _single(path: str, above: tuple[str, ...]) -> Leaf:
    """Return the leaf of an array that was saved alone."""
    entry = orbax.single_entry(path)
    if entry.kind != "array":
        return Leaf(above, value=orbax.read_single(path))
    load = functools.partial(_load_single, path)
    return Leaf(above, entry.shape, entry.dtype, None, path, load=load)


def _load_single(path: str, asked: tuple[str, ...]) -> np.ndarray[Any, Any]:
    return np.asarray(orbax.read_single(path))


def _moved(leaf: Leaf, path: tuple[str, ...]) -> Leaf:
    """Return a leaf under another path, which is read under its own."""
    if leaf.load is None:
        return leaf._replace(path=path)
    return leaf._replace(path=path, load=functools.partial(_load_as, leaf.load, leaf.path))


def _load_as(
    load: Callable[[tuple[str, ...]], np.ndarray[Any, Any]],
    path: tuple[str, ...],
    asked: tuple[str, ...],
) -> np.ndarray[Any, Any]:
    return load(path)


def _plain_leaves(value: Any, path: tuple[str, ...]) -> Iterator[Leaf]:
    """Take a page of JSON apart, level by level: it may be nested deeper than Python calls."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            below = [((*path, name), entry) for name, entry in value.items()]
        elif isinstance(value, list) and value:
            below = [((*path, str(index)), entry) for index, entry in enumerate(value)]
        else:
            yield Leaf(path, value=value)
            continue
        waiting += reversed(below)


def _part(item: Item) -> str:
    """Return the directory in an item of random keys that holds their words."""
    return os.path.join(item.path, f"{'jax' if item.kind == 'jax key' else 'np'}_random_key")


def _about_key(item: Item, name: str) -> bool:
    page = load_json(Item(item.name, _part(item) + "_metadata", "json"))
    if not isinstance(page, dict) or not isinstance(page.get(name), bool):
        problem = f"it does not say whether the random key is {name}"
        raise MalformedDataError(problem, source=_part(item) + "_metadata", writer="Orbax")
    return bool(page[name])


def _generator(item: Item) -> Callable[[Any], str] | None:
    """Return how the shape of a key's words tells its generator; None if it was saved as words.

    Orbax does not save the name, and can only save keys of the default generator.
    """
    if not _about_key(item, "typed"):
        return None

    def of_shape(shape: Any) -> str:
        name = _WORDS.get(shape[-1] if shape else 0)
        if name is None:
            problem = f"a random key cannot have words of shape {shape}"
            raise MalformedDataError(problem, source=_part(item), writer="Orbax")
        return name

    return of_shape


def _text(item: Item) -> str:
    place = item_file(item)
    with open(place, "rb") as file:
        data = file.read(_TEXT_LIMIT + 1)
    if len(data) > _TEXT_LIMIT:
        raise MalformedDataError("it is too long for a text", source=place, writer="Orbax")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedDataError(str(error), source=place, writer="Orbax") from error


def check(path: str) -> None:
    """Read everything in a directory that can be read.

    Raises:
      IncompleteCheckpointError: if an item is listed, and not there.
      MalformedDataError: if one is damaged.
    """
    if is_unfinished(path):
        problem = "Orbax was interrupted while it wrote it"
        raise MalformedDataError(problem, source=path, writer="Orbax")
    for item in layout(path).items:
        if item.kind == "absent":
            raise _absent(item)
        for leaf in _leaves(item, ()):
            if leaf.is_array:
                read_array(leaf)


def unread(path: str) -> str:
    """Say which items of a directory are not read, since no known handler wrote them."""
    unknown = [item for item in layout(path).items if item.kind == "unknown"]
    return "; ".join(f"the item {item.name!r} is {Unread(item)!r}" for item in unknown)


def _absent(item: Item) -> IncompleteCheckpointError:
    step, name = os.path.split(item.path)
    return IncompleteCheckpointError(
        os.path.join(step, "_CHECKPOINT_METADATA"),
        [f"it lists the item {name!r}, which is not there"],
        "Copy the step once more, or restore the others by a target that lacks this item.",
    )


def refuse_unread(leaves: Sequence[Leaf], form: str) -> None:
    """Refuse to write in another format what has not been read.

    Raises:
      FormatLimitError: if there is such an item; names it.
    """
    for leaf in leaves:
        if isinstance(leaf.value, Unread):
            hint = "Convert the other items one by one, by the paths of their directories"
            what = f"an item that is {leaf.value!r}"
            raise FormatLimitError(form, what, "/".join(leaf.path) or ".", hint)


# --- restoring ------------------------------------------------------------------------------------


def restore(
    path: str,
    target: Any,
    source: str,
    *,
    strict: bool,
    partial: bool = True,
    report: Report | None = None,
) -> Any:
    """Return a copy of a target with what a directory holds.

    Args:
      path: the directory.
      target: what is restored into, as in `orbax_target.restore`; of several items, a dictionary
        by name, in which None stands for an item as it was saved. Items that it lacks are left
        where they are. The tree alone will do where there is only one. None for everything.
      source: the checkpoint, for error messages.
      strict: see `orbax_target.restore`.
      partial: see there.
      report: see there.

    Raises:
      CheckpointMismatchError: if the target asks for what is not there; lists everything.
      MalformedDataError: if something that is asked for cannot be read.
      UnsupportedCheckpointError: if an item that is asked for was written by a handler that is not
        known.
    """
    whole = layout(path)

    def into(item: Item, part: Any) -> Any:
        if part is None:
            return _value(item)
        if item.kind in ("tree", "numpy key"):
            place = item.path if item.kind == "tree" else _part(item)
            return orbax_target.restore(
                place, part, source, strict=strict, partial=partial, report=report
            )
        state = to_state_dict(_value(item))
        return _placed(part, restore_into(part, state, source, strict=strict, report=report))

    if target is None:
        return _everything(whole)
    trees = [item for item in whole.items if item.kind == "tree"]
    only = whole.items[0] if whole.is_single else trees[0] if len(trees) == 1 else None
    names = {item.name for item in whole.items}
    parts = {} if names == {DIRECT} else _parts(target)
    if only is None or (parts and parts.keys() <= names):
        try:
            return _restore_parts(whole, target, parts, source, into)
        except CheckpointMismatchError as error:
            if only is None:
                raise
            by_name = error  # the tree may have keys that are called like items
        try:
            return into(only, target)
        except CheckpointMismatchError:
            raise by_name from None
    return into(only, target)


def _everything(whole: Layout) -> Any:
    if whole.is_single:
        return _value(whole.items[0])
    left_out = unread(whole.path)
    if left_out:
        warnings.warn(f"Left out: {left_out}.", RuntimeWarning, stacklevel=2)
    return {item.name: _value(item) for item in whole.items if item.kind != "unknown"}


def _value(item: Item) -> Any:
    """Return the content of an item, without a target."""
    if item.kind == "tree":
        return orbax_target.nested(orbax.read(item.path))
    if item.kind == "array":
        return orbax.read_single(item.path)
    if item.kind == "json":
        return load_json(item)
    if item.kind == "text":
        return _text(item)
    if item.kind == "jax key":
        generator = _generator(item)
        words = orbax.read_single(_part(item))
        if generator is None:
            return words
        return jax.random.wrap_key_data(jnp.asarray(words), impl=generator(np.shape(words)))
    if item.kind == "numpy key":
        state = orbax_target.nested(orbax.read(_part(item)))
        return tuple(state.values()) if _about_key(item, "legacy") else state
    if item.kind == "absent":
        raise _absent(item)
    raise UnsupportedCheckpointError(
        f'Reading the item {item.name!r} of "{os.path.dirname(item.path)}", which '
        f"{item.handler or 'an unknown handler'} wrote,",
        "Read it by Orbax with that handler, or leave it out of the target.",
    )


def _placed(leaf: Any, value: Any) -> Any:
    """Bring the array of an item to the devices that its target says, if it fits there."""
    sharding, shape = getattr(leaf, "sharding", None), getattr(leaf, "shape", None)
    if sharding is None or shape != getattr(value, "shape", ()):
        return value
    return jax.device_put(value, sharding)


def _parts(target: Any) -> dict[str, Any]:
    """Return what a target has by name at its top; nothing if it has no names."""
    parts = target if isinstance(target, Mapping) else to_state_dict(target)
    return {str(name): part for name, part in parts.items()} if isinstance(parts, Mapping) else {}


def _restore_parts(
    whole: Layout,
    target: Any,
    parts: dict[str, Any],
    source: str,
    into: Callable[[Item, Any], Any],
) -> Any:
    """Restore into each part of a target that goes by the names of items; list all differences."""
    if not parts:
        names = [item.name for item in whole.items]
        reason = f"the checkpoint holds the items {names}, and the target nothing by these names"
        raise CheckpointOptionError("target", f"of type {type(target).__name__}", reason)
    items = {item.name: item for item in whole.items}
    found: dict[str, Any] = {}
    problems: dict[str, list[str]] = {
        kind: [] for kind in ("missing", "extra", "shapes", "dtypes", "kinds")
    }
    for name, part in parts.items():
        if name not in items:
            problems["missing"].append(f"./{name}")
            continue
        try:
            found[name] = into(items[name], part)
        except CheckpointMismatchError as error:
            for kind, lines in problems.items():
                lines += [f"./{name}{line.removeprefix('.')}" for line in getattr(error, kind)]
    if any(problems.values()):
        raise CheckpointMismatchError(source, **problems)
    if type(target) is dict:
        return {name: found[str(name)] for name in target}
    return from_state_dict(target, {name: to_state_dict(value) for name, value in found.items()})
