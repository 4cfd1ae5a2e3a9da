"""The runner of pages notices what a page gets wrong, and leaves out only what it must."""

import pytest
from tests.examples import fences

PAGE = """
```python
import {package}

number = {package}.float32(6.5)
```

```python
double = 2 * number
```

```python
import math

math.floor({value})  # -> {promise}
print("a", "b")  # -> a b
for word in ("c", "d"):
    print(word)
```

```text
{printed}
```
"""


@pytest.fixture
def write(tmp_path):
    def write(package="numpy", value="2.5", promise="2", printed="a b\nc\nd"):
        page = tmp_path / "page.md"
        page.write_text(PAGE.format(package=package, value=value, promise=promise, printed=printed))
        return page

    return write


def _run(server, page):
    python, left_out = fences.runnable(page)
    fences.check(page, server.run(page, python, page.parent))
    return list(left_out.values())


def test_kept_promises_pass(server, write):
    assert _run(server, write()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"promise": "3"}, "line 15: '2', not '3'"),
        ({"printed": "a b c"}, "line 21"),
        ({"value": "absent"}, "NameError"),
    ],
)
def test_broken_promises_fail(server, write, change, complaint):
    with pytest.raises(AssertionError, match=complaint):
        _run(server, write(**change))


def test_a_promise_behind_no_expression_is_noticed(server, write):
    with pytest.raises(AssertionError, match="behind no whole expression"):
        _run(server, write(value="0)\nx = (0", promise="2"))


def test_blocks_that_need_an_absent_package_are_left_out_with_what_builds_on_them(write):
    page = write(package="torch")
    python, left_out = fences.runnable(page, available=set())
    assert list(left_out.values()) == ["line 2 needs torch", "line 8 needs torch"]
    assert [block.line for block in python] == [12]
    python, left_out = fences.runnable(page, available={"torch"})
    assert len(python) == 3 and not left_out


def test_pages_do_not_see_each_other(server, tmp_path):
    first, second = tmp_path / "first.md", tmp_path / "second.md"
    first.write_text("```python\nimport jax\njax.leaked = leaked = 1\n```\n")
    second.write_text(
        "```python\nimport jax\nhasattr(jax, 'leaked') or 'leaked' in globals()  # -> False\n```\n"
    )
    _run(server, first)
    _run(server, second)


def test_an_error_that_is_promised_is_printed(server, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nint('x')  # raises ValueError\n```\n\n```text\nValueError: wrong\n```\n"
    )
    python, _ = fences.runnable(page)
    shown = server.run(page, python, tmp_path)
    assert shown[python[0]].output == "ValueError: invalid literal for int() with base 10: 'x'\n"
    with pytest.raises(AssertionError, match="line 5"):
        fences.check(page, shown)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [("int('3')", "line 2: raises no ValueError"), ("int(None)", "TypeError: int")],
)
def test_another_error_or_none_is_noticed(server, tmp_path, code, complaint):
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}  # raises ValueError\n```\n")
    with pytest.raises(AssertionError, match=complaint):
        server.run(page, fences.runnable(page)[0], tmp_path)


@pytest.mark.parametrize(
    ("code", "said", "fine"),
    [
        ("int('x y')  # raises ValueError", "ValueError: invalid ... 'x y'", True),
        ("int('x y')  # raises ValueError", "ValueError: invalid ... 'x z'", False),
        ("print('a b')", "a ...", False),
    ],
)
def test_dots_leave_out_a_part_of_errors_alone(server, tmp_path, code, said, fine):
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}\n```\n\n```text\n{said}\n```\n")
    shown = server.run(page, fences.runnable(page)[0], tmp_path)
    if fine:
        fences.check(page, shown)
        return
    with pytest.raises(AssertionError, match="line 5"):
        fences.check(page, shown)
