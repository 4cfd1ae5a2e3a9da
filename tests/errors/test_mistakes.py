"""What beginners do wrong, in one table: class, words and length of what they read."""

import inspect
import re

import jax
import pytest
from tests.errors import linen_mistakes, nnx_mistakes, training_mistakes
from tests.errors.mistake import KEY, X, text_of
from tests.errors.page import PAGE, page

from ramie import errors, nnx

GROUPS = {
    "linen module": linen_mistakes.MODULES,
    "linen variable": linen_mistakes.VARIABLES,
    "linen layer": linen_mistakes.LAYERS,
    "nnx rngs": nnx_mistakes.RNGS,
    "nnx module": nnx_mistakes.MODULES,
    "training": training_mistakes.TRAINING,
}
MISTAKES = {f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()}
LINK = re.compile(r" \((docs/errors\.md#flax\.errors\.\w+)\)")
CATALOGUE = [
    cls
    for cls in vars(errors).values()
    if inspect.isclass(cls) and issubclass(cls, errors.RamieError) and cls is not errors.RamieError
]


def test_the_table_is_as_long_as_it_was():
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize("name", MISTAKES)
def test_what_a_message_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = MISTAKES[name]
    with pytest.raises(row.error) as caught:
        row.program()
    text = text_of(caught.value)
    missing = [words for words in row.says if words not in text]
    assert not missing, text
    assert len(LINK.sub("", text)) <= row.longest, text
    assert "flax.readthedocs" not in text
    assert not isinstance(caught.value, errors.RamieError) or LINK.search(text), text


@pytest.mark.parametrize("given", [0, KEY, jax.random.PRNGKey(0), "params", X], ids=type)
@pytest.mark.parametrize("layer", nnx_mistakes.MAKERS)
def test_every_layer_says_what_it_wants_for_rngs(layer, given):
    with pytest.raises(TypeError) as caught:
        nnx_mistakes.MAKERS[layer](given)
    assert "Rngs" in str(caught.value) and layer in str(caught.value)


@pytest.mark.parametrize("layer", sorted(set(nnx_mistakes.MAKERS) - {"Dropout"}))
def test_every_layer_says_that_it_has_no_values(layer):
    model = nnx_mistakes.abstract(nnx_mistakes.MAKERS[layer])
    if isinstance(model, nnx.RNNCellBase):
        args = (nnx_mistakes.MAKERS[layer](nnx.Rngs(0)).initialize_carry((2, 3), nnx.Rngs(0)), X)
    elif layer == "Embed":
        args = (X.astype(int),)
    elif layer == "MultiHeadAttention":
        model.decode = False
        args = (X[None],)
    else:
        args = (X[None] if "Conv" in layer or "Instance" in layer else X,)
    with pytest.raises(TypeError, match=r" at /.* has shapes in place of values.*nnx\.eval_shape"):
        model(*args)


@pytest.mark.parametrize("cls", CATALOGUE, ids=lambda cls: cls.__name__)
def test_links_lead_to_a_section_of_our_page(cls):
    section = errors.base._reference(cls)
    anchor = LINK.fullmatch(section).group(1).partition("#")[2]
    text = PAGE.read_text(encoding="utf-8")
    assert f'<a id="{anchor}"></a>\n\n## {cls.__name__}\n' in text


def test_the_page_is_what_the_classes_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.errors.page"


def test_classes_of_users_have_no_link():
    class OwnError(errors.RamieError):
        pass

    assert str(OwnError("x")) == "x"
