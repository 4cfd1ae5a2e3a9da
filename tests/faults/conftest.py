"""At the end of a run at length, the table of what was injected and what came of it."""

import pytest
from tests.faults import scale, tally

_KEY = "ramie_faults"


def pytest_sessionfinish(session):
    """Send the counts to the process that has the terminal, where there are several."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEY] = tally.page()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Add what another process has counted, unless it crashed; a hook of pytest-xdist."""
    output = getattr(node, "workeroutput", None) or {}
    if _KEY in output:
        tally.add(output[_KEY])


def pytest_terminal_summary(terminalreporter):
    """Print the table."""
    if scale.is_at_length():
        terminalreporter.section("faults")
        for line in tally.lines():
            terminalreporter.write_line(line)
