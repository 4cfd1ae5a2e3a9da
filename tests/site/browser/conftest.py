"""A server of the built site, and a browser that looks at it."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parents[3] / "site"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_MISSING = (
    "There is no chromium to test the site with. Install it by the system's package manager, as in "
    "`apt-get install chromium`, or name another one: `CHROMIUM=/path/to/it make docs-test`."
)
_PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def _chromium():
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def pytest_sessionstart(session):
    if _chromium() is None:
        pytest.exit(_MISSING, returncode=1)
    if not (SITE / "index.html").is_file():
        pytest.exit("There is no site to test. Build it first: `make docs`.", returncode=1)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    """The address of a plain server of files over the site."""
    handler = functools.partial(_Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=_chromium(), args=list(_ARGUMENTS))
        yield one
        one.close()


class Tab:
    """A page of the browser, and what went wrong in it.

    Args:
      browser: the browser.
      address: of the site.
      settings: of the context: the size of the screen, the colours that the system prefers.
    """

    def __init__(self, browser, address, **settings):
        self._context = browser.new_context(**settings)
        self._address = address
        self.page = self._context.new_page()
        self.wrong = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"raised {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._answered)
        self.page.on("request", self._asked)

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # what was not needed any more
            self.wrong.append(f"failed {request.url}: {request.failure}")

    def _answered(self, response):
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")

    def _asked(self, request):
        if not request.url.startswith((self._address, "data:", "blob:")):
            self.wrong.append(f"asked elsewhere: {request.url}")

    def open(self, path):
        self.page.goto(f"{self._address}/{path}")
        return self.page

    def close(self):
        self._context.close()


@pytest.fixture
def tab(browser, address):
    """A function that opens a tab with some settings; what goes wrong in it fails the test."""
    tabs = []

    def make(**settings):
        tabs.append(Tab(browser, address, **settings))
        return tabs[-1]

    yield make
    for one in tabs:
        one.close()
    assert [wrong for one in tabs for wrong in one.wrong] == []


@pytest.fixture
def phone():
    """The settings of a small screen."""
    return _PHONE
