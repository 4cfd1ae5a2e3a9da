"""Which frames a traceback shows."""

import subprocess
import sys
import traceback
from pathlib import Path

import jax
import pytest

import ramie
from ramie import traceback_util

PACKAGE = str(Path(ramie.__file__).parent)


@pytest.fixture(autouse=True)
def as_at_the_start():
    yield
    traceback_util.hide_flax_in_tracebacks()


@pytest.fixture
def tree_with_frames():
    """An error that passed through files of the core, caught outside of an API boundary."""
    from ramie.core.tracing.abstract import evaluate_known

    def fail(x):
        raise RuntimeError("here")

    @traceback_util.api_boundary
    def entry():
        return evaluate_known(fail, (1.0,), {})

    def frames():
        mode = jax.config.jax_traceback_filtering
        jax.config.update("jax_traceback_filtering", "quiet_remove_frames")
        try:
            entry()
        except RuntimeError as error:
            return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        finally:
            jax.config.update("jax_traceback_filtering", mode)

    return frames


def test_frames_of_the_machinery_are_hidden_and_shown(tree_with_frames):
    traceback_util.hide_flax_in_tracebacks()
    hidden = tree_with_frames()
    assert not [name for name in hidden if name.startswith(PACKAGE)]
    assert __file__ in hidden
    traceback_util.show_flax_in_tracebacks()
    shown = tree_with_frames()
    assert [name for name in shown if name.startswith(PACKAGE)]
    traceback_util.hide_flax_in_tracebacks()
    assert tree_with_frames() == hidden


def test_files_can_be_added_at_any_time(tree_with_frames):
    exclusions = set(traceback_util._flax_exclusions)
    try:
        traceback_util.register_exclusion(__file__)
        assert __file__ not in tree_with_frames()[:-1]
    finally:
        traceback_util.show_flax_in_tracebacks()
        traceback_util._flax_exclusions.clear()
        traceback_util._flax_exclusions.update(exclusions)


def test_hiding_twice_is_hiding_once():
    from jax._src import traceback_util as of_jax

    traceback_util.show_flax_in_tracebacks()
    before = len(of_jax._exclude_paths)
    traceback_util.hide_flax_in_tracebacks()
    traceback_util.hide_flax_in_tracebacks()
    assert len(of_jax._exclude_paths) - before == len(traceback_util._flax_exclusions)
    traceback_util.show_flax_in_tracebacks()
    traceback_util.show_flax_in_tracebacks()
    assert len(of_jax._exclude_paths) == before


def test_a_boundary_keeps_results_names_and_errors():
    @traceback_util.api_boundary
    def f(x, *, y=1):
        """Add."""
        return x + y

    assert (f(1, y=2), f.__name__, f.__doc__) == (3, "f", "Add.")
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(1, z=2)


def test_layers_stay_visible():
    assert not any("layers" in path or "/ops" in path for path in traceback_util._flax_exclusions)


@pytest.mark.parametrize(("flag", "expected"), [("0", "False"), ("1", "True")])
def test_the_flag_decides_at_the_start(flag, expected):
    code = "from ramie import traceback_util; print(traceback_util._hidden)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"RAMIE_FILTER_FRAMES": flag, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == expected
