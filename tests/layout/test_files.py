"""Names of files and folders, and what they must not contain."""

import ast
import builtins
import re

import pytest
from tests.layout import sources

ALL_FILES = sources.files("src/ramie", "tests", "benchmarks", "examples")
MOST_ENTRIES = 15
UNCOUNTED = ("__init__.py", "__init__.pyi", "__main__.py", "README.md", "py.typed", "__pycache__")
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


def folders():
    """Return the folders of the package, without those that mirror the paths of Flax."""
    found = {path.parent for path in sources.source_files()}
    return sorted(folder for folder in found if sources.PATHS not in [folder, *folder.parents])


@pytest.mark.parametrize("folder", folders(), ids=sources.relative)
def test_a_folder_is_taken_in_at_one_look(folder):
    entries = [path.name for path in folder.iterdir() if path.name not in UNCOUNTED]
    assert len(entries) <= MOST_ENTRIES, "make a room of what belongs together"


MIRROR = sources.ROOT / "tests" / "unit"
# Tests of what several files of a folder do together. All others are named after their file.
SUBJECTS = {
    "checkpoint/formats/test_calls_of_orbax": "Orbax itself on our trees",
    "checkpoint/formats/test_orbax_elsewhere": "directories whose devices are not here",
    "checkpoint/formats/test_orbax_wheel": "the directories that come with Orbax",
    "checkpoint/formats/test_safetensors_oracle": "the package safetensors on the same files",
    "checkpoint/test_empty_trees": "what holds nothing, in every format and command",
    "checkpoint/test_save_restore": "a save, a restore, and what goes wrong between",
    "checkpoint/test_same_result": "one program in every format",
    "cli/test_ckpt_manager": "`ramie ckpt` on folders of a CheckpointManager",
    "cli/test_ckpt_orbax": "`ramie ckpt` on directories of Orbax",
    "cli/plan/test_interrupting": "Ctrl-C while ramie plan works",
    "cli/plan/test_odd_words": "odd words for each argument of ramie plan",
    "cli/test_odd_words": "odd words for each argument of each command",
    "compat/test_documented_paths": "the paths that answer to the name flax",
    "core/lift/test_lift": "all lifted transformations",
    "errors/test_catalogue": "all classes of errors",
    "linen/layers/test_compiled_layers": "the flag that compiles each layer",
    "linen/layers/test_stateless": "layers that keep no statistics",
    "linen/machinery/test_init": "traced init against init that runs",
    "linen/machinery/test_naming": "names and places of submodules",
    "linen/machinery/test_sharing_limits": "what is not shared, and what is never stale",
    "linen/machinery/test_sharing_python": "what shared methods do in Python",
    "linen/scoped/test_layers": "all layers on bare scopes",
    "linen/sharding/test_sharded_init": "init on a mesh",
    "nnx/transforms/arguments/test_made_anew": "branches and loops of lambdas, RNNs outside of jit",
    "nnx/transforms/test_freed": "what calls leave to the garbage collector",
    "nnx/transforms/test_random_donation": "random programs around steps that donate",
    "nnx/objects/test_hooks": "what frameworks on NNX override and reach into",
    "ops/eager/test_replaced_layers": "layers while functions of JAX are replaced",
    "linen/transforms/test_freed": "what calls leave to the garbage collector",
    "linen/transforms/test_user_trees": "classes of users that look at their fields",
    "nnx/layers/test_adaptation": "LoRA and layers that draw",
    "nnx/modules/test_capture": "values from inside: sowing and capturing",
    "nnx/modules/test_sharing_limits": "what is not shared, and what is never stale",
    "nnx/transforms/arguments/test_by_name": "arguments known by number, given by keyword",
    "nnx/transforms/test_staleness": "compiled steps of models that are edited",
    "nnx/transforms/test_user_trees": "classes of users that look at their fields",
    "nnx/variable/test_plain_values": "values that are no variables",
    "nnx/variable/test_variable": "variables: base, operators and hooks",
    "ops/eager/test_compiled_bits": "bits of layers that run as one program",
    "ops/eager/test_unfused_bits": "bits of programs without fusion",
    "serialization/test_small_arrays": "short cuts for many small arrays",
    "training/test_package": "the package as a whole",
}


def _names_in(folder):
    names = (path.stem for path in folder.iterdir() if path.suffix in ("", ".py"))
    return {name.strip("_") for name in names if name != "__init__"}


def test_unit_tests_lie_where_the_file_lies_that_they_test():
    astray = [
        name
        for path in MIRROR.rglob("test_*.py")
        for name in [path.relative_to(MIRROR).with_suffix("").as_posix()]
        for folder in [sources.PACKAGE / path.parent.relative_to(MIRROR)]
        if name not in SUBJECTS
        and not (folder.is_dir() and path.stem.removeprefix("test_") in _names_in(folder))
    ]
    assert not astray, "move or rename them, or say in SUBJECTS what they are about"


def test_subjects_are_of_tests_that_exist_and_have_no_file():
    for name in SUBJECTS:
        folder, _, test = name.rpartition("/")
        assert (MIRROR / f"{name}.py").is_file(), name
        assert test.removeprefix("test_") not in _names_in(sources.PACKAGE / folder), name


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
