"""At the end of a run at length, the table of what was injected and what came of it."""

from tests.faults import scale, tally

_KEY = "ramie_faults"


def pytest_sessionfinish(session):
    """Send the counts to the process that has the terminal, where there are several."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEY] = tally.page()


class _Collector:
    """Takes the counts of the other processes; known to pytest-xdist by the name of its hook."""

    def pytest_testnodedown(self, node, error):
        """Add what a process has counted, unless it crashed."""
        output = getattr(node, "workeroutput", None) or {}
        if _KEY in output:
            tally.add(output[_KEY])


def pytest_configure(config):
    """Listen to other processes where pytest-xdist is there."""
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(_Collector())


def pytest_terminal_summary(terminalreporter):
    """Print the table."""
    if scale.times(0, 1):
        terminalreporter.section("faults")
        for line in tally.lines():
            terminalreporter.write_line(line)
