"""Published packages that are built on Flax run on Ramie, unchanged, with the same numbers."""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.tolerance import assert_close

pytest.importorskip("flax")

HERE = Path(__file__).parent


@functools.cache
def output(program, *before):
    result = subprocess.run(
        [sys.executable, *before, str(HERE / program)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        # A choice of these tests, which the packages do not make.
        env={**os.environ, "JAX_NUMPY_RANK_PROMOTION": "allow"},
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    return found.pop("library"), found


def compare(ours, theirs, place=""):
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), place
        for name in theirs:
            compare(ours[name], theirs[name], f"{place}/{name}")
    elif isinstance(theirs, list) and any(isinstance(x, str | dict | list) for x in theirs):
        assert len(ours) == len(theirs), place
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            compare(mine, other, f"{place}/{number}")
    elif isinstance(theirs, str | bool):
        assert ours == theirs, place
    else:
        assert_close(np.float32(ours), np.float32(theirs), "model")


@pytest.mark.parametrize(
    "program, package",
    [
        ("adapter_program.py", None),
        ("qwix_program.py", "qwix"),
        ("numpyro_program.py", "numpyro"),
        ("keras_program.py", "keras"),
        ("treescope_program.py", "treescope"),
        ("onnx_program.py", "jax2onnx"),
    ],
)
def test_a_package_computes_the_same_on_both(program, package):
    if package is not None and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    library, theirs = output(program)
    assert library == "flax"
    library, ours = output(program, "-m", "ramie.compat")
    assert library == "ramie"
    compare(ours, theirs)


def test_quantisation_and_adapters_are_no_empty_words():
    """The programs above would also agree if neither library noticed anything."""
    _, found = output("adapter_program.py", "-m", "ramie.compat")
    assert found["before"] == found["after"]
    for before, quantised in zip(found["before"], found["quantised"], strict=True):
        assert np.abs(np.subtract(before, quantised)).max() > 1e-4
    names = [path for path, _ in found["adapter params"]]
    assert "['params']['Dense_0_a']" in names and "['params']['Dense_0']['kernel']" in names
