"""Names of files and folders, and what they must not contain."""

import ast
import builtins
import re

import pytest
from tests.layout import sources

ALL_FILES = sources.files("src/ramie", "tests", "benchmarks", "examples")
MOST_FILES_WITHOUT_README = 12
VAGUE_NAMES = {"utils", "util", "misc", "helpers", "helper", "stuff"}
# Numbers that belong to the name of a thing, not to its second version.
NUMBERED = {"fp8", "relu6", "log2", "float8", "sha1", "int4"}
TOLERANCE_KEYWORDS = {"atol", "rtol", "rel", "abs", "delta", "places", "decimal", "significant"}
TOLERANCE_CALLS = {
    "allclose",
    "isclose",
    "approx",
    "assert_allclose",
    "assert_almost_equal",
    "assert_approx_equal",
    "assert_array_almost_equal",
}
CATALOGUE_ONLY = ("linen", "nnx", "checkpoint")


@pytest.mark.parametrize("path", ALL_FILES, ids=sources.relative)
def test_file_names_say_what_is_inside(path):
    if sources.PATHS in path.parents:
        return  # the name is Flax's
    assert path.stem not in VAGUE_NAMES
    assert not path.stem.startswith(("new_", "simple_", "old_"))
    last = path.stem.rpartition("_")[2]
    assert not re.search(r"[a-z]\d$", last) or last in NUMBERED


@pytest.mark.parametrize("path", sources.source_files(), ids=sources.relative)
def test_no_name_is_the_second_version_of_another(path):
    for node in ast.walk(sources.parse(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and re.search(r"[a-z]\d$", node.name):
            assert node.name.rpartition("_")[2].lower() in NUMBERED, f"{node.name}: {node.lineno}"


def test_large_folders_explain_themselves():
    folders = {path.parent for path in sources.source_files()}
    for folder in sorted(folders - {sources.PACKAGE}):
        if sources.PATHS in folder.parents:
            continue
        if len(list(folder.glob("*.py"))) > MOST_FILES_WITHOUT_README:
            assert (folder / "README.md").is_file(), f"{sources.relative(folder)} has no README.md"


def test_unit_tests_mirror_the_package():
    mirror = sources.ROOT / "tests" / "unit"
    for path in sorted(mirror.rglob("test_*.py")):
        folder = path.parent.relative_to(mirror)
        assert (sources.PACKAGE / folder).is_dir(), f"no src/ramie/{folder} for {path.name}"


def _name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.mark.parametrize("path", sources.files("tests"), ids=sources.relative)
def test_tolerances_come_from_the_one_table(path):
    if sources.relative(path) == "tests/tolerance.py":
        return
    for node in ast.walk(sources.parse(path)):
        if isinstance(node, ast.Call):
            place = f"{sources.relative(path)}:{node.lineno}"
            assert _name_of(node.func) not in TOLERANCE_CALLS, f"{place}: use tests.tolerance"
            for keyword in node.keywords:
                assert keyword.arg not in TOLERANCE_KEYWORDS, f"{place}: {keyword.arg}="


def _says_nothing_specific(exception: ast.expr | None) -> bool:
    """Tell whether a builtin error is raised without naming what was found."""
    call = exception if isinstance(exception, ast.Call) else None
    kind = call.func if call is not None else exception
    if not isinstance(kind, ast.Name) or kind.id == "NotImplementedError":
        return False
    found = getattr(builtins, kind.id, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        return False
    return call is None or all(isinstance(argument, ast.Constant) for argument in call.args)


@pytest.mark.parametrize("part", CATALOGUE_ONLY)
def test_errors_name_what_was_found(part):
    wrong = [
        f"{sources.relative(path)}:{node.lineno}"
        for path in sources.files(f"src/ramie/{part}")
        for node in ast.walk(sources.parse(path))
        if isinstance(node, ast.Raise) and _says_nothing_specific(node.exc)
    ]
    assert not wrong, f"raise a class of ramie.errors, or say what was found: {wrong}"
