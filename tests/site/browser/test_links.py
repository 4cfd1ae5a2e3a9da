"""All links of the built site, read from its files."""

import html.parser
import posixpath
import urllib.parse

import pytest

from .conftest import SITE

# Sources, what cells of notebooks show, and the page that leads on to an error.
BARE = ("source/", "notebooks/shown/", "docs/")


class _Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), set(), set()

    def handle_starttag(self, tag, attributes):
        given = {name: value for name, value in attributes if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag in ("link", "img", "script", "iframe", "source"):
            self.loaded |= {given[name] for name in ("src", "href") if name in given}


@pytest.fixture(scope="module")
def read():
    found = {}
    for path in SITE.rglob("*.html"):
        parser = _Links()
        parser.feed(path.read_text(encoding="utf-8"))
        found[path.relative_to(SITE).as_posix()] = parser
    return found


def _outside(link):
    return bool(urllib.parse.urlsplit(link).scheme)


def _lead(page, link):
    """Return the file and the anchor that a link leads to."""
    parts = urllib.parse.urlsplit(link)
    path = urllib.parse.unquote(parts.path)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if (SITE / target).is_dir():
        target = posixpath.normpath(f"{target}/index.html")
    return target, urllib.parse.unquote(parts.fragment)


def test_every_link_leads_somewhere(read):
    count, dead = 0, []
    assert len(read) > 500
    for page, parser in read.items():
        if page == "404.html":
            continue  # its links are from the top of a server
        for link in parser.links | parser.loaded:
            if _outside(link):
                continue
            count += 1
            target, anchor = _lead(page, link)
            known = read[target].anchors if target in read else {anchor}
            if not (SITE / target).is_file() or (anchor and anchor not in {*known, "__skip"}):
                dead.append((page, link))
    assert count > 50_000
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(read):
    loaded = {link for parser in read.values() for link in parser.loaded if _outside(link)}
    assert {link for link in loaded if not link.startswith("data:")} == set()


def test_every_page_has_one_heading_and_a_way_up(read):
    for page in read:
        if page.startswith(BARE) or page in ("404.html", "index.html"):
            continue
        text = (SITE / page).read_text(encoding="utf-8")
        assert text.count("<h1") == 1, page
        assert 'class="md-path"' in text, page
