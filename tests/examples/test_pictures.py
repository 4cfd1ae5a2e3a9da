"""Pictures are well formed, shown somewhere, and what the code beside them draws."""

import importlib.util
from xml.etree import ElementTree

import pytest
from tests.examples import fences

FOLDER = fences.ROOT / "docs" / "pictures"
PICTURES = sorted(FOLDER.glob("*.svg"))


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw = _load(FOLDER / "draw.py")
TRAINED = {"learning_rates", "ring"}  # computed by JAX: too dear, and the last digit may differ


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_pictures_are_well_formed_and_shown(picture):
    root = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    assert root.tag.endswith("svg") and root.get("viewBox")
    shown = f"../pictures/{picture.name})"
    assert any(shown in page.read_text(encoding="utf-8") for page in fences.GUIDES)


@pytest.mark.parametrize("function", draw.PICTURES, ids=lambda function: function.__name__)
def test_pictures_are_those_that_the_program_draws(function):
    picture = FOLDER / f"{function.__name__}.svg"
    assert picture in PICTURES
    if function.__name__ not in TRAINED:
        assert picture.read_text(encoding="utf-8") == function().svg()
