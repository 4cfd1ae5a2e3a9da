"""The pages that need Flax, PyTorch and the like, run where these are installed."""

import pytest
from tests.examples import fences

flax = pytest.importorskip("flax")

PAGES = [page for page in fences.PAGES if fences.runnable(page, available=set())[1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs_and_prints_what_the_page_shows(page, tmp_path):
    python, left_out = fences.runnable(page)
    server = fences.PageServer()
    try:
        fences.check(page, server.run(page, python, tmp_path))
    finally:
        server.close()
    assert not left_out, "install what it needs: make .venv-peers"
