"""How models print, classes of users among them, and what `display` does without a notebook."""

import collections
import functools
import re
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

    shell = types.SimpleNamespace(kernel=1)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    stub = types.SimpleNamespace(display=show, __spec__=Spec())
    monkeypatch.setitem(sys.modules, "treescope", stub)
    nnx.display("x")
    assert shown == [("x", {"ignore_exceptions": True, "autovisualize": True})]


def test_notebooks_have_trees_without_a_warning(monkeypatch):
    treescope, shown = pytest.importorskip("treescope"), []
    shell = types.SimpleNamespace(kernel=1)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(
        treescope, "display", lambda x, **_: shown.append(treescope.render_to_text(x))
    )
    nnx.display(nnx.Dict(weight=nnx.Param(jnp.ones(3), note="mine")))
    assert "mine" in shown[0]


@pytest.mark.filterwarnings("ignore:The chararray class:DeprecationWarning")
def test_treescope_shows_models_states_and_variables():
    treescope = pytest.importorskip("treescope")
    model = nnx.Dict(weight=nnx.Param(1, note="mine"))
    for shown in (model, nnx.state(model)):
        text = treescope.render_to_text(shown)
        assert "weight=Param(" in text and "mine" in text


class Net(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 3, rngs=rngs)
        self.noise = rngs.noise.fork()
        self.act = functools.partial(jax.nn.gelu, approximate=False)
        self.call, self.thing = jax.nn.relu, object()
        self.scale = nnx.Param(jnp.ones(2), note="a # b")


NET = """\
Net( # Param: 11 (44 B), RngState: 2 (12 B), Total: 13 (56 B)
  linear=Linear( # Param: 9 (36 B)
    kernel=Param(float32[2,3]), # 6 (24 B)
    bias=Param(float32[3]), # 3 (12 B)
    in_features=2,
    out_features=3,
    use_bias=True,
    dtype=None,
    param_dtype=float32,
    precision=None,
    dot_general=dot_general,
    promote_dtype=promote_dtype,
    preferred_element_type=None
  ),
  noise=RngStream( # RngState: 2 (12 B)
    tag='default',
    key=RngKey(key<fry>[], tag='default'), # 1 (8 B)
    count=RngCount(Array(0, dtype=uint32), tag='default') # 1 (4 B)
  ),
  act=partial(gelu, approximate=False),
  call=relu,
  thing=<object object>,
  scale=Param(float32[2], note='a # b') # 2 (8 B)
)"""


def test_models_print_without_values_and_addresses():
    assert repr(Net(nnx.Rngs(0))) == NET


def test_states_show_values_and_no_inside_of_keys():
    text = repr(nnx.state(nnx.Dict(key=nnx.RngKey(jax.random.key(0), tag="t"), w=nnx.Param(1.5))))
    assert "value=key<fry>[]," in text and "value=1.5" in text and "overlaying" not in text


def test_what_is_traced_is_said_to_be():
    texts = []
    jax.jit(lambda x: texts.append(repr(nnx.Dict(w=nnx.Param(x)))))(jnp.ones(3))
    assert "Param(Tracer(float32[3]))" in texts[0]


def test_containers_in_models_are_taken_apart():
    Pair = collections.namedtuple("Pair", "left right")
    weight = nnx.Param(jnp.ones(3))
    node = nnx.Dict(pair=nnx.data(Pair(weight, ())), plain=(jax.nn.relu, [1, {"a": object()}]))
    assert repr(node) == (
        "Dict({\n  'pair': Pair(\n    left=Param(float32[3]), # 3 (12 B)\n    right=()\n  ),\n"
        "  'plain': (relu, [1, {'a': <object object>}])\n})"
    )
    assert repr(nnx.Dict(one=nnx.data((jnp.ones(2),)))) == "Dict({\n  'one': (float32[2],)\n})"


def test_a_long_variable_takes_several_lines():
    text = repr(nnx.Dict(w=nnx.Param(jnp.ones(2), about="x" * 90)))
    assert "'w': Param( # 2 (8 B)\n    value=float32[2],\n    about='xxx" in text


def test_colours_are_for_terminals(monkeypatch, capsys):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    model = Net(nnx.Rngs(0))
    nnx.display(model)
    assert capsys.readouterr().out == f"{NET}\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    nnx.display(model, "a=1")
    coloured = capsys.readouterr().out
    assert "\x1b[2m# 6 (24 B)\x1b[0m" in coloured and "\x1b[32m'a # b'\x1b[0m" in coloured
    assert coloured.endswith("\na=1\n") and re.sub(r"\x1b\[\d+m", "", coloured)[:-4] == f"{NET}\n"


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


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(2, 3, use_bias=False, rngs=rngs)
        self.again = self.first.kernel
        self.layers = nnx.List([nnx.Param(1.0, note="mine"), jnp.tanh, {"k": 2}])
        self.myself = self
        self.scaled = functools.partial(jax.nn.gelu, approximate=True)


STRUCTURE = """\
GraphDef( # leaves: 2, objects: 5
  Tied(
    again=Param,
    first=Linear(
      bias=None,
      kernel=the same as again,
      dot_general=dot_general,
      dtype=None,
      in_features=2,
      out_features=3,
      param_dtype=float32,
      precision=None,
      preferred_element_type=None,
      promote_dtype=promote_dtype,
      use_bias=False
    ),
    layers=List([Param(note='mine'), tanh, {'k': 2}]),
    myself=the same as all of it,
    scaled=partial(gelu, approximate=True)
  )
)"""


def test_a_structure_prints_like_its_model():
    graphdef, state = nnx.split(Tied(nnx.Rngs(0)))
    assert repr(graphdef) == STRUCTURE
    assert repr(nnx.graphdef(nnx.merge(graphdef, state))) == STRUCTURE
    tree = nnx.graphdef((nnx.state(nnx.Dict(a=nnx.Param(1))), jnp.ones(2), [True]))
    inside = "(State(a=Param), array, [True])"
    assert repr(tree) == f"GraphDef( # leaves: 2, objects: 1\n  {inside}\n)"
    assert repr(nnx.graphdef({})) == "GraphDef( # leaves: 0, objects: 0\n  {}\n)"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (nnx.Param(1, act=jnp.tanh), "Param(\n  value=1,\n  act=tanh\n)"),
        (nnx.filterlib.Any(nnx.Param, jax.nn.gelu), "Any(OfType(Param), gelu)"),
        (nnx.StateAxes({nnx.Param: 0, jnp.tanh: None, ...: 1}), None),
        (nnx.DiffState(0, jax.nn.gelu), "DiffState(argnum=0, filter=gelu)"),
        (nnx.graphdef(nnx.Sequential(lambda x: x)), None),
        (nnx.split(nnx.Dict(act=jax.nn.relu)), None),
    ],
)
def test_nothing_prints_where_functions_are_in_memory(shown, text):
    assert text in (None, repr(shown)) and " at 0x" not in repr(shown)
