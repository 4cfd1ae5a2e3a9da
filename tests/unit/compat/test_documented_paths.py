"""Every module path that Flax documents or that other packages import."""

import json
import subprocess
import sys

import pytest
from tests.unit.compat.documented import DOCUMENTED

# One process imports all of them, first as Ramie's alone, then by the name of Flax.
PROGRAM = """
import importlib, json, sys
import ramie.compat
from ramie.compat.attributes import attributes_of

def lacks(module, names):
    return [name for name in names if not hasattr(module, name)]

documented = {path: names.split() for path, names in json.load(sys.stdin).items()}
wrong = {path: [] for path in documented}
own = {}
for path, names in documented.items():
    try:
        own[path] = importlib.import_module("ramie" + path.removeprefix("flax"))
    except ImportError as error:
        wrong[path].append(str(error))
        continue
    missing = lacks(own[path], [name for name in names if name not in attributes_of(path)])
    wrong[path] += [f"ramie has no {name}" for name in missing]

ramie.compat.install()
for path, names in documented.items():
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        wrong[path].append(str(error))
        continue
    wrong[path] += [f"flax has no {name}" for name in lacks(module, names)]
    if path in ("flax", "flax.version"):  # these tell the versions apart
        continue
    if not (module is own.get(path) is sys.modules[path] is sys.modules[module.__name__]):
        wrong[path].append(f"{module} is another module than {own.get(path)}")
print(json.dumps(wrong))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return what is wrong with each path."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM],
        input=json.dumps(DOCUMENTED),
        cwd=tmp_path_factory.mktemp("paths"),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("path", DOCUMENTED)
def test_path_answers_and_has_its_names(path, answers):
    assert answers[path] == []


# In a process of its own, so that nothing has prepared the way.
@pytest.mark.parametrize(
    "statement",
    [
        "from ramie.linen.normalization import BatchNorm",
        "from ramie.struct import dataclass",
        "import ramie.nnx.nn.linear as m; m.Conv",
        "import ramie.core.nn.attention as m; m.multi_head_dot_product_attention",
        "from ramie.nnx import graphlib; graphlib.GraphDef",
        "from ramie.nnx.transforms.transforms import eval_shape",
        "import ramie.testing.benchmark as m; m.Benchmark",
        "import ramie; ramie.cursor.cursor; ramie.linen.recurrent.LSTMCell",
    ],
)
def test_path_answers_in_a_fresh_process(statement):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", statement],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
