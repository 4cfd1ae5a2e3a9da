"""Tables of names, and packages that look them up."""

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from ramie.foundation import doors


@pytest.fixture
def room(tmp_path, monkeypatch):
    """Return a package that has a door, beside a module that counts how often it is imported."""
    folder = tmp_path / "room_of_test"
    folder.mkdir()
    table = """
    from ramie.foundation.doors import door

    __all__, __getattr__, __dir__ = door(
        __name__,
        {"room_of_test.shelf": "Book _Hidden=Secret thing", "json": "dumps=loads"},
        modules="shelf text=json",
    )
    """
    (folder / "__init__.py").write_text(textwrap.dedent(table))
    (folder / "shelf.py").write_text("class Book: pass\nclass Secret: pass\nthing = [1]\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("room_of_test")
    for name in [name for name in sys.modules if name.partition(".")[0] == "room_of_test"]:
        del sys.modules[name]
    doors.TABLES.pop("room_of_test", None)


def test_table_of_names_and_modules():
    table = doors.read("room", {"a.b": "x y=z", "c": "  w "}, "m n=o.p")
    assert table.names == {"x": ("a.b", "x"), "y": ("a.b", "z"), "w": ("c", "w")}
    assert table.modules == {"m": "room.m", "n": "o.p"}


def test_nothing_is_imported_before_it_is_asked_for(room):
    assert "room_of_test.shelf" not in sys.modules
    assert room.text is importlib.import_module("json")
    assert "room_of_test.shelf" not in sys.modules
    assert room.Book.__module__ == "room_of_test.shelf" and room.Book is room.shelf.Book


def test_a_name_is_looked_up_once(room, monkeypatch):
    assert "thing" not in vars(room)
    assert room.thing is vars(room)["thing"]
    room.shelf.thing = None
    assert room.thing == [1]


def test_public_names_are_listed(room):
    assert room.__all__ == dir(room) == ["Book", "dumps", "shelf", "text", "thing"]


def test_a_name_with_an_underscore_is_answered_and_not_listed(room):
    assert room._Hidden is room.shelf.Secret
    assert "_Hidden" not in dir(room)


def test_another_name(room):
    assert room.dumps is importlib.import_module("json").loads


def test_a_wrong_name_says_what_there_is(room):
    with pytest.raises(AttributeError, match="it offers Book, dumps, shelf, text, thing") as error:
        _ = room.Boook
    assert error.value.name == "Boook" and error.value.obj is room
    with pytest.raises(ImportError, match="cannot import name 'Boook' from 'room_of_test'"):
        exec("from room_of_test import Boook", {})


def test_what_is_wrong_in_a_file_is_said_as_it_is(room):
    folder = Path(room.__file__).parent
    (folder / "shelf.py").write_text("import no_such_module_anywhere\n")
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        _ = room.Book
    (folder / "shelf.py").write_text("class Book: pass\nmended = True\n")
    importlib.invalidate_caches()
    assert room.Book.__name__ == "Book", "asked again, it is imported again"


def test_a_reload_keeps_the_paths(room):
    linen = importlib.import_module("ramie.linen")
    before = list(linen.__path__)
    importlib.reload(linen)
    assert list(linen.__path__) == before and len(set(before)) == len(before) == 2
