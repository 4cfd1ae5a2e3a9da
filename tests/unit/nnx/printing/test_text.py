"""How models print, classes of users among them, and what `display` does without a notebook."""

import sys
import types

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx
from ramie.nnx import reprlib


class Box(reprlib.Representable):
    def __init__(self, *pairs, **frame):
        self.pairs, self.frame = pairs, frame

    def __nnx_repr__(self):
        yield reprlib.Object(type(self), **self.frame)
        for key, value in self.pairs:
            yield reprlib.Attr(key, value, use_raw_value=key == "raw")


@pytest.mark.parametrize(
    ("box", "text"),
    [
        (Box(), "Box()"),
        (Box(empty_repr="..."), "Box(...)"),
        (Box(("a", 1), ("b", "x")), "Box(\n  a=1,\n  b='x'\n)"),
        (Box(("a", 1), ("b", 2), same_line=True), "Box(a=1, b=2)"),
        (Box(("raw", "x"), kv_sep=": ", start="{", end="}"), "Box{\n  raw: x\n}"),
        (Box(("a", Box(("b", 1))), indent="    "), "Box(\n    a=Box(\n      b=1\n    )\n)"),
    ],
)
def test_classes_of_users_print_as_they_say(box, text):
    assert repr(box) == text


def test_they_print_inside_of_modules():
    assert repr(nnx.Dict(box=Box(("a", 1)))) == "Dict({\n  'box': Box(\n    a=1\n  )\n})"
    with pytest.raises(NotImplementedError, match="does not say how it prints"):
        repr(reprlib.Representable())


def test_display_prints_where_there_is_no_notebook(capsys):
    nnx.display(nnx.Dict(a=1), 2)
    assert capsys.readouterr().out == "Dict({\n  'a': 1\n})\n2\n"


def test_display_uses_treescope_in_a_notebook(monkeypatch):
    shown = []

    class Spec:
        name = "treescope"

    def show(x, **options):
        shown.append((x, options))

    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: 1))
    stub = types.SimpleNamespace(display=show, __spec__=Spec())
    monkeypatch.setitem(sys.modules, "treescope", stub)
    nnx.display("x")
    assert shown == [("x", {"ignore_exceptions": True, "autovisualize": True})]


def test_treescope_shows_models_states_and_variables():
    treescope = pytest.importorskip("treescope")
    model = nnx.Dict(weight=nnx.Param(1, note="mine"))
    for shown in (model, nnx.state(model)):
        text = treescope.render_to_text(shown)
        assert "weight=Param(" in text and "mine" in text


def test_sizes_count_in_thousands():
    sizes = {
        250: "1,000 B",
        251: "1.0 KB",
        1000: "4.0 KB",
        262_144: "1.0 MB",
        300_000_000: "1.2 GB",
    }
    for count, text in sizes.items():
        variable = nnx.Param(jax.ShapeDtypeStruct((count,), jnp.float32))
        assert repr(variable).startswith(f"Param( # {count:,} ({text})\n")
