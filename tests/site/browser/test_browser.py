"""The site in a real browser: every page, search, copying, dark mode, small screens."""

import contextlib
import json
import re

import pytest
from playwright.sync_api import TimeoutError

from .conftest import SITE

LINEAR = "reference/nnx/layers.html#nnx.Linear"
NARROW = "document.documentElement.scrollWidth <= window.innerWidth"
PAGES = sorted(
    page
    for path in SITE.rglob("*.html")
    if (page := path.relative_to(SITE).as_posix())
    if not page.startswith(("source/", "notebooks/shown/")) and page != "404.html"
)
FOLDERS = sorted({page.rpartition("/")[0] for page in PAGES})
SOURCES = ["source/src/ramie/nnx/layers/linear.py.html", "source/examples/index.html"]
PICTURES = SITE.parent / "build" / "screenshots"


@pytest.mark.parametrize("folder", [*FOLDERS, "source"])
def test_pages_open_and_fit_a_phone(tab, folder):
    one = tab(viewport={"width": 1280, "height": 900})
    # To read the index of the search takes longer than all else; here nobody searches.
    index = json.loads((SITE / "search" / "search_index.json").read_text(encoding="utf-8"))
    short = {**index, "docs": index["docs"][:1]}
    one.page.route("**/search_index.json", lambda route: route.fulfill(json=short))
    pages = SOURCES if folder == "source" else PAGES
    wide = []
    for path in pages:
        if folder not in ("source", path.rpartition("/")[0]):
            continue
        one.page.set_viewport_size({"width": 1280, "height": 900})
        page = one.open(path)
        assert page.title()
        page.set_viewport_size({"width": 390, "height": 844})
        if not page.evaluate(NARROW):
            wide.append(path)
    assert wide == [] and one.wrong == []


def search(shown, words):
    """Type words, again if what was typed before the page listened was not heard."""
    shown.click(".md-search__input")
    for _ in range(5):
        shown.fill(".md-search__input", "")
        shown.fill(".md-search__input", words)
        shown.wait_for_timeout(500)
        shown.press(".md-search__input", "End")
        with contextlib.suppress(TimeoutError):
            shown.wait_for_selector(".md-search-result__link", timeout=15_000)
            return
    raise AssertionError(f"no results for {words}")


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("nnx.Linear", LINEAR),
        ("BatchNorm", "reference/linen/layers.html#linen.BatchNorm"),
        ("batchnorm", "reference/linen/layers.html#linen.BatchNorm"),
        (
            "save_checkpoint",
            "reference/training/checkpoints.html#training.checkpoints.save_checkpoint",
        ),
        ("dropout", "guides/dropout.html"),
        ("ScopeParamShapeError", "errors/ScopeParamShapeError.html"),
        ("out of memory", "guides/faq.html#out-of-memory-on-a-gpu"),
    ],
)
def test_search_finds(tab, words, page):
    shown = tab().open("index.html")
    search(shown, words)
    found = shown.eval_on_selector_all(
        ".md-search-result__item",
        "all => all.map(item => [...item.querySelectorAll('a')].map(a => a.getAttribute('href')))",
    )
    # Links hold the words that were looked for, as ?h=words before the anchor.
    first = [re.sub(r"\?[^#]*", "", link) for links in found[:5] for link in links]
    assert any(link.endswith(page) for link in first), first[:10]


def test_search_leads_to_the_entry(tab):
    shown = tab().open("guides/basics.html")
    search(shown, "nnx.Linear")
    shown.click(".md-search-result__link[href*='#nnx.Linear']")
    shown.wait_for_url("**/reference/nnx/layers.html*")


def test_code_is_copied_without_prompts_and_results(tab):
    shown = tab(permissions=["clipboard-read", "clipboard-write"]).open(LINEAR)
    block = shown.locator("h2[id='nnx.Linear'] ~ .language-pycon").first
    block.hover()
    block.locator("button").first.click()
    shown.wait_for_selector(".md-dialog--active")
    copied = shown.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[:2] == ["import jax.numpy as jnp", "from ramie import nnx"]
    assert ">>>" not in copied and "((2, 4), (3, 4))" not in copied


def test_names_in_code_lead_to_the_reference_and_are_copied_as_text(tab):
    one = tab(permissions=["clipboard-read", "clipboard-write"])
    shown = one.open("guides/batch_norm.html")
    block = shown.locator(".language-python:has(a.named)").first
    block.hover()
    block.locator("button").first.click()
    shown.wait_for_selector(".md-dialog--active")
    copied = shown.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == block.locator("code").inner_text().strip()
    assert "nn." in copied and "reference" not in copied and "<" not in copied.partition("\n")[0]
    shown.click("a.named:has-text('BatchNorm') >> nth=0")
    shown.wait_for_url("**/reference/linen/layers.html#linen.BatchNorm")


def test_dark_mode_toggles_and_stays(tab):
    one = tab(color_scheme="light")
    shown = one.open("guides/basics.html")
    scheme = "document.body.getAttribute('data-md-color-scheme')"
    assert shown.evaluate(scheme) == "default"
    shown.click("label[title='Dark mode']")
    assert shown.evaluate(scheme) == "slate"
    assert one.open("reference/nnx/index.html").evaluate(scheme) == "slate"


def test_dark_is_what_the_system_prefers(tab):
    shown = tab(color_scheme="dark").open("guides/basics.html")
    assert shown.evaluate("document.body.getAttribute('data-md-color-scheme')") == "slate"


def test_on_a_phone_one_reaches_the_reference(tab, phone):
    shown = tab(**phone).open("index.html")
    shown.click("label[for='__drawer'].md-header__button")
    shown.wait_for_timeout(500)
    shown.click(".md-nav--primary > .md-nav__list a[href^='reference/']")
    shown.wait_for_url("**/reference/index.html")
    assert shown.evaluate(NARROW)


def test_pages_lead_up_back_and_on(tab):
    shown = tab().open("guides/dropout.html")
    assert "Guides" in shown.inner_text(".md-path")
    shown.click(".md-footer__link--next")
    shown.wait_for_load_state()
    shown.click(".md-footer__link--prev")
    shown.wait_for_url("**/guides/dropout.html")
    shown.click(".md-path a:has-text('Guides')")
    shown.wait_for_url("**/guides/index.html")


def test_names_in_guides_lead_to_the_reference_and_back(tab):
    shown = tab().open("guides/dropout.html")
    shown.click("article a[href*='#linen.Dropout'] >> nth=0")
    shown.wait_for_url("**/reference/linen/layers.html#linen.Dropout")
    shown.click("h2[id='linen.Dropout'] ~ .mentioned >> nth=0 >> a[href$='/dropout.html']")
    shown.wait_for_url("**/guides/dropout.html")


def test_an_entry_leads_to_its_source(tab):
    shown = tab().open(LINEAR)
    shown.click("h2[id='nnx.Linear'] + p a.source")
    shown.wait_for_url("**/linear.py.html#L*")
    line = shown.url.rpartition("#")[2]
    assert shown.evaluate(f"document.getElementById('{line}') !== null")
    shown.click("nav a >> nth=0")
    shown.wait_for_url("**/index.html")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pictures_of_the_pages(tab, phone, colours):
    PICTURES.mkdir(parents=True, exist_ok=True)
    wide = tab(color_scheme=colours, viewport={"width": 1280, "height": 900})
    small = tab(color_scheme=colours, **phone)
    paths = {"front": "index.html", "guide": "guides/basics.html", "reference": LINEAR}
    for name, path in paths.items():
        for size, one in (("desktop", wide), ("phone", small)):
            target = PICTURES / f"{name}-{size}-{colours}.png"
            one.open(path).screenshot(path=target)
            assert target.stat().st_size > 10_000
