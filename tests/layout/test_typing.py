"""What type checkers see of a wheel: doors, and the paths of Flax that the build copies."""

import importlib.util
import re
import shutil
import subprocess
import sys
import types

import pytest
from tests.layout import sources

MODULES = [path for path in sources.PATHS.rglob("*.py") if path.name != "__init__.py"]

GOOD = """
import ramie.linen.normalization
import ramie.nnx.nn.linear
from ramie import linen as nn
from ramie import nnx, struct
from ramie.core.nn import dense
from ramie.linen.normalization import BatchNorm
from ramie.nnx.transforms.transforms import eval_shape
from ramie.struct import dataclass
from ramie.testing import Benchmark
from ramie.traverse_util import flatten_dict


class Net(nn.Module):
    width: int = 3


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(2, 3, rngs=rngs)


@dataclass
class Pair:
    a: int


@struct.dataclass
class Other:
    b: int


reveal_type(nn.Dense(3))
reveal_type(nn.Dense(3).features)
reveal_type(BatchNorm())
reveal_type(Net(width=4).width)
reveal_type(Model(nnx.Rngs(0)).linear)
reveal_type(Pair(1).a)
reveal_type(Other(1).b)
reveal_type(ramie.linen.normalization.LayerNorm())
reveal_type(nn.linear.Dense(3))
reveal_type(flatten_dict({}))
"""
REVEALED = [
    "ramie.linen.layers.linear.Dense",
    "int",
    "ramie.linen.layers.norm.BatchNorm",
    "int",
    "ramie.nnx.layers.linear.Linear",
    "int",
    "int",
    "ramie.linen.layers.norm.LayerNorm",
    "ramie.linen.layers.linear.Dense",
    "dict[tuple[Any, ...], Any]",
]

BAD = """
from ramie import linen as nn, nnx
from ramie.linen.normalization import BatchNom
from ramie.struct import dataclass
@dataclass
class Pair:
    a: int
nn.Dense(3, use_bais=True)
nnx.Linear(2, "3", rngs=nnx.Rngs(0))
nn.Dens
Pair("x")
nn.vmap(variables=1)
"""
WRONG_LINES = [3, 8, 9, 10, 11, 12]


@pytest.fixture(scope="module")
def build():
    """Return the functions of setup.py, which needs no setuptools for them."""
    spec = importlib.util.spec_from_file_location("setup_of_ramie", sources.ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    stand_ins = {
        "setuptools": types.SimpleNamespace(setup=lambda **_: None),
        "setuptools.command": types.SimpleNamespace(),
        "setuptools.command.build_py": types.SimpleNamespace(build_py=object),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in stand_ins.items():
            patch.setitem(sys.modules, name, stand_in)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(build, tmp_path_factory):
    """Return a folder that holds what a wheel holds."""
    package = tmp_path_factory.mktemp("wheel") / "ramie"
    shutil.copytree(sources.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in list(build.copies(package)):
        assert not target.exists()
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
    return package.parent


@pytest.mark.parametrize("path", MODULES, ids=sources.relative)
def test_a_path_has_a_file_where_a_type_checker_looks(path, built):
    copy = built / "ramie" / path.relative_to(sources.PATHS)
    assert copy.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")
    assert all((p / "__init__.py").exists() for p in copy.parents if built in p.parents)


def test_no_room_is_overwritten(built):
    for path in sources.source_files():
        copy = built / "ramie" / path.relative_to(sources.PACKAGE)
        assert copy.read_bytes() == path.read_bytes()


def test_paths_of_a_wheel_are_imported(built):
    names = [sources.module_name(path) for path in MODULES]
    program = f"""
import importlib, sys
sys.path.insert(0, {str(built)!r})
for name in {names}:
    module = importlib.import_module(name)
    assert module.__file__.startswith({str(built)!r}), module
    assert "compat/paths" not in module.__file__, module
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def mypy(built, tmp_path_factory):
    """Return a function that runs mypy on a program that uses the wheel."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("program")

    def run(program):
        (folder / "program.py").write_text(program)
        command = [sys.executable, "-m", "mypy", "--cache-dir", "cache", "program.py"]
        result = subprocess.run(
            [*command, "--follow-imports=silent", "--ignore-missing-imports"],
            cwd=folder,
            env={"MYPYPATH": str(built), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert not result.stderr, result.stderr
        return result.stdout

    return run


def test_types_of_names_are_known(mypy):
    text = mypy(GOOD)
    assert "error" not in text, text
    assert re.findall('Revealed type is "(.*)"', text) == REVEALED


def test_mistakes_are_seen(mypy):
    lines = {int(line) for line in re.findall(r"program.py:(\d+): error", mypy(BAD))}
    assert sorted(lines) == WRONG_LINES
