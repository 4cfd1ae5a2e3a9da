"""`make PYTHON=...` finds a Python that really starts; `make matrix` says what could not run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = "/usr/bin:/bin"  # where sh, tr and printf are
NAME = "python3.39"  # of no Python that anybody has


def _program(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / NAME
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def find(tmp_path):
    def run(*arguments, path=()):
        return subprocess.run(
            [ROOT / ".ci" / "find-python", *arguments],
            env={"PATH": ":".join([*map(str, path), SHELL]), "HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def _real(folder):
    return _program(folder, f'exec "{sys.executable}" "$@"')


def test_a_shim_that_starts_nothing_is_passed_over(find, tmp_path):
    shim = _program(tmp_path / "shims", "echo no version is chosen >&2; exit 127")
    hidden = tmp_path / "home" / ".pyenv" / "versions" / "3.39.0" / "bin"
    result = find(NAME, path=[shim.parent])
    assert result.returncode == 1
    assert str(shim) in result.stderr and "make PYTHON=" in result.stderr
    assert result.stderr.count("\n") == 1
    real = _real(hidden)
    for wanted in (NAME, "3.39"):
        result = find(wanted, path=[shim.parent])
        assert (result.stdout.strip(), result.returncode) == (str(real), 0)
    _program(hidden, "exit 0")  # of whatever version is asked for
    assert find("newest", path=[shim.parent]).stdout.strip() == str(real)


def test_one_on_the_path_comes_first_and_a_path_is_taken_as_it_is(find, tmp_path):
    first, second = _real(tmp_path / "a"), _real(tmp_path / "b")
    assert find(NAME, path=[first.parent, second.parent]).stdout.strip() == str(first)
    assert find(str(second), path=[first.parent]).stdout.strip() == str(second)


def test_a_python_that_is_too_old_or_makes_no_environments_is_refused(find, tmp_path):
    for code in ("sys.version_info = (3, 10)", "sys.modules['ensurepip'] = None"):
        program = _program(
            tmp_path / "bin",
            f'exec "{sys.executable}" -c "import sys; {code}; exec(sys.argv[1])" "$2"',
        )
        result = find(NAME, path=[program.parent])
        assert result.returncode == 1 and "venv" in result.stderr


def _make(*arguments):
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", "--dry-run", "--always-make", *arguments],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if name != "PYTHON"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_environments_do_not_overwrite_each_other():
    version = "{}.{}".format(*sys.version_info)
    named, plain = _make(f"PYTHON={sys.executable}", "test"), _make("test")
    assert f" .venv-{version}\n" in named.stdout and f".venv-{version}-peers" in named.stdout
    assert " .venv\n" in plain.stdout and " .venv-peers/" in plain.stdout
    assert f".venv-{version}" not in plain.stdout


def test_a_path_may_hold_spaces(tmp_path):
    program = _real(tmp_path / "a b")
    made = _make(f"PYTHON={program}", "test")
    assert f"'{program}' -m venv --clear .venv-{'{}.{}'.format(*sys.version_info)}" in made.stdout


@pytest.fixture
def matrix(tmp_path):
    """Run the matrix with a `find-python` and a `make` of the test's own."""

    def run(find, make):
        for name, text in (("find-python", find), ("make", make)):
            program = _program(tmp_path / ".ci", text)
            program.rename(program.with_name(name))
        shutil.copy(ROOT / ".ci" / "matrix", tmp_path / ".ci")
        return subprocess.run(
            [tmp_path / ".ci" / "matrix"],
            env={"PATH": f"{tmp_path / '.ci'}:{SHELL}"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_leg_without_its_python_is_named(matrix):
    found = (
        f'[ "$1" = newest ] || {{ echo "{sys.executable}"; exit 0; }}; echo none such >&2; exit 1'
    )
    result = matrix(found, 'echo "$@"; echo "12 passed, 3 skipped in 4.56s (0:00:04)"')
    *_, first, numbers, more, second = result.stdout.splitlines()
    assert result.returncode == 0
    assert first.startswith("leg A") and "passed in" in first
    assert numbers == more == "  12 passed, 3 skipped in 4.56s (0:00:04)"
    assert second.startswith("leg B") and second.endswith("NOT RUN, none such")
    assert f"PYTHON={sys.executable} test" in result.stdout
    assert f"PYTHON={sys.executable} more" in result.stdout


def test_a_leg_that_fails_fails_the_matrix(matrix):
    result = matrix(f'echo "{sys.executable}"', 'echo "1 failed, 2 passed in 3.0s"; exit 2')
    assert result.returncode == 1
    assert result.stdout.count("FAILED") == 2  # the other leg has run all the same
