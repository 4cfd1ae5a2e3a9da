"""Tables at any width: nothing is lost, and nothing controls the terminal."""

import io
import re
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


def test_a_line_says_what_is_being_done_where_somebody_looks(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with output.working() as say:
        say("compiling [b]\x1b[2J for v5e:2x4")
        say("reading")
    shown = sys.stderr.getvalue()
    assert "compiling [b]\\x1b[2J for v5e:2x4" in shown and "reading" in shown
    assert "\x1b[2J" not in shown and "so far" in shown
    assert "\x1b[2K" in shown.rpartition("reading")[2]  # nothing of it stays


def test_a_bar_says_what_its_time_is(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(output, "_PATIENCE", 0)
    with output.waiting() as bar:
        bar._timer.join()
        bar("checkpoint_15", 338_900, 697_900)
    shown = re.sub(r"\x1b\[[0-9;?]*\w", "", sys.stderr.getvalue())
    assert "338.9/697.9 kB 0:00:00 so far  checkpoint_15" in shown


def test_nothing_is_shown_where_nobody_looks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with output.working() as say:
        say("compiling")
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(
    ("nbytes", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**30 - 1, "1.0 GiB"),
        (95 * 2**30, "95.0 GiB"),
    ],
)
def test_memory_is_told_in_powers_of_two(nbytes, expected):
    assert output.amount(nbytes, binary=True) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (70_553_706_496, "70.6 G"), (5e21, "5000 E")],
)
def test_large_numbers_have_three_digits(number, expected):
    assert output.count(number) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (75.0, "75.0 s"),
        (0.9999, "1.00 s"),
        (0.05237, "52.4 ms"),
        (2e-7, "200 ns"),
        (0.0, "0 s"),
    ],
)
def test_short_times_have_three_digits(seconds, expected):
    assert output.time_span(seconds) == expected
