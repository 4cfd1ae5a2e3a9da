"""Tables at any width: nothing is lost, and nothing controls the terminal."""

import io
import sys

import pytest

from ramie.cli import output

ROWS = [("params/Dense_0/kernel", "float32", 1234.5, ""), ("a:smile:[b]\x1b", "int", "", "")]
HEADS = ("path", "type", "size", "never")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def printed(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    output.print_table(HEADS, ROWS, right=("size",))
    return sys.stdout.getvalue()


def test_a_table_has_only_columns_with_content(capsys):
    output.print_table(HEADS, ROWS, right=("size",))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "path                   type       size",
        "params/Dense_0/kernel  float32  1234.5",
        "a:smile:[b]\\x1b        int",
    ]


def test_what_is_piped_is_not_folded(capsys):
    output.print_table(("path",), [("x" * 500,)])
    assert "x" * 500 in capsys.readouterr().out


def test_a_narrow_terminal_gets_paragraphs(monkeypatch):
    assert "path" in printed(monkeypatch, 38)
    out = printed(monkeypatch, 37)
    assert out.splitlines() == [
        "params/Dense_0/kernel",
        "  type float32  size 1234.5",
        "a:smile:[b]\\x1b",
        "  type int",
    ]
    assert "  type float32\n  size 1234.5\n" in printed(monkeypatch, 20)


@pytest.mark.parametrize("width", [1, 2, 5, 11, 40, 200])
def test_no_width_loses_anything(monkeypatch, width):
    out = printed(monkeypatch, width)
    for cell in ("params/Dense_0/kernel", "float32", "1234.5", "a:smile:[b]\\x1b", "int"):
        assert cell in out


def test_facts(capsys):
    output.print_facts([("a", 1), ("long", "x\x1b" + "y" * 200)])
    assert capsys.readouterr().out == "a     1\nlong  x\\x1b" + "y" * 200 + "\n"
