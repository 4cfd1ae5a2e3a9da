"""What a directory of Orbax is made of: one item, or several, each written by a handler of its own.

A step of a `CheckpointManager` holds a directory for each item, and a page, `_CHECKPOINT_METADATA`,
that names the handler of each. What is said here comes from that page and from the names of files;
Orbax is not imported, and no item is read but the metrics.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ramie.checkpoint.formats.leaf import open_regular
from ramie.checkpoint.storage import entries as storage
from ramie.errors import MalformedDataError

__all__ = [
    "DIRECT",
    "Item",
    "Kind",
    "Layout",
    "custom_of_tree",
    "final_name",
    "is_item",
    "is_unfinished",
    "item_file",
    "layout",
    "load_json",
    "looks_like_step",
    "metrics_of",
    "needs_handler",
]

Kind = Literal["tree", "array", "json", "text", "jax key", "numpy key", "unknown", "absent"]
"""What an item is; "absent" if it is listed and not there."""

DIRECT = ""
"""The name of what lies in the directory itself."""

_PAGE = "_CHECKPOINT_METADATA"
_COMMITTED = "commit_success.txt"
_UNFINISHED = ".orbax-checkpoint-tmp"
_LIMIT = 1 << 28
_TAIL = 64
_NO_CUSTOM = re.compile(rb'"custom_metadata": (?:null|\{\})\}\s*$')
_DEPTH = 200
_ONLY = "default"
_METRICS = "metrics"

_KINDS: dict[str, Kind] = {
    "PyTreeCheckpointHandler": "tree",
    "BasePyTreeCheckpointHandler": "tree",
    "StandardCheckpointHandler": "tree",
    "PyTreeHandler": "tree",
    "ArrayCheckpointHandler": "array",
    "JsonCheckpointHandler": "json",
    "JsonHandler": "json",
    "MetricsHandler": "json",
    "ProtoCheckpointHandler": "text",
    "ProtoHandler": "text",
    "JaxRandomKeyCheckpointHandler": "jax key",
    "NumpyRandomKeyCheckpointHandler": "numpy key",
}
_WITHOUT_CONTENT = "DescriptorHandler"  # of Orbax about itself, listed whether it wrote or not
_TREE_FILES = ("_METADATA", "checkpoint", "manifest.ocdbt")  # the second in the first layouts
_FILES: dict[str, tuple[str, ...]] = {
    "json": ("metadata", "data.json", _METRICS),
    "text": ("proto.pbtxt",),
}
_FOLDERS: dict[str, Kind] = {"jax_random_key": "jax key", "np_random_key": "numpy key"}


class Item(NamedTuple):
    """One item of a step.

    Attributes:
      name: its name; `DIRECT` for what lies in the directory itself.
      path: its directory.
      kind: what it is.
      handler: the class that wrote it, by its full name, as far as that is known.
    """

    name: str
    path: str
    kind: Kind
    handler: str = ""


class Layout(NamedTuple):
    """What a directory is made of.

    Attributes:
      path: the directory.
      items: the items, sorted by name.
      is_single: whether the content of the only item is that of the directory. Metrics beside it
        are told by `metadata` then.
      metadata: what is known besides the items: metrics, and what the user gave as custom metadata,
        as JSON.
    """

    path: str
    items: list[Item]
    is_single: bool
    metadata: dict[str, str]


def final_name(name: str) -> str:
    """Return what something will be called that Orbax has not finished; another name as it is."""
    return name.partition(_UNFINISHED)[0]


def is_unfinished(path: str) -> bool:
    """Tell whether Orbax was interrupted while it wrote a directory, or is still writing.

    Where renames are no single step it writes under the final name, and the time of the end last.
    """
    if _UNFINISHED in os.path.basename(path):
        return True
    if os.path.exists(os.path.join(path, _COMMITTED)):
        return False
    page = _page_or_nothing(path)
    begun = page.get("init_timestamp_nsecs")
    return begun is not None and page.get("commit_timestamp_nsecs", begun) is None


def layout(path: str) -> Layout:
    """Return what a directory of Orbax is made of.

    Raises:
      MalformedDataError: if the page about it is damaged, or if there is no item at all.
    """
    page = _page(path)
    handlers = page.get("item_handlers")
    if handlers is None:
        handlers = _listed_above(path)
    metadata = _custom(page)
    if not isinstance(handlers, dict):
        kind = _kind(path, handlers or "")
        if handlers or kind != "unknown":
            return Layout(path, [Item(DIRECT, path, kind, handlers or "")], True, metadata)
    found = [
        Item(name, os.path.join(path, name), _kind(os.path.join(path, name), handler), handler)
        for name, handler in _named(path, handlers or {})
    ]
    metrics = [item for item in found if item.name == _METRICS and item.kind == "json"]
    content = [item for item in found if item not in metrics]
    if not found:
        raise MalformedDataError("it holds no item", source=path, writer="Orbax")
    single = len(content) == 1 and (content[0].name == _ONLY or content[0].kind == "tree")
    if not single:
        return Layout(path, found, False, metadata)
    if metrics:
        metadata = {_METRICS: json.dumps(load_json(metrics[0])), **metadata}
    return Layout(path, content, True, metadata)


def needs_handler(path: str) -> bool:
    """Tell whether it is for a checkpointer of the user's, if there is one, to read a directory.

    That is what a handler wrote that is not known, and what is no tree and no step with items.
    """
    items = layout(path).items
    direct = items[0].name == DIRECT and items[0].kind != "tree"
    return direct or any(item.kind == "unknown" for item in items)


def metrics_of(path: str) -> Mapping[str, Any]:
    """Return the metrics that a manager saved with a step; none where they cannot be read."""
    try:
        page = _page(path)
        found = page.get("metrics")
        folder = os.path.join(path, _METRICS)
        if not found and os.path.isdir(folder):
            found = load_json(Item(_METRICS, folder, "json"))
    except (MalformedDataError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def load_json(item: Item) -> Any:
    """Read an item of JSON.

    Raises:
      MalformedDataError: if it is damaged, or not there.
    """
    return _load(item_file(item), item.name)


def item_file(item: Item) -> str:
    """Return the file of an item that is one.

    Raises:
      MalformedDataError: if there is none.
    """
    for name in _FILES[item.kind]:
        if storage.kind_of(os.path.join(item.path, name)) == "file":
            return os.path.join(item.path, name)
    problem = f"it holds none of the files {list(_FILES[item.kind])}"
    raise MalformedDataError(problem, item.name or ".", source=item.path, writer="Orbax")


def is_item(path: str) -> bool:
    """Tell whether a directory is an item that the page of the step above it lists."""
    return _listed_above(path) is not None and os.path.isdir(path)


def looks_like_step(path: str) -> bool:
    """Tell whether a directory holds items and nothing else, though no page says so.

    Early managers wrote no page. A directory whose entries are called like steps is one of
    checkpoints, not a step.
    """
    names = [name for name in storage.list_names(path) if not name.startswith(".")]
    places = [os.path.join(path, name) for name in names]
    if not all(map(os.path.isdir, places)) or any(name[-1].isdigit() for name in names):
        return False
    return any(_kind_by_content(place) == "tree" for place in places)


# --- pages ----------------------------------------------------------------------------------------


def _load(place: str, where: str) -> Any:
    with open_regular(place) as file:
        about = os.fstat(file.fileno())
        try:
            if not stat.S_ISREG(about.st_mode):
                raise ValueError(f"it is not a regular file, but of mode {about.st_mode:o}")
            if about.st_size > _LIMIT:
                raise ValueError(f"it has {about.st_size} bytes, more than any page of JSON should")
            page = json.loads(file.read(_LIMIT))
            if _is_deep(page):
                raise ValueError(f"it is nested more than {_DEPTH} times")
            return page
        except (ValueError, RecursionError) as error:
            problem = f"it is no page of JSON ({str(error)[:200]})"
            raise MalformedDataError(problem, where, source=place, writer="Orbax") from error


def _is_deep(page: Any) -> bool:
    level = [page]
    for _ in range(_DEPTH):
        level = [
            below
            for value in level
            if isinstance(value, (dict, list))
            for below in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def _page(path: str) -> dict[str, Any]:
    """Return the page about a directory, whose types are checked; an empty one if there is none."""
    place = os.path.join(path, _PAGE)
    if not os.path.lexists(place):
        return {}
    cause: Exception | None = None
    page, wrong = None, ""
    try:
        page = _load(place, ".")
    except PermissionError:
        raise
    except OSError as error:
        cause, wrong = error, f"it cannot be read ({error.strerror})"
    except MalformedDataError as error:
        cause, wrong = error, error.problem
    else:
        if not isinstance(page, dict):
            wrong = f"it is a {type(page).__name__} instead of an object"
        elif not isinstance(page.get("item_handlers"), (dict, str, type(None))):
            wrong = "its item_handlers are neither an object nor a name"
    if wrong or not isinstance(page, dict):
        hint = f"{wrong}; without this file, the items are told by their content"
        raise MalformedDataError(hint, source=place, writer="Orbax") from cause
    return page


def _page_or_nothing(path: str) -> dict[str, Any]:
    try:
        return _page(path)
    except (MalformedDataError, OSError):
        return {}


def _custom(page: dict[str, Any]) -> dict[str, str]:
    custom = page.get("custom_metadata")
    return {"custom_metadata": json.dumps(custom)} if custom else {}


def custom_of_tree(path: str) -> dict[str, str]:
    """Return what the user gave with a tree as custom metadata, as JSON; it stands with its leaves.

    Args:
      path: the directory of the tree. Damage is for those to say who read the leaves.
    """
    place = os.path.join(path, _TREE_FILES[0])
    try:
        with open_regular(place) as file:
            file.seek(-min(os.fstat(file.fileno()).st_size, _TAIL), os.SEEK_END)
            if _NO_CUSTOM.search(file.read(_TAIL)):
                return {}  # as nearly always; the page may be long
        page = _load(place, ".")
    except (MalformedDataError, OSError):
        return {}
    return _custom(page) if isinstance(page, dict) else {}


def _listed_above(path: str) -> str | None:
    """Return the handler of an item, from the page of the step that it is in."""
    above, name = os.path.split(os.path.abspath(path))
    handlers = _page_or_nothing(above).get("item_handlers")
    handler = handlers.get(name) if isinstance(handlers, dict) else None
    return handler if isinstance(handler, str) else None


# --- items ----------------------------------------------------------------------------------------


def _named(path: str, handlers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the items of a step with their handlers: those listed, and others that are there."""
    names = sorted(storage.list_names(path))
    for name, handler in sorted(handlers.items()):
        if name in ("", ".", "..") or "/" in name or os.sep in name or "\0" in name:
            problem = f"it lists an item {name!r}, which is no name of a directory in it"
            raise MalformedDataError(problem, source=os.path.join(path, _PAGE), writer="Orbax")
        if not isinstance(handler, (str, type(None))):
            problem = f"the handler of the item {name!r} is no name, but {str(handler)[:80]!r}"
            raise MalformedDataError(problem, source=os.path.join(path, _PAGE), writer="Orbax")
        if name in names or _class_of(handler or "") != _WITHOUT_CONTENT:
            yield name, handler or ""
    for name in names:
        place = os.path.join(path, name)
        if name in handlers or name.startswith(".") or _UNFINISHED in name:
            continue
        if os.path.isdir(place) and (not handlers or _kind_by_content(place) != "unknown"):
            yield name, ""


def _class_of(handler: str) -> str:
    return handler.rpartition(".")[2]


def _kind(path: str, handler: str) -> Kind:
    if not os.path.isdir(path):
        return "absent"
    return _KINDS.get(_class_of(handler)) or _kind_by_content(path)


def _kind_by_content(path: str) -> Kind:
    def holds(name: str) -> bool:
        return os.path.isfile(os.path.join(path, name))

    if holds(os.path.join("checkpoint", ".zarray")) and _has_one_array(path):
        return "array"
    if any(map(holds, _TREE_FILES)):
        return "tree"
    for name, kind in _FOLDERS.items():
        if os.path.isdir(os.path.join(path, name)):
            return kind
    if any(map(holds, _FILES["json"])):
        return "json"
    return "text" if any(map(holds, _FILES["text"])) else "unknown"


def _has_one_array(path: str) -> bool:
    folders = {name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name))}
    return folders <= {"checkpoint", "array_metadatas"}
