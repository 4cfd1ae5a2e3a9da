"""What benchmarks report, and when they fail."""

import json
import unittest

import numpy as np
import pytest
from absl import flags

from ramie.metrics.tensorboard import SummaryWriter
from ramie.testing import Benchmark


class Digits(Benchmark):
    __test__ = False  # pytest: the tests below run it

    def test_good(self):
        self.report_wall_time(1.5)
        self.report_metric("accuracy", 0.75)
        self.report_metrics({"loss": 2.0})
        self.report_extra("model", "mlp")
        self.assertGreater(0.75, 0.5)

    def test_bad(self):
        assert not self.has_outstanding_fails()
        self.assertGreater(0.25, 0.5, "accuracy")
        self.assertEqual(1, 2)
        assert self.has_outstanding_fails()
        self.report_extras({"reached": "the end"})

    def test_silent(self):
        pass

    def test_raises(self):
        self.report_wall_time(1)
        with self.assertRaises(ValueError):
            pass


@pytest.fixture
def folder(tmp_path):
    flag = flags.FLAGS["benchmark_output_dir"]
    flag.value = str(tmp_path)
    yield tmp_path
    flag.value = None


def run(name):
    result = unittest.TestResult()
    Digits(name).run(result)
    return [text.splitlines()[-1] for _, text in (*result.errors, *result.failures)]


def report(folder, name):
    return json.loads((folder / f"Digits.{name}.json").read_text())


def test_the_report_of_a_test_that_passes(folder):
    assert run("test_good") == []
    assert report(folder, "test_good") == {
        "name": "Digits.test_good",
        "succeeded": True,
        "metrics": {"accuracy": 0.75, "loss": 2.0},
        "extras": {"model": "mlp"},
        "wall_time": 1.5,
    }


def test_assertions_fail_after_the_report(folder):
    (failure,) = run("test_bad")
    assert "accuracy" in failure
    written = report(folder, "test_bad")
    assert not written["succeeded"]
    assert written["extras"]["reached"] == "the end"
    assert len(written["extras"]["failed_assertions"].splitlines()) == 2


def test_a_report_belongs_to_every_benchmark(folder):
    (failure,) = run("test_silent")
    assert "nothing to report" in failure


def test_an_expected_error_is_not_deferred(folder):
    assert run("test_raises") == ["AssertionError: ValueError not raised"]


def test_folders_for_models(folder):
    assert Digits("test_good").get_tmp_model_dir() == str(folder / "Digits.test_good")
    assert (folder / "Digits.test_good").is_dir()


def test_scalars_are_read_back(tmp_path):
    pytest.importorskip("tensorboardX")
    with SummaryWriter(tmp_path) as writer:
        writer.scalar("loss", 2, 1)
        writer.scalar("loss", 1.5, 2)
        writer.text("note", "not a number", 1)
        writer.histogram("weights", np.arange(3), 1)
    with SummaryWriter(tmp_path / "below") as writer:
        writer.scalar("other", 1, 1)
    (tmp_path / "notes.txt").touch()
    found = Digits("test_good").read_summaries(str(tmp_path))
    assert {tag: [point[1:] for point in points] for tag, points in found.items()} == {
        "loss": [(1, 2.0), (2, 1.5)]
    }
