"""The reference has every public name, and pages link to it. Needs nothing that the site needs."""

import re

import pytest
from tests.layout import stubs
from tools.site import catalogue, docstrings, entries, links, listings, pages, reference

ROOMS = ("linen", "nnx", "checkpoint", "training", "ops")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.fixture(scope="module")
def written():
    return reference.pages()


@pytest.fixture(scope="module")
def anchors(written):
    return reference.anchors(written)


def _public(room):
    """Return the names of a room by its tables, and those of the modules that it offers."""
    tables = stubs.doors()
    found = {f"{room}.{name}" for name in tables[f"ramie.{room}"].names if name[0] != "_"}
    for page in catalogue.PAGES:
        if page.address.startswith(f"{room}."):
            found |= {name for name in catalogue.catalogue() if name.startswith(f"{page.address}.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_entry(room, anchors):
    public = _public(room)
    assert len(public) >= {"checkpoint": 40, "training": 25}.get(room, 100)
    assert not public - anchors.keys()


@pytest.mark.parametrize("room", ["ops", "training"])
def test_every_module_of_a_room_has_a_page(room):
    there = {page.address for page in catalogue.PAGES}
    modules = {f"{room}.{module}" for module in catalogue.submodules(room)}
    assert modules - there <= {"training.plan", "training.stepping"}  # `plan`, `training.Stepper`


def test_entries_have_signatures_types_examples_and_what_differs(written):
    layers = written["reference/nnx/layers.md"]
    entry = layers.partition("{ #nnx.Linear }")[2].partition("{ #nnx.LinearGeneral }")[0]
    assert (
        "    in_features: int,\n    out_features: int,\n    *,\n    use_bias: bool = True," in entry
    )
    assert "- **`in_features`** (`int`): the size of the last axis of the input." in entry
    assert "```pycon\n>>> import jax.numpy as jnp\n" in entry
    assert re.search(r'href="../../source/src/ramie/nnx/layers/linear.py.html#L\d+"', entry)
    assert "[`train`](../../reference/nnx/modules.md#nnx.Module.train)" in entry
    assert '!!! note "Differs from Flax"' in written["reference/nnx/attention.md"]


def test_constructors_of_dataclasses_are_written_as_their_fields(written):
    entry = written["reference/linen/layers.md"].partition("{ #linen.Dense }")[2]
    assert "linen.Dense(\n    features: int,\n    use_bias: bool = True," in entry
    assert "    name: str | None = None,\n)" in entry


def test_what_is_of_jax_is_called_by_its_name_there(written):
    entry = written["reference/nnx/functions.md"].partition("{ #nnx.relu6 }")[2]
    assert "The same object as `jax.nn.relu6`:" in entry.partition("## ")[0]


def test_all_commands_are_there(written):
    commands = re.findall(r"^## `(.*)` ", written["reference/command_line.md"], re.M)
    assert {"ramie ckpt show", "ramie plan", "ramie demo"} <= set(commands)


def test_links_of_the_reference_lead_somewhere(written, anchors):
    for page, text in written.items():
        for target, anchor in LINK.findall(text):
            if target.startswith(("http", "../../errors", "../errors")):
                continue
            there = links.joined(page, target) if target else page
            assert there in written, (page, target)
            assert not anchor or anchors.get(anchor) == there, (page, target, anchor)


def test_names_in_guides_lead_to_the_reference(anchors):
    targets = links.Targets(anchors)
    text = "# `nnx.Linear`\n\nA `nn.Dense(3)`, [`nnx.Linear`](x.md), `x`, `TrainState`.\n"
    code = "```python\n# `nnx.Linear`\n```\n"
    shown = links.linked(text + code, "guides/basics.md", targets, "linen")
    dense = "[`nn.Dense(3)`](../reference/linen/layers.md#linen.Dense)"
    state = "[`TrainState`](../reference/training/training.md#training.TrainState)"
    assert shown == f"# `nnx.Linear`\n\nA {dense}, [`nnx.Linear`](x.md), `x`, {state}.\n{code}"


@pytest.mark.parametrize(
    ("code", "room", "found"),
    [
        ("nn.Module.apply", "linen", "linen.Module.apply"),
        ("Module", "nnx", "nnx.Module"),
        ("ramie.nnx.jit", "", "nnx.jit"),
        ("checkpoints.save_checkpoint", "", "training.checkpoints.save_checkpoint"),
        ("nnx.Linear.__call__", "", "nnx.Linear.call"),
        ("update", "linen", None),
        ("scan", "linen", "linen.scan"),
        ("x + 1", "linen", None),
        ("jax.jit", "nnx", None),
        ("ramie", "", None),
        ("Any", "nnx", None),
        ("nnx.Any", "nnx", "nnx.Any"),
    ],
)
def test_what_a_piece_of_code_names(anchors, code, room, found):
    target = links.Targets(anchors).find(code, room)
    assert (target and target.anchor) == found


CODE = """\
```python
import ramie.linen as nn, torch.nn
from ramie.training import checkpoints
from ramie.nnx import (
    Linear,
)
from ramie import core
from jax import core
```

=== "Tab"

    ```python
    from ramie import nnx
    ```
"""


def _html(code):
    """Return code as Pygments writes it, as far as links care."""
    named = re.sub(r"@?\w+", lambda m: f'<span class="n">{m[0]}</span>', code)
    inside = named.replace(".", '<span class="o">.</span>')
    return f'<div class="language-python highlight"><pre>{inside}</pre></div>'


def test_code_of_a_page_says_what_its_names_are():
    assert links.imported(CODE) == {
        "nn": "linen",
        "checkpoints": "training.checkpoints",
        "Linear": "nnx.Linear",
        "nnx": "nnx",
    }


@pytest.mark.parametrize(
    ("code", "linked", "address"),
    [
        ("nn.Dense", "nn.Dense", "linen/layers.html#linen.Dense"),
        ("nn.Module.apply.more", "nn.Module.apply", "linen/module.html#linen.Module.apply"),
        ("@nnx.jit", "@nnx.jit", "nnx/transforms.html#nnx.jit"),
        ("Linear", "Linear", "nnx/layers.html#nnx.Linear"),
        (
            "checkpoints.save_checkpoint",
            "checkpoints.save_checkpoint",
            "training/checkpoints.html#training.checkpoints.save_checkpoint",
        ),
        ("self.nn.Dense", "", ""),
        ("torch.nn.Linear", "", ""),
        ("core.freeze", "", ""),
        ("nn", "", ""),
        ("nn.no_such", "", ""),
    ],
)
def test_names_in_code_lead_to_the_reference(anchors, code, linked, address):
    names = links.imported(CODE)
    html = links.linked_code(_html(code), "guides/x.md", links.Targets(anchors), names)
    assert re.sub(r"</?a\b[^>]*>", "", html) == _html(code)
    found = re.findall(r'<a class="named" href="([^"]*)">(.*?)</a>', html)
    text = [(href, re.sub(r"<[^>]*>", "", inside)) for href, inside in found]
    assert text == ([(f"../reference/{address}", linked)] if linked else [])


def test_only_code_in_python_has_links(anchors):
    html = '<p><span class="n">nn</span></p>' + _html("nn.Dense").replace("python", "text")
    assert links.linked_code(html, "x.md", links.Targets(anchors), {"nn": "linen"}) == html


def test_entries_list_the_guides_that_mention_them(anchors):
    targets = links.Targets(anchors)
    assert links.code_names("`nn.Dense` and\n```\nnnx.jit(f)\n```", targets) == {
        "linen.Dense",
        "nnx.jit",
    }
    text = reference.with_guides(
        entries.guides_of("nnx.jit"), "reference/nnx/x.md", {"nnx.jit": [("A", "guides/a.md")]}
    )
    assert text == '<p class="mentioned" markdown>In guides: [A](../../guides/a.md)</p>'


def test_docstrings_become_markdown():
    text = """\
Summary of ``x``.

Write it so::

    a = 1

    b = 2

Differs from Flax: it is
shorter.

Args:
  x: the input, which
    goes on.
  y, z: others.

Raises:
  ValueError: if not.

Example:
    >>> 1 + 1
    2
"""
    shown = docstrings.markdown(text, {"x": "Array"})
    assert shown.startswith("Summary of `x`.\n\nWrite it so:\n\n```python\na = 1\n\nb = 2\n```\n")
    assert '!!! note "Differs from Flax"\n\n    It is\n    shorter.' in shown
    assert "- **`x`** (`Array`): the input, which\n    goes on." in shown
    assert "- **`y`, `z`**: others." in shown
    assert "**Raises**\n\n- **`ValueError`**: if not." in shown
    assert shown.endswith("**Example**\n\n```pycon\n>>> 1 + 1\n2\n```")


def test_no_docstring_keeps_marks_of_another_language(written):
    for page, text in written.items():
        prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
        assert "::\n" not in prose and ":math:" not in prose, page
        assert not re.search(r"^ *>>> ", prose, re.M), page


def test_files_of_the_repository_have_a_place():
    root = links.ROOT
    assert pages.place(root / "docs" / "guides" / "basics.md") == "guides/basics.md"
    assert pages.place(root / "examples" / "llm" / "README.md") == "examples/llm.md"
    assert (
        pages.place(root / "Makefile")
        == "source/Makefile.html"
        == listings.place(root / "Makefile")
    )
    assert pages.place(root / "docs" / "pictures" / "scan.svg") == "pictures/scan.svg"
    assert pages.place(root / "no" / "such.md") is None
    shown = links.moved(
        "[x](../README.md#a)", root / "docs" / "compat.md", "compat.md", pages.place
    )
    assert shown == "[x](index.md#a)"


def test_files_that_pages_link_to_are_shown():
    text = (
        "[a](../source/Makefile.html#L3), [b](source/benchmarks/index.html), [c](x/source/y.html)"
    )
    assert listings.linked(text) == {links.ROOT / "Makefile", links.ROOT / "benchmarks"}


def test_the_first_page_leads_everywhere():
    text = pages.front()
    for page in ("guides/README.md", "reference/index.md", "examples/index.md", "errors.md"):
        assert f"]({page})" in text
    assert '=== "NNX"\n\n    ```python\n    import' in text and "from ramie import nnx" in text
    assert "[Dropout](guides/dropout.md)" in text


def test_each_guide_is_in_the_navigation():
    texts = dict.fromkeys(pages.sources().values(), "")
    shown = repr(pages.navigation([], [], texts))
    assert [page for page in texts if page.startswith("guides/") and page not in shown] == []
