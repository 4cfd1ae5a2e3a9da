"""The code of notebooks runs and shows what they promise; no results are kept in them."""

import json

import pytest
from tests.examples import fences
from tools.site import notebooks


@pytest.fixture(scope="module")
def server():
    server = fences.PageServer()
    yield server
    server.close()


def test_there_are_three():
    assert [path.stem for path in notebooks.NOTEBOOKS] == [
        "first_model_in_linen",
        "first_model_in_nnx",
        "looking_inside",
    ]


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def test_code_runs_and_shows_what_it_promises(path, server, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(notebooks.as_markdown(path), encoding="utf-8")
    python, left_out = fences.runnable(page)
    assert len(python) > 4 and not left_out
    fences.check(page, server.run(page, python, tmp_path))


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda path: path.stem)
def test_results_are_not_kept(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [c for c in cells if c.get("outputs") or c.get("execution_count")] == []


def test_results_become_text_or_frames(monkeypatch):
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "stream", "name": "stderr", "text": "warned"},
        {"output_type": "execute_result", "data": {"text/plain": "\x1b[1m3\x1b[0m"}},
        {"output_type": "display_data", "data": {"text/html": "<b>x</b>", "text/plain": "x"}},
        {"output_type": "display_data", "data": {"text/html": ["<i>", "y</i>"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "See [b](b.ipynb)."]},
        {"cell_type": "code", "source": "f()", "outputs": outputs},
    ]
    monkeypatch.setattr(notebooks, "ran", lambda path: cells)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", notebooks.NOTEBOOKS[:1])
    texts, frames = notebooks.pages()
    (text,) = texts.values()
    assert text.startswith("# Title\n\n[This page is a notebook](first_model_in_linen.ipynb)")
    assert "See [b](b.md)." in text and "```python\nf()\n```\n\n```text\na\nb\n```" in text
    assert "```text\n3\n```" in text and "warned" not in text
    assert '<iframe class="shown" src="shown/first_model_in_linen-1.html"' in text
    assert "<b>x</b>\n<i>y</i>" in frames["notebooks/shown/first_model_in_linen-1.html"]
