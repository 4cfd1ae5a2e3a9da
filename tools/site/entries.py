"""What the reference says about one name."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tools.site import definitions, docstrings
from tools.site.catalogue import Name
from tools.site.links import ROOT, anchor_of

__all__ = ["Around", "entry", "guides_of", "summary"]

_JAX = (
    "jax.nn",
    "jax.nn.initializers",
    "jax.numpy",
    "jax.lax",
    "jax.random",
    "jax.tree_util",
    "jax",
)
_SHOWN = {"__call__", "__enter__", "__getitem__", "__iter__"}


class Around(NamedTuple):
    """What an entry has to know of the rest of the site.

    Args:
      names: all public names, by address.
      up: the way from the page of the entry to the top of the site, such as ``../../``.
    """

    names: Mapping[str, Name]
    up: str


def guides_of(address: str) -> str:
    """Return what stands for the guides that mention a name, until they are known."""
    return f"<!-- guides: {address} -->"


def _heading(level: int, address: str, shown: str) -> str:
    # In the table of contents of a page the names of deep rooms would be cut.
    label = f' data-toc-label="{shown.rpartition(".")[2]}"' if shown.count(".") > 1 else ""
    return f"{'#' * level} `{shown}` {{ #{anchor_of(address)}{label} }}"


def _code(value: Any, shown: str, bound: bool = False) -> str:
    found = definitions.signatures(value, bound=bound)
    text = "\n\n".join(one.text(shown) for one in found)
    return f"```python\n{text}\n```" if text else ""


def _types(value: Any) -> dict[str, str]:
    found = {
        parameter.name.lstrip("*"): parameter.type
        for one in definitions.signatures(value)
        for parameter in one.parameters
    }
    if inspect.isclass(value):
        for owner in reversed(value.__mro__):
            if owner.__module__.startswith("ramie"):
                found |= {
                    name: str(kind) for name, kind in _annotations(owner) if name not in found
                }
    return found


def _annotations(cls: type) -> Iterator[tuple[str, str]]:
    place = definitions.place_of(cls)
    for node in getattr(place.node, "body", []) if place else []:
        if hasattr(node, "annotation") and hasattr(node.target, "id"):
            yield node.target.id, definitions.written(node.annotation)


def _documented(value: Any) -> str:
    """Return the docstring that an object has itself, not one of its type."""
    if inspect.isclass(value):
        own = value.__dict__.get("__doc__") or ""
        return "" if own.startswith(f"{value.__name__}(") else inspect.cleandoc(own)
    text = inspect.getdoc(value) or ""
    return "" if text == inspect.getdoc(type(value)) else text


def _source(place: definitions.Place | None, up: str) -> str:
    if place is None or ROOT / "src" not in place.path.parents:
        return ""
    path = place.path.relative_to(ROOT).as_posix()
    link = f"{up}source/{path}.html#L{place.line}"
    return f'<a class="source" data-search-exclude href="{link}">{path}, line {place.line}</a>'


def _members(cls: type) -> Iterator[tuple[str, type, Any]]:
    """Return name, owner and value of what a class offers, each once, in the order of sources."""
    seen = set()
    for owner in cls.__mro__:
        if owner.__module__.partition(".")[0] != "ramie":
            continue
        fields = getattr(owner, "__annotations__", {})
        for name, value in vars(owner).items():
            if name in seen or name in fields or (name[0] == "_" and name not in _SHOWN):
                continue
            seen.add(name)
            inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if isinstance(inner, property) or inspect.isroutine(inspect.unwrap(inner)):
                yield name, owner, value


def _member(name: Name, short: str, value: Any) -> str:
    address = f"{name.address}.{short}"
    inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    text = _documented(inner)
    if isinstance(inner, property):
        kind = "property"
        code = ""
    else:
        kind = {classmethod: "class method", staticmethod: "static method"}.get(type(value), "")
        code = _code(inner, short, bound=not isinstance(value, staticmethod))
    label = f"*{kind}*" if kind else ""
    heading = _heading(3, address, f"{name.short}.{short}")
    if text and not getattr(inner, "__module__", "ramie").startswith("ramie"):
        body = _elsewhere(inner, short, "As")
    else:
        body = docstrings.markdown(text, _types(inner)) if text else ""
    return "\n\n".join(part for part in (heading, label, code, body) if part)


def _inherited(rows: Mapping[Name, list[str]], around: Around) -> Iterator[str]:
    for base, members in rows.items():
        page = f"{around.up}reference/{base.page.file}.md"
        shown = ", ".join(
            f"[`{short}`]({page}#{anchor_of(f'{base.address}.{short}')})" for short in members
        )
        yield f"Inherited from `{base.address}`: {shown}."


def _of_class(name: Name, around: Around) -> Iterator[str]:
    classes = [other for other in around.names.values() if inspect.isclass(other.value)]
    # The same class may be public in several rooms; then the one of this room is meant.
    classes.sort(key=lambda other: other.page.address == name.page.address)
    public = {other.value: other for other in classes}
    inherited: dict[Name, list[str]] = {}
    own: list[str] = []
    for short, owner, value in _members(name.value):
        if not _documented(getattr(value, "__func__", value)):
            continue
        bases = [
            base for base in name.value.__mro__[1:] if base in public and owner in base.__mro__
        ]
        if bases:
            inherited.setdefault(public[bases[-1]], []).append(short)
        else:
            own.append(_member(name, short, value))
    yield from _inherited(inherited, around)
    yield from own


def _value(name: Name, place: definitions.Place | None) -> str:
    """Return how a constant or a type is written."""
    if place is not None and hasattr(place.node, "value"):
        written = definitions.written(place.node)
        if len(written) < 400:
            return f"```python\n{written}\n```"
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(name.value))
    return f"```python\n{name.short} = {shown}\n```" if len(shown) < 200 else ""


def _elsewhere(value: Any, name: str, said: str = "The same object as") -> str:
    """Say of what is not ours what it is, and its public name in JAX."""
    same = (value, inspect.unwrap(value)) if callable(value) else (value,)
    found = [
        place
        for place in _JAX
        if any(getattr(importlib.import_module(place), name, None) is one for one in same)
    ]
    text = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    first = docstrings.prose(text)
    where = f"{said} `{found[0]}.{name}`" if found else ""
    return f"{where}: {first}" if where and first else f"{where}." if where else first


def summary(name: Name) -> str:
    """Return the first sentence about a name, empty where nothing is known of it."""
    value = name.value
    called = inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value))
    if called and not value.__module__.startswith("ramie"):
        return _elsewhere(value, name.internal)
    place = definitions.place_of(value, name.home, name.internal)
    text = _documented(value) if called else definitions.note_on(place)
    return docstrings.prose(text.partition("\n\n")[0])


def entry(name: Name, around: Around) -> str:
    """Return the entry of a name as Markdown, its heading at the second level."""
    value = name.value
    place = definitions.place_of(value, name.home, name.internal)
    called = inspect.isclass(value) or inspect.isroutine(inspect.unwrap(value))
    parts = [_heading(2, name.address, name.address), _source(place, around.up)]
    parts.append(_code(value, name.address) if called else _value(name, place))
    ours = not called or value.__module__.startswith("ramie")
    text = _documented(value) if called else definitions.note_on(place)
    if not ours:
        parts.append(_elsewhere(value, name.internal))
    elif text:
        parts.append(docstrings.markdown(text, _types(value) if called else {}))
    parts.append(guides_of(name.address))
    if inspect.isclass(value) and ours:
        parts += _of_class(name, around)
    return "\n\n".join(part for part in parts if part)
