"""`python -m ramie.compat` and the pytest plugin."""

import textwrap

SCRIPT = """
import sys
import flax
print(flax.__version__, __name__, sys.argv[1:], sys.path[0])
"""


def test_a_script_runs_as_main_with_its_arguments(run, tmp_path):
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "show.py").write_text(SCRIPT)
    result = run(arguments=["-m", "ramie.compat", "programs/show.py", "-x", "--y", "1"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"0.12.12 __main__ ['-x', '--y', '1'] {folder}"


def test_a_module_runs_as_main_with_its_arguments(run, tmp_path):
    (tmp_path / "show.py").write_text(SCRIPT)
    result = run(arguments=["-m", "ramie.compat", "-m", "show", "-m", "1"])
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"0.12.12 __main__ ['-m', '1'] {tmp_path}"


def test_the_exit_status_of_the_program_is_kept(run, tmp_path):
    (tmp_path / "leave.py").write_text("raise SystemExit(7)")
    assert run(arguments=["-m", "ramie.compat", "leave.py"]).returncode == 7


def test_nonsense_is_answered_with_the_usage(run):
    for arguments in ([], ["-m"], ["--no-such-option"]):
        result = run(arguments=["-m", "ramie.compat", *arguments])
        assert result.returncode == 2 and "usage:" in result.stderr
    result = run(arguments=["-m", "ramie.compat", "absent.py"])
    assert result.returncode == 2 and "absent.py" in result.stderr
    result = run(arguments=["-m", "ramie.compat", "--help"])
    assert result.returncode == 0 and "usage:" in result.stdout


def test_the_pytest_plugin_acts_before_tests_are_imported(run, tmp_path):
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent(
            """
            import flax
            def test_it():
                assert flax.errors.__name__ == "ramie.errors"
            """
        )
    )
    options = ["-q", "-p", "no:cacheprovider", "-p", "ramie.compat.pytest_plugin"]
    result = run(arguments=["-m", "pytest", *options, "test_it.py"])
    assert result.returncode == 0, result.stdout + result.stderr
