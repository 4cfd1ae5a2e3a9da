"""The tally of a run: how often a fault was injected, and what came of it.

`make faults` prints it at its end, so that whoever quotes numbers quotes one run. Every test of
this folder that injects faults does so under `fault`; what fails there is counted, and still fails.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LOST, WRONG, UNDOCUMENTED = "lost", "silently wrong", "undocumented errors"
OUTCOMES = (LOST, WRONG, UNDOCUMENTED)

_injected: Counter[str] = Counter()
_outcomes: Counter[tuple[str, str]] = Counter()


class Undocumented(AssertionError):
    """Something else was raised than the errors that the documentation names."""


@contextmanager
def fault(kind: str, wrong: str = WRONG, times: int = 1) -> Iterator[None]:
    """Count a fault that is injected inside, and what came of it.

    Args:
      kind: what it is, in the plural.
      wrong: what it means when a check inside fails.
      times: how many faults these are.
    """
    _injected[kind] += times
    try:
        yield
    except BaseException as error:
        # A check of pytest that does not hold is no Exception. What cannot be read at all is lost.
        is_check = isinstance(error, AssertionError) or not isinstance(error, Exception)
        is_named = is_check or wrong == LOST
        found = UNDOCUMENTED if isinstance(error, Undocumented) or not is_named else wrong
        _outcomes[kind, found] += 1
        raise


def page() -> dict[str, Any]:
    """Return the counts as plain values, which one process can send to another."""
    return {"injected": dict(_injected), "outcomes": [[*key, n] for key, n in _outcomes.items()]}


def add(other: dict[str, Any]) -> None:
    """Add the counts of another process, as `page` returned them."""
    _injected.update(other["injected"])
    for kind, outcome, count in other["outcomes"]:
        _outcomes[kind, outcome] += count


def lines() -> list[str]:
    """Return the table: a line for each kind of fault, and one for all."""
    rows = [("faults", "injected", *OUTCOMES)]
    for kind, count in sorted(_injected.items()):
        rows.append((kind, str(count), *(str(_outcomes[kind, outcome]) for outcome in OUTCOMES)))
    sums = [sum(n for (_, found), n in _outcomes.items() if found == each) for each in OUTCOMES]
    rows.append(("all", str(_injected.total()), *map(str, sums)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
