"""Manifests that say something impossible: damage that is named, never another error."""

import json

import numpy as np
import pytest
from tests.faults import orbax_pages

from ramie import checkpoint, errors
from ramie.checkpoint.storage import integrity

NUMBERS = [-1, 0, 1.5, True, None, "8", [], {}, 2**70, float("nan"), float("inf"), -float("inf")]
OTHERS = [None, True, 7, "x", [], [1], {}, {"a": 1}, [[]], [None], ["x"]]


@pytest.fixture
def saved(tmp_path):
    """Save a checkpoint; return its path, its manifest, and what that says."""
    path = checkpoint.save(tmp_path, {"a": np.ones(3)}, 1)
    place = integrity.manifest_path(path)
    with open(place) as file:
        return path, place, json.load(file)


def check(path, place, text):
    """Put text into the manifest; a restore gives what was saved, or the one error."""
    with open(place, "w") as file:
        file.write(text)
    state = checkpoint.verify(path).state
    try:
        assert (checkpoint.restore(path, None)["a"] == 1).all()
    except errors.MalformedDataError:
        assert state == "damaged"
        return 1
    assert state in ("intact", "readable")
    return 0


@pytest.mark.parametrize("field", ["version", "inode", "contents"])
def test_fields_of_the_page(saved, field):
    path, place, page = saved
    parts = [*NUMBERS, *OTHERS]
    refused = sum(check(path, place, json.dumps({**page, field: part})) for part in parts)
    refused += check(path, place, json.dumps({key: page[key] for key in page if key != field}))
    assert refused > (0 if field == "version" else len(parts) // 2)


@pytest.mark.parametrize("field", ["size", "chunk", "checksums", "inode"])
def test_fields_of_a_record(saved, field):
    path, place, page = saved
    record = page["contents"][0]
    parts = [*NUMBERS, *OTHERS, "00" * 8, ["00" * 8], [1] * 9, 2**24 + 1, 4096, 1]
    refused = 0
    for part in parts:
        contents = [{**record, field: part}]
        refused += check(path, place, json.dumps({**page, "contents": contents}))
    assert refused > len(parts) // 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "1e999", "[" * 100_000, "9" * 5000, "\ud7ff", "\0", '{"a": 1}'],
    ids=lambda text: repr(text)[:12],
)
def test_pages_that_are_none(saved, text):
    path, place, _ = saved
    assert check(path, place, text) == 1


NAMES = ["../other", "/etc/hostname", "a/../../b", "a\0b", "//x"]


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_of_a_directory_names_no_file_outside_of_it(name, tmp_path):
    pytest.importorskip("orbax.checkpoint")
    orbax_pages.prepare(tmp_path)
    path = tmp_path / "summed" / "checkpoint_1"
    place = tmp_path / "summed" / ".checkpoint_1.ramie.json"
    page = json.loads(place.read_text())
    files = page["contents"][0]["files"]
    files[name] = next(iter(files.values()))
    place.write_text(json.dumps(page))
    health = checkpoint.verify(path)
    assert health.state == "damaged"
    assert "manifest" in health.problem
