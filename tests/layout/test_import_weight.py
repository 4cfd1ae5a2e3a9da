"""What `sys.modules` holds after importing each module, in a process where nothing else ran."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from tests.layout import sources
from tests.layout.test_import_rules import HEAVY

# One process imports everything: whichever module brings a heavy package first is named.
SURVEY = """
import importlib, json, sys
heavy, names = json.loads(sys.stdin.read())
loaded = {}
for name in names:
    before = set(sys.modules)
    importlib.import_module(name)
    found = sorted(set(heavy) & (set(sys.modules) - before))
    if found:
        loaded[name] = found
print(json.dumps(loaded))
"""


def _python(source, tmp_path, text=""):
    # Stand-ins, so that an import of a package that happens not to be installed is seen as well.
    for name in HEAVY:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)],
        input=text,
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )


def test_no_module_loads_a_heavy_package(tmp_path):
    names = [name for name in sources.modules() if not name.endswith("__main__")]
    names.remove("ramie.compat.pytest_plugin")  # its import is meant to change the process
    result = _python(SURVEY, tmp_path, json.dumps([sorted(HEAVY), names]))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {}


@pytest.mark.parametrize("name", ["ramie", "ramie.compat", "ramie.foundation.version"])
def test_the_root_does_not_even_load_jax(name, tmp_path):
    result = _python(
        f"import sys, {name}\nprint([m for m in ('jax', 'numpy') if m in sys.modules])", tmp_path
    )
    assert result.stdout.strip() == "[]", result.stderr
