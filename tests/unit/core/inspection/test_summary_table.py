"""Tables that fit: what is kept whole, and what goes where there is no room for columns."""

import re
import sys

import pytest

from ramie.core.inspection.summary_table import Summary, draw, wrapped

PLAIN = {"force_terminal": False, "no_color": True}


def words(lines):
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("kernel: float32[3,4]", 20, ["kernel: float32[3,4]"]),
        ("kernel: float32[3,4]", 19, ["kernel:", "  float32[3,4]"]),
        ("  kernel: float32[3,4]", 16, ["  kernel:", "    float32[3,4]"]),
        ("- a b c", 5, ["- a b", "  c"]),
        ("1,000 (4.0 KB) left", 15, ["1,000 (4.0 KB)", "left"]),
        ("encoder/layers/0", 10, ["encoder/", "layers/0"]),
        ("float32[16,16,16]", 10, ["float32[", "16,16,16]"]),
        ("float32[16,1024]", 11, ["float32[16,", "1024]"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("模型模型", 5, ["模型", "模型"]),
        ("a b", 1, ["a", "b"]),
        ("", 3, [""]),
    ],
)
def test_lines_are_broken_between_words(text, width, lines):
    assert words(wrapped([[(text, "")]], width)) == lines


def test_styles_stay_where_they_were():
    line = [("name: ", ""), ("float32", "dim"), ("[3]", "bold")]
    assert wrapped([line], 12) == [
        [("name:", "")],
        [("  ", ""), ("float32", "dim"), ("[3]", "bold")],
    ]


def cell(*lines):
    return [[(line, "")] for line in lines]


SUMMARY = Summary(
    "Net Summary",
    ["path", "module", "inputs", "outputs"],
    {"batch_stats": (1_000, 4_000), "params": (20_000, 80_000)},
    [
        [cell(""), cell("Net"), cell("float32[8,128]"), cell("float32[8,10]"), [], []],
        [
            cell("encoder/layers_0"),
            cell("Dense"),
            cell("float32[8,128]"),
            cell("float32[8,10]"),
            cell("mean: float32[10,100]", "", "1,000 (4.0 KB)"),
            cell("kernel: float32[200,100]", "", "20,000 (80.0 KB)"),
        ],
    ],
)
WHOLE = [
    "float32[8,128]", "float32[8,10]", "float32[10,100]", "float32[200,100]", "1,000 (4.0 KB)",
    "20,000 (80.0 KB)", "21,000 (84.0 KB)", "batch_stats", "Dense", "layers_0",
]  # fmt: skip


def drawn(width, **options):
    return draw(SUMMARY, {**PLAIN, "width": width}, options.pop("table", {}), options)


@pytest.mark.parametrize("width", [*range(28, 140, 9), 200])
def test_nothing_is_cut_at_any_width(width):
    text = drawn(width)
    assert max(map(len, text.splitlines())) <= width
    assert [whole for whole in WHOLE if whole not in text] == []


@pytest.mark.parametrize("width", [1, 5, 12, 20])
def test_where_nothing_fits_lines_are_broken_anywhere(width):
    text = drawn(width)
    assert max(map(len, text.splitlines())) <= max(width, 5)
    letters = re.sub(r"[^\w]", "", text)
    assert width < 5 or ("float32200100" in letters and "20000800KB" in letters)


def test_columns_become_narrower_before_they_are_given_up():
    headers = [next(line for line in drawn(w).splitlines() if "path" in line) for w in (200, 100)]
    assert all(name in line for name in SUMMARY.columns for line in headers)
    assert "outputs" not in drawn(100).splitlines()[-1]
    stacked = drawn(60)
    assert "inputs: float32[8,128]" in stacked and "mean: float32[10,100]" in stacked


def test_who_sets_widths_has_them_from_rich():
    text = drawn(80, max_width=6)
    assert "float" in text and "float32[8,128]" not in text
    assert "mine" in drawn(80, table={"caption": "mine"})


def test_colours_are_for_terminals(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def codes():
        return "\x1b[" in draw(SUMMARY, {"width": 80}, None, None)

    assert not codes()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert codes()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not codes()


def test_programs_for_flax_have_colours_in_files_as_there():
    import ramie.compat

    if ramie.compat.is_installed() or "flax" in sys.modules:
        pytest.skip("the name flax is taken")
    ramie.compat.install()
    try:
        assert "\x1b[" in draw(SUMMARY, {"width": 80}, None, None)
    finally:
        ramie.compat.uninstall()
    assert "\x1b[" not in draw(SUMMARY, {"width": 80}, None, None)
