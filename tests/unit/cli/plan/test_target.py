"""The function that is planned: found, called, and what it returns looked at."""

import sys

import pytest

from ramie.cli.plan import target

PROGRAM = """
import dataclasses

@dataclasses.dataclass
class Settings:
    size: int = 3

value = 3

def step(x):
    return x

def make(mesh, batch=4):
    return step, (mesh, batch)

def donating(**given):
    return step, [given], {"donate": 0}

def bare():
    return step, ()

def failing(mesh):
    raise KeyError("layer")

def leaving(mesh):
    raise SystemExit(3)

def in_jax(mesh):
    import jax.numpy as jnp
    return jnp.zeros(3) @ jnp.zeros(4)

def needs(mesh, rules, layers):
    return step, ()
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder with programs, in which the command is called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "planned_program.py").write_text(PROGRAM)
    (tmp_path / "wrong_syntax.py").write_text("x = 1\nx = = 2\n")
    (tmp_path / "wrong_import.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "wrong_name.py").write_text("\nraise ValueError('two\\nlines')\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    package = tmp_path / "planned_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "beside.py").write_text("step = len\n")
    (package / "inner.py").write_text("from beside import step\ndef make():\n    return step, ()\n")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["planned_program:make", "planned_program.py:make", "./planned_program.py:make"]
)
def test_a_function_is_found_by_module_and_by_file(program, name):
    function = target.find(name)
    made = target.call(function, {"batch": 8}, "mesh")
    assert made.arguments == ("mesh", 8) and made.options == {}
    assert made.step.__name__ == "step"


def test_a_file_finds_what_stands_beside_it(program):
    made = target.call(target.find("planned_package/inner.py:make"), {}, None)
    assert made.step is len


def test_a_file_that_fails_leaves_no_module(program):
    with pytest.raises(target.TargetError):
        target.find("wrong_name.py:make")
    assert "wrong_name" not in sys.modules


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("planned_program", "misuse", "it should be module:function"),
        (":make", "misuse", "it should be module:function"),
        ("planned_program:", "misuse", "it should be module:function"),
        ("planned_program:a b", "misuse", "it should be module:function"),
        ("", "misuse", "it should be module:function"),
        ("nowhere_at_all:make", "not found", "there is no module 'nowhere_at_all'; call"),
        ("nowhere_at_all.inner:make", "not found", "there is no package 'nowhere_at_all'; call"),
        ("planned_package.none:make", "not found", "there is no module 'planned_package.none'"),
        ("planned_program.inner:make", "not found", "there is no module 'planned_program.inner'"),
        ("..:make", "misuse", "it should be module:function"),
        ("a..b:make", "misuse", "it should be module:function"),
        (".planned_program:make", "misuse", "it should be module:function"),
        ("\N{SNOWMAN}:make", "misuse", "it should be module:function"),
        ("\0.py:make", "not found", "there is no file"),
        ("none.py:make", "not found", "there is no file 'none.py'"),
        ("planned_program:mak", "not found", "no function `mak`; did you mean `make`?"),
        ("planned_package:xyz", "not found", "has no function `xyz`; it has none"),
        ("planned_program:xyz", "not found", "it has Settings, step, make, donating"),
        ("planned_program:value", "misuse", "`value` of planned_program is no function: int"),
        ("wrong_syntax:make", "program", "SyntaxError: invalid syntax (wrong_syntax.py, line 2)"),
        ("wrong_import:make", "program", "importing wrong_import raised ModuleNotFoundError"),
        ("wrong_name:make", "program", "raised ValueError: two\nlines (wrong_name.py, line 2)"),
        ("leaves:make", "program", "importing leaves raised SystemExit: 0 (leaves.py, line 1)"),
    ],
)
def test_what_cannot_be_found(program, name, kind, problem):
    with pytest.raises(target.TargetError) as caught:
        target.find(name)
    assert caught.value.kind == kind
    assert problem in str(caught.value)


def planned(name):
    return target.find(f"planned_program:{name}")


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("make", {"batch": 3}, ""),
        ("make", {"rules": ()}, ""),  # `plan` takes them
        ("donating", {"layers": 3}, ""),
        ("needs", {"rules": (), "layers": 3}, ""),
        (
            "bare",
            {"batch": 3},
            "argument --batch: `bare` has no parameter `batch`; it takes none",
        ),
        ("make", {"x": 3}, "argument --set: `make` has no parameter `x`; it takes batch, mesh"),
        ("needs", {"rules": ()}, "`needs` needs `layers`: say --set layers=VALUE"),
        ("needs", {"layers": 3}, "`needs` needs `rules`: say --rules"),
    ],
)
def test_words_that_a_function_does_not_take_or_lacks(program, name, given, problem):
    assert target.refused_words(planned(name), given) == problem


def test_a_function_gets_what_it_has_parameters_for(program):
    made = target.call(planned("donating"), {"rules": (), "layers": 3}, "mesh")
    assert made.arguments == ({"mesh": "mesh", "rules": (), "layers": 3},)
    assert made.options == {"donate": 0}
    assert target.call(planned("bare"), {"rules": ()}, "mesh").arguments == ()
    assert target.call(planned("make"), {"rules": ()}, "mesh").arguments == ("mesh", 4)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("failing", "`failing` raised KeyError: 'layer' (planned_program.py, line 23)"),
        ("leaving", "`leaving` raised SystemExit: 3 (planned_program.py, line 26)"),
        ("in_jax", "(planned_program.py, line 30)"),  # where the user called JAX
    ],
)
def test_what_a_function_raises_is_told_with_its_place(program, name, problem):
    with pytest.raises(target.TargetError) as caught:
        target.call(planned(name), {}, None)
    assert caught.value.kind == "program"
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        (None, "should return `step, arguments` or `step, arguments, options`, but it returned N"),
        ((len,), "but it returned 1 values"),
        ((len, (), {}, 1), "but it returned 4 values"),
        ((3, ()), "should return a function as the step, not int"),
        ((len, {}), "should be a tuple of the step's arguments, but it is dict"),
        ((len, (), [0]), "should be a dictionary with `donate`, `rules`, `specs`, `static`"),
        (
            (len, (), {"donate_argnums": 0}),
            "the option 'donate_argnums', but the options are `donate`",
        ),
    ],
)
def test_what_a_function_should_not_return(returned, problem):
    with pytest.raises(target.TargetError) as caught:
        target.call(lambda: returned, {}, None)
    assert caught.value.kind == "misuse"
    assert problem in str(caught.value)
