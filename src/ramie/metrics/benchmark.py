"""Test cases that measure: what they report is written as JSON, whether they pass or not."""

import functools
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags, logging
from absl.testing import absltest

from ramie.foundation import io as io
from ramie.metrics import event_file

__all__ = ["Benchmark"]

_FLAG = "benchmark_output_dir"

if _FLAG not in flags.FLAGS:
    flags.DEFINE_string(_FLAG, None, "Where benchmarks write their reports and models.")


def _output_dir() -> str | None:
    return flags.FLAGS[_FLAG].value


class Benchmark(absltest.TestCase):
    """A test case whose tests report measurements.

    A failing ``self.assert...`` does not end the test: it is noted, the test goes on to report, and
    fails at its end. So targets can be checked by assertions and the measurements are still there.

    After each test a report is logged and, if the flag ``--benchmark_output_dir`` is given, written
    there as ``Class.test.json``, with the entries ``name``, ``succeeded``, ``metrics``, ``extras``
    and, if reported, ``wall_time``.

    Example:
      >>> import unittest
      >>> from ramie.testing import Benchmark
      >>> class Digits(Benchmark):
      ...     def test_accuracy(self):
      ...         self.report_metric("accuracy", 0.5)
      ...         self.assertGreater(0.5, 0.9)
      >>> result = unittest.TestResult()
      >>> _ = Digits("test_accuracy").run(result)
      >>> len(result.failures)
      1
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._failures: list[AssertionError] = []
        self._wall_time: float | None = None
        self._metrics: dict[str, float] = {}
        self._extras: dict[str, Any] = {}
        self._has_reported = False
        for name in dir(type(self)):
            if name.startswith("assert") and not name.startswith(("assertRaises", "assertWarns")):
                setattr(self, name, self._deferred(getattr(self, name)))

    def _deferred(self, check: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(check)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return check(*args, **kwargs)
            except AssertionError as failure:
                self._failures.append(failure)
                return None

        return checked

    def tearDown(self) -> None:
        """Write the report and fail if an assertion has. An override must call this method.

        Raises:
          ValueError: if the test has reported nothing.
        """
        super().tearDown()
        if not self._has_reported:
            raise ValueError(
                f"The benchmark {self._name} has nothing to report. Call one of the "
                "`self.report_*` methods in it."
            )
        self._write_report()
        if self._failures:
            raise self._failures[0]

    @property
    def _name(self) -> str:
        return f"{type(self).__name__}.{self._testMethodName}"

    def _write_report(self) -> None:
        extras = dict(self._extras)
        if self._failures:
            extras["failed_assertions"] = "\n".join(str(failure) for failure in self._failures)
        report = {
            "name": self._name,
            "succeeded": not self._failures,
            "metrics": self._metrics,
            "extras": extras,
        }
        if self._wall_time is not None:
            report["wall_time"] = self._wall_time
        text = json.dumps(report)
        logging.info(text)
        folder = _output_dir()
        if folder is not None:
            io.makedirs(folder)
            with io.GFile(os.path.join(folder, f"{self._name}.json"), "w") as file:
                file.write(text)

    def has_outstanding_fails(self) -> bool:
        """Tell whether an assertion has failed in this test so far."""
        return bool(self._failures)

    def get_tmp_model_dir(self) -> str:
        """Return a folder for this test's model, below the output folder if there is one."""
        parent = _output_dir() or tempfile.mkdtemp()
        folder = os.path.join(parent, self._name)
        io.makedirs(folder)
        return folder

    def read_summaries(self, path: str) -> dict[str, list[tuple[float, int, float]]]:
        """Read the scalars in the event files of a folder.

        Args:
          path: the folder; folders below it are left out.

        Returns:
          By tag, the triples of time (seconds since 1970), step and value, as they were written.

        Raises:
          MissingExtraError: if no package for event files is installed.
        """
        found: dict[str, list[tuple[float, int, float]]] = {}
        for name in sorted(io.listdir(path)):
            if "tfevents" not in name:
                continue
            for event in event_file.read(os.path.join(path, name)):
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == "scalars":
                        number = event_file.as_array(value.tensor).item()
                        point = (event.wall_time, event.step, number)
                        found.setdefault(value.tag, []).append(point)
        return found

    def report_wall_time(self, wall_time: float) -> None:
        """Report how long the test took, in seconds."""
        self._has_reported = True
        self._wall_time = wall_time

    def report_metric(self, name: str, value: float) -> None:
        """Report a measurement under a name."""
        self.report_metrics({name: value})

    def report_metrics(self, metrics: Mapping[str, float]) -> None:
        """Report measurements by name."""
        self._has_reported = True
        self._metrics.update(metrics)

    def report_extra(self, name: str, value: str) -> None:
        """Report a remark under a name."""
        self.report_extras({name: value})

    def report_extras(self, extras: Mapping[str, str]) -> None:
        """Report remarks by name."""
        self._has_reported = True
        self._extras.update(extras)
