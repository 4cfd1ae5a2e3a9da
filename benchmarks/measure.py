"""Timing that holds up on a shared machine: alternation, CPU time, minimum, median and spread."""

import gc
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Run = Callable[[], float]
Name = TypeVar("Name", bound=Hashable)


@dataclass
class Series:
    """What one contender took in each round, and why it has no times if it failed."""

    times: list[float] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Ratio:
    """How much longer one contender took than another, within the same run."""

    of_minima: float
    of_medians: float
    low: float
    high: float


def alternate(contenders: Mapping[Name, Run], rounds: int, warm_up: int = 1) -> dict[Name, Series]:
    """Time contenders in turn, so that a busy moment of the machine meets them all.

    The order rotates from round to round. The garbage collector is off while a contender runs and
    empties its backlog between runs. A contender that raises leaves the race with its message.

    Args:
        contenders: functions that do the work once and return the seconds it took.
        rounds: how often each one runs.
        warm_up: rounds before that which do not count.
    """
    series = {name: Series() for name in contenders}
    names = list(contenders)
    for index in range(-warm_up, rounds):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            if series[name].failure:
                continue
            gc.collect()
            gc.disable()
            try:
                seconds = contenders[name]()
            except Exception as error:
                series[name].failure = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            finally:
                gc.enable()
            if index >= 0:
                series[name].times.append(seconds)
    return series


def cpu_time(work: Callable[[], object]) -> Run:
    """Make a contender that reports the CPU time of this thread, which is the host's cost."""

    def run() -> float:
        start = time.thread_time()
        work()
        return time.thread_time() - start

    return run


def ratio(of: Series, to: Series) -> Ratio | None:
    """Compare two contenders; the spread is the middle half of the rounds' own ratios."""
    if of.failure or to.failure:
        return None
    rounds = sorted(a / b for a, b in zip(of.times, to.times, strict=True))
    low, high = rounds[0], rounds[-1]
    if len(rounds) >= 4:
        low, _, high = statistics.quantiles(rounds, n=4, method="inclusive")
    return Ratio(
        min(of.times) / min(to.times),
        statistics.median(of.times) / statistics.median(to.times),
        low,
        high,
    )
