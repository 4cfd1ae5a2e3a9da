"""Where an object is defined, and how its source writes the signature.

Signatures are shown as they were written: ``dtype: Dtype | None = None`` says more than the repr of
the objects that stand behind these names.
"""

import ast
import dataclasses
import functools
import inspect
import itertools
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "OURS",
    "Parameter",
    "Place",
    "Signature",
    "note_on",
    "place_of",
    "signatures",
    "written",
]

OURS = "ramie"  # constructors of other packages are not looked into
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_PLACE = inspect.Parameter.POSITIONAL_ONLY
_STARS: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class Place(NamedTuple):
    """A definition: its file, the line, and the node of the syntax tree."""

    path: Path
    line: int
    node: ast.AST


class Parameter(NamedTuple):
    """A parameter as it is written; empty for what is not there."""

    name: str
    type: str
    default: str

    def __str__(self) -> str:
        typed = f"{self.name}: {self.type}" if self.type else self.name
        if not self.default:
            return typed
        return f"{typed} = {self.default}" if self.type else f"{typed}={self.default}"


class Signature(NamedTuple):
    """Parameters, stars and slashes among them, and the type of the result."""

    parameters: tuple[Parameter, ...]
    returns: str

    def text(self, name: str, width: int = 78) -> str:
        """Return it on one line, or with a line for each parameter."""
        arrow = f" -> {self.returns}" if self.returns else ""
        short = f"{name}({', '.join(map(str, self.parameters))}){arrow}"
        if len(short) <= width or not self.parameters:
            return short
        lines = "".join(f"    {parameter},\n" for parameter in self.parameters)
        return f"{name}(\n{lines}){arrow}"


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def _definitions(path: Path) -> dict[str, ast.stmt]:
    """Return what a file defines, by qualified name."""
    found: dict[str, ast.stmt] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, _Function | ast.ClassDef):
                found[prefix + node.name] = node  # the last of several is the implementation
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Name):
                        found.setdefault(prefix + target.id, node)
            elif isinstance(node, ast.If | ast.Try | ast.With):
                visit(node.body, prefix)
                visit(getattr(node, "orelse", []), prefix)

    visit(_tree(path).body, "")
    return found


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and file.endswith(".py") else None


def _find(module: str, name: str) -> Place | None:
    path = _file_of(module)
    node = _definitions(path).get(name) if path else None
    return Place(path, node.lineno, node) if path and node is not None else None


def place_of(value: Any, home: str = "", internal: str = "") -> Place | None:
    """Find the definition of a class or function by its own name, of other values by their home."""
    inner = inspect.unwrap(value) if callable(value) else value
    if inspect.isclass(inner) or inspect.isroutine(inner):
        found = _find(inner.__module__ or "", inner.__qualname__)
        if found:
            return found
    return _find(home, internal)


def note_on(place: Place | None) -> str:
    """Return the string that stands behind an assignment and describes it."""
    if place is None or not isinstance(place.node, ast.Assign | ast.AnnAssign):
        return ""
    body = _tree(place.path).body
    for node, following in itertools.pairwise(body):
        if node.lineno == place.line and isinstance(following, ast.Expr):
            text = getattr(following.value, "value", None)
            return inspect.cleandoc(text) if isinstance(text, str) else ""
    return ""


def written(node: ast.AST | None) -> str:
    """Return a node as source, nothing for None."""
    return ast.unparse(node) if node is not None else ""


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    places = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(places) - len(arguments.defaults)) + list(arguments.defaults)
    for number, (argument, default) in enumerate(zip(places, defaults, strict=True), 1):
        yield Parameter(argument.arg, written(argument.annotation), written(default))
        if number == len(arguments.posonlyargs):
            yield Parameter("/", "", "")
    if arguments.vararg:
        yield Parameter(f"*{arguments.vararg.arg}", written(arguments.vararg.annotation), "")
    elif arguments.kwonlyargs:
        yield Parameter("*", "", "")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(argument.arg, written(argument.annotation), written(default))
    if arguments.kwarg:
        yield Parameter(f"**{arguments.kwarg.arg}", written(arguments.kwarg.annotation), "")


def _of_node(node: _Function, bound: bool) -> Signature:
    found = tuple(_parameters(node.args))
    return Signature(found[1:] if bound else found, written(node.returns))


def _of_object(value: Any) -> list[Signature]:
    """Fall back on what Python says of an object that has no source of its own."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    found: list[Parameter] = []
    last = None
    for parameter in parameters:
        if last is _PLACE and parameter.kind is not _PLACE:
            found.append(Parameter("/", "", ""))
        last = parameter.kind
        default = parameter.default
        shown = "" if default is parameter.empty else repr(default)
        if parameter.kind is _KEYWORD and all(p.name[0] != "*" for p in found):
            found.append(Parameter("*", "", ""))
        star = _STARS.get(parameter.kind, "")
        found.append(Parameter(star + parameter.name, "", shown if len(shown) < 40 else "..."))
    if last is _PLACE:
        found.append(Parameter("/", "", ""))
    return [Signature(tuple(found), "")]


def _of_function(function: Any, bound: bool) -> list[Signature]:
    inner = inspect.unwrap(function)
    overloads = typing.get_overloads(inner) if inspect.isfunction(inner) else []
    found = []
    for one in [inner] if len(overloads) < 2 else overloads:
        code = getattr(one, "__code__", None)
        node = _function_at(Path(code.co_filename), code.co_firstlineno) if code else None
        if node is None:
            return _of_object(function)
        found.append(_of_node(node, bound))
    return found


@functools.cache
def _functions(path: Path) -> dict[int, _Function]:
    if not path.is_file():
        return {}
    return {
        min([node.lineno, *(one.lineno for one in node.decorator_list)]): node
        for node in ast.walk(_tree(path))
        if isinstance(node, _Function)
    }


def _function_at(path: Path, line: int) -> _Function | None:
    return _functions(path).get(line)


def _default(node: ast.expr | None) -> str:
    """Return the default of a field; of ``field(default=...)`` what stands in it."""
    if isinstance(node, ast.Call) and written(node.func).rpartition(".")[2] == "field":
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if "default_factory" in given:
            return f"{written(given['default_factory'])}()"
        return written(given.get("default"))
    return written(node)


def _field_parameters(cls: type) -> list[Signature]:
    """Return the constructor that a dataclass was given."""
    positional: list[Parameter] = []
    keywords: list[Parameter] = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        place = next(
            (
                place
                for owner in cls.__mro__
                if (place := _find(owner.__module__, f"{owner.__qualname__}.{field.name}"))
            ),
            None,
        )
        node = place.node if place else None
        kind = written(getattr(node, "annotation", None))
        default = _default(getattr(node, "value", None))
        if not default and field.default is not dataclasses.MISSING:
            default = repr(field.default)
        where = keywords if field.kw_only else positional
        where.append(Parameter(field.name, kind, default))
    star = [Parameter("*", "", "")] if keywords else []
    return [Signature((*positional, *star, *keywords), "")]


def _tuple_parameters(cls: type) -> list[Signature]:
    """Return the constructor of a named tuple."""
    place = place_of(cls)
    body = getattr(place.node, "body", []) if place else []
    found = [
        Parameter(node.target.id, written(node.annotation), written(node.value))
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return [Signature(tuple(found), "")]


def _of_class(cls: type) -> list[Signature]:
    for owner in cls.__mro__:
        if owner.__module__.partition(".")[0] != OURS:
            continue
        made = vars(owner).get("__init__") or vars(owner).get("__new__")
        code = getattr(inspect.unwrap(made), "__code__", None) if made else None
        if code is None:
            continue
        if Path(code.co_filename).is_file():
            return [one._replace(returns="") for one in _of_function(made, bound=True)]
        if dataclasses.is_dataclass(cls):
            return _field_parameters(cls)
    if dataclasses.is_dataclass(cls):
        return _field_parameters(cls)
    return _tuple_parameters(cls) if hasattr(cls, "_fields") else _of_object(cls)


def signatures(value: Any, *, bound: bool = False) -> list[Signature]:
    """Return how an object is called, one for each overload; nothing for what is no callable.

    Args:
      value: a function, a class or a method.
      bound: whether the first parameter is the object itself.
    """
    if inspect.isclass(value):
        return _of_class(value)
    return _of_function(value, bound) if callable(value) else []
