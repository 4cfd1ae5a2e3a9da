"""The pages that need Flax, PyTorch and the like, run where these are installed."""

import sys

import pytest
from tests.examples import fences

flax = pytest.importorskip("flax")

# For a newer Python there is PyTorch only with CUDA, gigabytes of it: see pyproject.toml.
NOT_INSTALLED = {"torch"} if sys.version_info >= (3, 12) else set()
PAGES = [page for page in fences.PAGES if fences.runnable(page, available=set())[1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_and_prints_what_the_page_shows(page, tmp_path):
    python, left_out = fences.runnable(page)
    server = fences.PageServer()
    try:
        fences.check(page, server.run(page, python, tmp_path))
    finally:
        server.close()
    lacking = {reason.rpartition(" ")[2] for reason in left_out.values()}
    assert lacking <= NOT_INSTALLED, "install what it needs: make peers"
