"""Lines of the user's code in programs."""

import jax
import pytest

from ramie.training.plan.sources import Sources, is_library, relative

TABLES = """HloModule m

FileNames
1 "{site}/optax/transform.py"
2 "model.py"
3 "{ramie}"

FunctionNames
1 "f"

FileLocations
1 {{file_name_id=2 function_name_id=1 line=7 end_line=7 column=1 end_column=2}}
2 {{file_name_id=3 function_name_id=1 line=9 end_line=9 column=1 end_column=2}}
3 {{file_name_id=2 function_name_id=1 line=30 end_line=31 column=1 end_column=2}}
4 {{file_name_id=1 function_name_id=1 line=5 end_line=5 column=1 end_column=2}}

StackFrames
1 {{file_location_id=1 parent_frame_id={first}}}
2 {{file_location_id=2 parent_frame_id={second}}}
3 {{file_location_id=3 parent_frame_id={second}}}
4 {{file_location_id=4 parent_frame_id={first}}}

%f (x: f32[]) -> f32[] {{
}}
"""


@pytest.mark.parametrize(("first", "second"), [(1, 2), (0, 1)])
def test_the_innermost_line_that_is_no_librarys(first, second):
    import ramie.training.plan.sources as module

    text = TABLES.format(site="/x/site-packages", ramie=module.__file__, first=first, second=second)
    sources = Sources(text)
    assert [sources.line(n) for n in range(6)] == [
        "",
        "model.py:7",
        "model.py:7",
        "model.py:30",
        "",  # a library alone, called by nobody
        "",
    ]
    assert Sources("").line(1) == ""


def test_stacks_that_run_in_circles_end():
    text = TABLES.format(site="/x/site-packages", ramie="/x/site-packages/r.py", first=0, second=2)
    assert Sources(text).line(2) == ""


def test_what_a_library_is(tmp_path, monkeypatch):
    assert is_library(jax.__file__) and is_library(pytest.__file__) and is_library("<frozen runpy>")
    assert is_library(is_library.__code__.co_filename)
    assert not is_library(__file__)
    monkeypatch.chdir(tmp_path)
    assert relative(str(tmp_path / "a" / "b.py")) == "a/b.py"
    assert relative("/elsewhere/b.py") == "/elsewhere/b.py"
