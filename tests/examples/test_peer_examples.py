"""The tool that runs Flax's own examples: what it compares, and what it says when it cannot."""

import importlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tools.peer_examples import __main__ as program
from tools.peer_examples import cells, child, comparison, held, notebooks, own_tests, record

from ramie import nnx


@pytest.fixture
def noted(tmp_path):
    def through_a_file(*steps, params):
        kept = record.Record()
        for step in steps:
            kept.step(step)
        kept.parameters(params)
        kept.save(tmp_path / "kept.npz")
        return record.load(tmp_path / "kept.npz")

    return through_a_file


def test_records_are_compared_number_by_number(noted):
    params = {"Dense_0": {"kernel": jnp.arange(3.0)}, "key": jax.random.key(0)}
    one = noted({"loss": 1.0}, {"loss": 2.0, "text": np.array("a b")}, params=params)
    assert comparison.count(one, "step/") == 2
    assert comparison.largest(one, one, "step/") == comparison.largest(one, one, "params/") == 0
    other = noted({"loss": 1.0}, {"loss": 2.5, "text": np.array("a b")}, params=params)
    assert comparison.largest(one, other, "step/") == 0.5
    assert comparison.largest(one, other, "params/") == 0
    assert comparison.largest(one, one, "nothing/") is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"loss": np.float32(1), "more": np.float32(0)}, id="one more"),
        pytest.param({"loss": np.float64(1)}, id="another type"),
        pytest.param({"loss": np.ones(1, np.float32)}, id="another shape"),
        pytest.param({"loss": np.float32(np.nan)}, id="NaN"),
        pytest.param({"loss": np.array("1.0")}, id="text"),
    ],
)
def test_what_cannot_be_subtracted_is_infinitely_far_apart(noted, other):
    one = noted({"loss": np.float32(1)}, params={})
    assert comparison.largest(one, noted(other, params={}), "step/") == np.inf


def test_records_that_are_not_finite_are_known(noted):
    assert comparison.finite(noted({"loss": 1.0, "count": 3}, params={}))
    assert not comparison.finite(noted({"loss": np.nan}, params={}))


def test_calls_are_noted_and_functions_put_back(monkeypatch):
    class Example:
        @staticmethod
        def step(x):
            return x + 1

    seen = []
    with record.calls(Example, "step", lambda result, args: seen.append((result, *args))):
        assert Example.step(1) == 2
    assert Example.step(3) == 4
    assert seen == [(2, 1)]


def test_calls_of_compiled_functions_are_noted():
    def train_step(x):
        return x * 2

    seen = []
    original = jax.jit
    with record.compiled_calls("jit", "train_step", lambda result, _: seen.append(int(result))):
        jax.jit(train_step)(3)
        jax.jit(lambda x: x)(5)
    assert seen == [6]
    assert jax.jit is original


def test_packages_that_are_not_there_are_named():
    assert child.missing(["json", "no_such_package", "no_such.part"]) == [
        "no_such_package",
        "no_such.part",
    ]


@pytest.mark.parametrize("name", program.NAMES)
def test_drivers_say_what_they_run(name):
    stem = name.partition("/")[0]
    driver = importlib.import_module(f"tools.peer_examples.drivers.{stem}")
    assert driver.FOLDER
    assert driver.WHAT
    assert isinstance(driver.NEEDS, tuple)
    assert callable(driver.run)


def _refusal(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["peer_examples", *map(str, arguments)])
    with pytest.raises(SystemExit):
        program.main()
    return capsys.readouterr().err.splitlines()[-1]


def test_what_is_wrong_with_the_command_is_one_line(monkeypatch, capsys, tmp_path):
    here = ["--flax", sys.executable, "--ramie", sys.executable]
    told = _refusal(monkeypatch, capsys, "--source", tmp_path, *here)
    assert "no folder 'examples' there" in told
    (tmp_path / "examples").mkdir()
    told = _refusal(monkeypatch, capsys, "--source", tmp_path, *here, "tetris")
    assert "no example tetris; there are" in told
    told = _refusal(monkeypatch, capsys, "--source", tmp_path, *here, "--tests", "tetris")
    assert "no example tetris" in told
    told = _refusal(
        monkeypatch, capsys, "--source", tmp_path, "--flax", "no/python", *here[2:], "vae"
    )
    assert "no program 'no/python'" in told


def test_a_report_without_a_package_becomes_a_row(tmp_path):
    row = program._row("vae", {"missing": ["tensorflow"]}, {}, tmp_path)
    assert row == ["vae", *"-----", "Flax: not installed: tensorflow"]


def test_errors_of_both_are_one_and_of_one_are_told_apart(tmp_path):
    same = program._row("vae", {"error": "E: x"}, {"error": "E: x"}, tmp_path)
    assert same[-1] == "both: E: x"
    apart = program._row("vae", {"what": "all"}, {"error": "E: x"}, tmp_path)
    assert apart[-1] == "Flax: None; Ramie: E: x"


def test_outcomes_of_their_tests_are_counted(tmp_path):
    (tmp_path / "examples" / "one").mkdir(parents=True)
    file = tmp_path / "examples" / "one" / "a_test.py"
    file.write_text("def test_yes(): pass\ndef test_no(): assert 1 == 2\n", encoding="utf-8")
    assert own_tests.folders(tmp_path) == ["one"]
    outcomes = own_tests._outcomes(sys.executable, [], file)
    assert outcomes["test_yes"] == "passed"
    assert outcomes["test_no"].startswith("failed: assert 1 == 2")
    assert own_tests._counts(outcomes) == "1 failed, 1 passed"


def _notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    held = [{"cell_type": "code", "source": [cell]} for cell in cells]
    text = json.dumps({"cells": [{"cell_type": "markdown", "source": ["# A"]}, *held]})
    path.write_text(text, encoding="utf-8")


def test_cells_run_in_order_and_print_their_last_expression(tmp_path):
    path = tmp_path / "docs" / "a.ipynb"
    _notebook(path, "!pip install flax\nif True:\n    %time\nx = 1.5", "x + 1", "nothing", "1 +")
    names = {}
    done = [cells.execute(source, names) for source in cells.sources(path)]
    assert [cell["printed"] for cell in done] == ["", "2.5\n", "", ""]
    kinds = [cell["error"] and cell["error"].partition(":")[0] for cell in done]
    assert kinds == [None, None, "NameError", "SyntaxError"]
    assert list(notebooks.found(tmp_path)) == ["docs/a"]


def test_cells_that_end_in_another_way_or_print_other_numbers_are_told():
    def cell(printed, error=None):
        return {"printed": printed, "error": error}

    one = [cell("loss 1.5 at 0x7f, 3.4 KB"), cell("2.0"), cell("", "KeyError: a"), cell("")]
    other = [cell("Loss: 1.5 at 0x8e"), cell("2.5"), cell("", "KeyError: other words")]
    assert notebooks.differences(one[:3], other) == ["cell 1: other numbers"]
    assert notebooks.differences(one, other)[1:] == ["stopped after 4 / 3 cells"]
    assert notebooks.differences(one[1:2], [cell("", "TypeError: b")]) == [
        "cell 0: runs / TypeError: b"
    ]


def test_what_scripts_hold_is_summed_without_keys(monkeypatch):
    for path in ("", ".nnx", ".training", ".training.train_state"):
        monkeypatch.setitem(sys.modules, f"flax{path}", importlib.import_module(f"ramie{path}"))
    rngs = nnx.Rngs(0)
    names = {
        "os": json,
        "params": {1: jnp.ones(2), "a": (np.array([-2.0]),)},
        "key": jax.random.key(3),
        "options": {"size": 3},
        "x": np.arange(3),
        "model": nnx.Sequential(nnx.Linear(1, 1, kernel_init=nnx.initializers.ones, rngs=rngs)),
    }
    assert sorted(held.held(names)) == ["key", "model", "params", "x"]
    assert held.total(names) == 8.0
