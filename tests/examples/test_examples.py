"""Each program in `examples/` runs to its end in an empty folder."""

import pytest
from tests.examples import fences

PROGRAMS = sorted((fences.ROOT / "examples").glob("*.py"))


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
