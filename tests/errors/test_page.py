"""The page on errors: each class has its meaning, a program that causes it, and the mend."""

import re

import pytest
from tests.errors.page import PAGE, by_hand, classes
from tools.site import errors as site

# What no short program causes: the page says why.
WITHOUT_A_PROGRAM = {
    "CompilerFailedError",
    "MPACheckpointingRequiredError",
    "MPARestoreTypeNotMatchError",
    "MissingInJaxError",
    "MultipleMethodsCompactError",
}
BASE = "RamieError"  # never raised itself; its program catches another
WRITTEN = by_hand(PAGE.read_text(encoding="utf-8"))
NAMES = [cls.__name__ for cls in classes()]


@pytest.mark.parametrize("name", NAMES)
def test_each_class_has_a_program_and_a_mend(name):
    written = WRITTEN[name]
    if name in WITHOUT_A_PROGRAM:
        assert "here is no program here" in " ".join(written.split()) and "# raises" not in written
        return
    if name == BASE:
        assert "except errors.RamieError" in written
        return
    assert f"# raises {name}\n" in written
    assert f"```text\n{name}: " in written
    assert re.search(r"^```\n\n[A-Z`].*\.$", written, re.M | re.S), "how to mend it"


def test_on_the_site_each_class_has_a_page():
    pages = site.pages()
    assert pages.keys() == {"errors.md", *(f"errors/{name}.md" for name in NAMES)}
    for name in NAMES:
        assert (
            f'<a id="flax.errors.{name}"></a>[`{name}`](errors/{name}.md) |' in pages["errors.md"]
        )
        text = pages[f"errors/{name}.md"]
        assert text.startswith(f"# {name}\n\n") and "Also caught as: `" in text
        program = text.partition("# raises")[0]
        assert name in {*WITHOUT_A_PROGRAM, BASE} or "    variables = net.init(key, x)\n" in program


def test_links_are_right_on_the_page_of_a_class():
    assert "](../guides/install.md)" in site.pages()["errors/MissingExtraError.md"]


def test_the_address_in_messages_leads_to_it():
    assert site.REDIRECT == "docs/errors.md/index.html"
    assert "../../errors/${encodeURIComponent(name)}.html" in site.redirect()
