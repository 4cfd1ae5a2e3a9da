"""Every room explains itself, and every file that a page or a docstring mentions is there."""

import re

import pytest
from tests.layout import sources
from tests.layout.test_files import folders

SHORTEST, LONGEST = 5, 30
ROOMS = [folder for folder in folders() if folder != sources.PACKAGE / "cli" / "demo"]
ROOMS += [sources.PATHS]
ENTRY = re.compile(r"^- `([^`]+)`: .+", re.M)
RESTS = re.compile(r"^Rests on .*(?:\n\S.*)*", re.M)
MENTIONED = re.compile(r"(?<![\w/.:<*-])((?:[\w-]+/)+[\w-]+\.py)\b")
FOLDER = re.compile(r"`((?:src|tests|docs|examples|benchmarks|findings)(?:/[\w-]+)+)/?`")
PAGES = sorted(
    [
        sources.ROOT / "README.md",
        sources.ROOT / "CONTRIBUTING.md",
        *(sources.ROOT / "docs").rglob("*.md"),
        *sources.PACKAGE.rglob("*.md"),
    ]
)
READ_FROM = (sources.ROOT, sources.PACKAGE.parent, sources.PACKAGE)


def _readme(room):
    return (room / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ROOMS, ids=sources.relative)
def test_a_room_says_what_is_in_it(room):
    assert SHORTEST <= len(_readme(room).splitlines()) <= LONGEST
    files = {path.name for path in room.glob("*.py")} - {"__init__.py"}
    inside = {f"{path.parent.name}/" for path in room.glob("*/__init__.py")}
    named = ENTRY.findall(_readme(room))
    assert sorted(named) == sorted(files | inside)


@pytest.mark.parametrize("room", ROOMS, ids=sources.relative)
def test_what_a_room_says_it_rests_on_it_imports(room):
    own = sources.place_of(room / "__init__.py")
    imported = {
        found.target
        for path in sources.files(sources.relative(room))
        for found in sources.imports(path)
    }
    for sentence in RESTS.findall(_readme(room)):
        for name in re.findall(r"`([a-z_.]+)`", sentence):
            other = f"ramie.{name.removeprefix('ramie.')}"
            assert other != own
            assert any(f"{target}.".startswith(f"{other}.") for target in imported), name


def _mentions(path):
    return sorted(set(MENTIONED.findall(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", [*PAGES, *sources.source_files()], ids=sources.relative)
def test_files_that_are_mentioned_exist(path):
    for name in _mentions(path):
        places = [folder / name for folder in (*READ_FROM, path.parent)]
        assert any(place.is_file() for place in places), f"no file {name}"


@pytest.mark.parametrize("path", [*PAGES, *sources.source_files()], ids=sources.relative)
def test_folders_that_are_mentioned_exist(path):
    mentioned = FOLDER.findall(path.read_text(encoding="utf-8"))
    wrong = [name for name in mentioned if not (sources.ROOT / name).is_dir()]
    assert not wrong


def test_mentions_are_seen():
    assert FOLDER.findall("`src/ramie/cli/demo`, `tests/unit/` and `docs/x.py`") == [
        "src/ramie/cli/demo",
        "tests/unit",
    ]
    text = "`core/lift/crossing.py`, docs/pictures/draw.py and https://a.b/c/d.py, <dir>/x.py"
    assert MENTIONED.findall(text) == ["core/lift/crossing.py", "docs/pictures/draw.py"]


def _entry(path, room):
    """Return how a README of a room calls the file or the sub-folder that a path belongs to."""
    first, *rest = path.relative_to(room).parts
    return f"{first}/" if rest else first


@pytest.mark.parametrize("room", ROOMS, ids=sources.relative)
def test_what_is_read_first_needs_nothing_that_comes_later(room):
    place = {name: number for number, name in enumerate(ENTRY.findall(_readme(room)))}
    wrong = []
    for path in sources.files(sources.relative(room)):
        for found in sources.imports(path):
            target = sources.modules().get(found.target)
            if target is None or found.lazy or room not in target.parents:
                continue
            one, other = _entry(path, room), _entry(target, room)
            if place.get(one, len(place)) < place.get(other, 0):
                wrong.append(f"{one} before {other}, which it imports")
    assert not wrong
