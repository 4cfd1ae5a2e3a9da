"""Signatures and docstrings of the reference, form by form."""

from dataclasses import dataclass, field
from typing import NamedTuple, overload

import pytest
from tools.site import definitions, docstrings


class Plain:
    def __init__(self, a: int, /, b: str = "x", *rest: int, c: float = 1.0, **more: int) -> None:
        """Make one."""

    def method(self, x: "list[int] | None" = None) -> bool:
        return x is None


@dataclass
class Base:
    width: int
    name: str | None = field(default=None, kw_only=True)


@dataclass
class Derived(Base):
    depth: int = 2
    sizes: list[int] = field(default_factory=list)


class Pair(NamedTuple):
    first: int
    second: str = "b"


class Inherits(Plain):
    pass


@overload
def either(x: int) -> int: ...


@overload
def either(x: str) -> str: ...


def either(x):
    return x


FIELDS = "width: int, depth: int = 2, sizes: list[int] = list(), *, name: str | None = None"
PLAIN = "a: int, /, b: str = 'x', *rest: int, c: float = 1.0, **more: int"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Plain.method, ["f(self, x: 'list[int] | None' = None) -> bool"]),
        (either, ["f(x: int) -> int", "f(x: str) -> str"]),
        (len, ["f(obj, /)"]),
        (3, []),
    ],
    ids=["method", "overloads", "builtin", "no function"],
)
def test_a_signature_is_as_it_is_written(value, shown):
    assert [one.text("f") for one in definitions.signatures(value)] == shown


@pytest.mark.parametrize(
    ("cls", "parameters"),
    [(Plain, PLAIN), (Inherits, PLAIN), (Derived, FIELDS), (Pair, "first: int, second: str = 'b'")],
)
def test_a_constructor_is_found_wherever_it_is(cls, parameters, monkeypatch):
    monkeypatch.setattr(definitions, "OURS", __name__.partition(".")[0])
    assert [one.text("f", width=100) for one in definitions.signatures(cls)] == [f"f({parameters})"]


def test_long_signatures_have_a_line_for_each_parameter():
    (one,) = definitions.signatures(Plain.method)
    text = "f(\n    self,\n    x: 'list[int] | None' = None,\n) -> bool"
    assert one.text("f", width=20) == text


def test_the_place_of_a_name_is_its_definition():
    place = definitions.place_of(Plain)
    assert place.path.name == "test_signatures.py" and place.line > 1
    assert definitions.place_of(len) is None
    assert definitions.place_of(FIELDS, __name__, "FIELDS").node.value.value == FIELDS


def test_the_string_behind_a_constant_describes_it():
    from ramie.core import meta

    place = definitions.place_of(meta.PARTITION_NAME, "ramie.core.meta", "PARTITION_NAME")
    assert definitions.note_on(place).startswith("The key of `metadata_params`")
    assert definitions.note_on(definitions.place_of(Plain)) == ""


def test_entries_of_lists_may_have_types_and_several_lines():
    text = "x (int): one,\n  two.\n*args, **kwargs: all."
    assert docstrings.items(text) == [
        ("x", "int", "one,\ntwo."),
        ("*args, **kwargs", "", "all."),
    ]
