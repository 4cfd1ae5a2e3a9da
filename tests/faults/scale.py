"""How often faults are injected: a few times in every run of the tests, at length on request."""

import os

VARIABLE = "RAMIE_FAULTS"
"""The one setting: 1 for the full numbers (`make faults`), 2 for twice as many; unset for few."""


def times(few: int, full: int) -> int:
    """Return how often to inject a fault.

    Args:
      few: how often in an ordinary run of the tests.
      full: how often in a run at length.
    """
    return max(few, round(full * float(os.environ.get(VARIABLE) or 0)))


def is_at_length() -> bool:
    """Tell whether this is a run on request."""
    return float(os.environ.get(VARIABLE) or 0) > 0
