"""Who gets codes for colours."""

import io
import sys
import types

import pytest

from ramie.foundation.terminals import in_notebook, shows_colours


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)


def test_terminals_do_and_files_do_not(monkeypatch):
    assert shows_colours(Terminal()) and not shows_colours(io.StringIO())
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert shows_colours()
    monkeypatch.setattr(sys, "stdout", None)
    assert not shows_colours()


def test_a_closed_stream_does_not():
    closed = io.StringIO()
    closed.close()
    assert not shows_colours(closed)


@pytest.mark.parametrize(
    ("variable", "value", "terminal", "file"),
    [
        ("NO_COLOR", "1", False, False),
        ("FORCE_COLOR", "1", True, True),
        ("TERM", "dumb", False, False),
    ],
)
def test_the_environment_decides(monkeypatch, variable, value, terminal, file):
    monkeypatch.setenv(variable, value)
    assert (shows_colours(Terminal()), shows_colours(io.StringIO())) == (terminal, file)


@pytest.mark.parametrize(
    ("shell", "is_notebook"),
    [(None, False), (types.SimpleNamespace(), False), (types.SimpleNamespace(kernel=1), True)],
)
def test_a_notebook_is_a_kernel(monkeypatch, shell, is_notebook):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook() is shows_colours(io.StringIO()) is is_notebook
