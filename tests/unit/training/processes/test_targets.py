"""Which functions another process finds, and what is said of the others."""

import functools
import math
import os
import subprocess
import sys
import textwrap

import pytest

from ramie.errors import ProcessFailedError, ProcessTargetError
from ramie.testing import processes
from ramie.training.processes.targets import Target, find, load, pickled


class Holder:
    """Something with functions in it."""

    @staticmethod
    def inside():
        """Return a number."""
        return 4


def wrapped():
    """Return a number."""
    return 5


original, wrapped = wrapped, functools.wraps(wrapped)(lambda: 6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (math.sqrt, Target("math", "sqrt")),
        (Holder.inside, Target(__name__, "Holder.inside")),
        ("a.b:c.d", Target("a.b", "c.d")),
        (os.path.join, Target("posixpath", "join")),
    ],
)
def test_functions_are_found_by_name(function, expected):
    assert find(function) == expected


@pytest.mark.parametrize("function", [math.sqrt, Holder.inside, os.path.join])
def test_what_was_found_is_loaded(function):
    assert load(find(function)) is function


def test_what_has_no_name_of_its_own_is_refused():
    def within():
        return 1

    for function in (lambda: 1, within, functools.partial(math.pow, 2), 7, None):
        with pytest.raises(ProcessTargetError, match="top level of a module"):
            find(function)


def test_a_function_that_its_name_does_not_lead_to_is_refused():
    with pytest.raises(ProcessTargetError, match="is not the function that was given"):
        find(original)


@pytest.mark.parametrize("text", ["", "module", ":name", "module:", ":"])
def test_texts_without_both_parts_are_refused(text):
    with pytest.raises(ProcessTargetError, match="'module:function'"):
        find(text)


def test_modules_and_names_that_are_not_there_are_named():
    with pytest.raises(ProcessTargetError, match="no module 'ramie_lacks_this'"):
        load(Target("ramie_lacks_this.inner", "f"))
    with pytest.raises(ProcessTargetError, match="module math has no function 'nothing'"):
        load(Target("math", "nothing"))
    with pytest.raises(ProcessTargetError, match="module math has no function 'pi'"):
        load(Target("math", "pi"))


def test_a_module_that_fails_itself_says_so(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import ramie_lacks_this\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="ramie_lacks_this"):
        load(Target("needs_more", "f"))


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(ProcessTargetError, match="The thing cannot be pickled"):
        pickled(lambda: 1, "The thing")
    with pytest.raises(ProcessTargetError, match=r"An argument for math:sqrt cannot be pickled"):
        processes.start(math.sqrt, lambda: 1)


def test_a_missing_function_ends_with_its_name():
    with pytest.raises(ProcessFailedError, match="no module 'ramie_lacks_this'"):
        processes.run("ramie_lacks_this:f", processes=1, timeout=100)


SCRIPT = """
import dataclasses
import sys
from ramie.testing import processes

@dataclasses.dataclass
class Config:
    size: int

def work(config):
    import jax
    return Config(config.size * jax.process_count())

print("once" if __name__ == "__main__" else "again")
if __name__ == "__main__":
    print(processes.run(work, Config(3), processes=1, timeout=100))
"""


@pytest.mark.parametrize("way", ["file", "module"])
def test_functions_and_classes_of_a_script_go_there_and_come_back(way, tmp_path):
    script = tmp_path / "script_of_processes.py"
    script.write_text(textwrap.dedent(SCRIPT))
    command = [str(script)] if way == "file" else ["-m", "script_of_processes"]
    found = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert found.stdout == "once\n[Config(size=3)]\n", found.stderr


def test_a_session_has_no_functions_to_send():
    code = (
        "from ramie.testing import processes\n"
        "def f(): pass\n"
        "try: processes.start(f)\n"
        "except ValueError as error: print(error)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "interactive session" in found.stdout
