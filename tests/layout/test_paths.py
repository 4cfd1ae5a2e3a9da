"""Files that answer to paths of Flax: each is needed, and none does more than gather names."""

import ast

import pytest
from tests.layout import sources
from tests.unit.compat.documented import DOCUMENTED

FILES = [path for path in sources.source_files() if sources.PATHS in path.parents]
MODULES = [path for path in FILES if path.name != "__init__.py"]
# Flax has these, too, but neither its documentation nor other packages name them.
UNDOCUMENTED = {
    "ramie.nnx.bridge.wrappers",
    "ramie.nnx.deprecations",
    "ramie.nnx.proxy_caller",
}
# Beside what Flax has at a path.
OURS = {"ramie.plan", "ramie.testing.processes"}


@pytest.mark.parametrize("path", MODULES, ids=sources.relative)
def test_a_path_is_one_of_flax(path):
    name = sources.module_name(path)
    assert "flax" + name.removeprefix("ramie") in DOCUMENTED or name in UNDOCUMENTED | OURS


@pytest.mark.parametrize("path", MODULES, ids=sources.relative)
def test_a_path_is_no_room_of_ours(path):
    inside = path.relative_to(sources.PATHS)
    room = sources.PACKAGE / inside
    assert not room.exists() and not room.with_suffix("").is_dir(), "the room answers already"


@pytest.mark.parametrize("path", sorted(set(FILES) - set(MODULES)), ids=sources.relative)
def test_a_folder_of_paths_is_a_package(path):
    """Its `__init__` says something only where no room of that name does."""
    room = sources.PACKAGE / path.relative_to(sources.PATHS)
    statements = sources.parse(path).body[1:]
    assert room.is_file() != bool(statements), path


def _gathers(node: ast.stmt) -> bool:
    """Tell whether a statement imports, lists or renames, and computes nothing."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return all(_gathers(inner) for inner in node.body)
        case ast.FunctionDef(body=[ast.Expr(), ast.Return()]):
            return True  # another name for one call, with its documentation
        case ast.Assign(value=ast.Call(func=called)):
            return ast.unparse(called) in ("doors.door", "functools.partial")
        case ast.Assign(value=ast.Name() | ast.Constant() | ast.List() | ast.Tuple()):
            return True
    return False


@pytest.mark.parametrize("path", FILES, ids=sources.relative)
def test_a_path_holds_no_logic(path):
    doc, *statements = sources.parse(path).body
    assert isinstance(doc, ast.Expr) and isinstance(doc.value, ast.Constant)
    wrong = [
        f"line {node.lineno}: {ast.unparse(node)}" for node in statements if not _gathers(node)
    ]
    assert not wrong, "put it into a room and gather it from there"


@pytest.mark.parametrize("path", FILES, ids=sources.relative)
def test_a_path_is_another_name_wholly_or_lists_what_it_gathers(path):
    text = path.read_text(encoding="utf-8")
    replaces = "sys.modules[__name__] = " in text
    assert path.name == "__init__.py" or replaces != ("__all__" in text)
