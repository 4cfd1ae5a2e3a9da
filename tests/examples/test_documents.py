"""The code in README and docs runs and prints what the page shows; its numbers are measured."""

import re

import pytest
from tests.examples import fences


def _name(page):
    return page.relative_to(fences.ROOT).as_posix()


def _places(page):
    """The headings of a page, written as in links."""
    prose = fences.FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", fences.PAGES, ids=_name)
def test_code_runs_and_prints_what_the_page_shows(page, server, tmp_path):
    python, left_out = fences.runnable(page)
    if python:
        fences.check(page, server.run(page, python, tmp_path))
    if left_out:
        pytest.skip("the rest has run, but " + "; ".join(left_out.values()))


@pytest.mark.parametrize("page", fences.PAGES, ids=_name)
def test_commands_name_targets_that_exist(page):
    makefile = (fences.ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    targets = {*phony[1].split(), ".venv", ".venv-peers"}
    text = page.read_text(encoding="utf-8")
    commands = [block.text for block in fences.blocks(page) if block.language == "bash"]
    named = re.findall(r"^make ([\w.-]+)", "\n".join(commands), re.MULTILINE)
    named += re.findall(r"`make ([\w.-]+)`", text)
    assert set(named) <= targets


@pytest.mark.parametrize("page", fences.PAGES, ids=_name)
def test_links_lead_to_files(page):
    prose = fences.FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, place in re.findall(r"\]\(([^)#:]*)#?([^):]*)\)", prose):
        destination = page.parent / target if target else page
        assert destination.exists(), target
        assert not place or place in _places(destination), f"{target} has no heading {place!r}"


def test_the_index_of_guides_lists_each_of_them_once():
    index = fences.ROOT / "docs" / "guides" / "README.md"
    text = index.read_text(encoding="utf-8")
    listed = re.findall(r"^\S+ \[[^]]+\]\((\w+\.md)\)", text, re.MULTILINE)
    assert sorted([*listed, index.name]) == [page.name for page in fences.GUIDES]


# Words of twelve questions that newcomers ask. Each is a heading of the page of questions, which
# the index of guides links to, and its answer leads on or shows code: two clicks.
ASKED = (
    "mask padding",
    "BatchNorm wrong in evaluation",
    "load only the encoder",
    "parameters not updated",
    "loss NaN",
    "freeze a part",
    "count parameters",
    "tie weights",
    "compiled again",
    "memory on a GPU",
    "multiple GPUs",
    "export a model",
    "checkpoints of Flax",
    "from PyTorch",
)


def test_what_newcomers_ask_is_answered_within_two_clicks():
    guides = fences.ROOT / "docs" / "guides"
    assert "](faq.md)" in (guides / "README.md").read_text(encoding="utf-8")
    text = (guides / "faq.md").read_text(encoding="utf-8")
    answers = dict(re.findall(r"^### (.*)\n((?:.*\n)*?)(?=^##)", text, re.MULTILINE))
    assert len(answers) >= 30
    for question in ASKED:
        assert any(question in heading for heading in answers), question
    for heading, answer in answers.items():
        assert "](" in answer or "```python" in answer, f"{heading!r} leads nowhere"


@pytest.mark.parametrize("page", fences.GUIDES, ids=_name)
def test_guides_say_what_they_are_for_and_where_to_go_on(page):
    if page.name == "README.md":
        return
    title, _, promise, *_ = lines = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ") and promise.startswith("After this page")
    assert "## Pitfalls" in lines
    assert any(line.startswith("Next: [") for line in lines[-4:])


@pytest.mark.parametrize("page", fences.GUIDES, ids=_name)
def test_pictures_are_small_and_described(page):
    text = page.read_text(encoding="utf-8")
    for description, target in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text):
        assert len(description.split()) > 3, f"say in words what {target} shows"
        assert (page.parent / target).stat().st_size < 32_000


def test_ratios_in_the_readme_are_those_of_the_last_benchmark():
    readme = (fences.ROOT / "README.md").read_text(encoding="utf-8")
    results = (fences.ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    section = readme.partition("## Measured")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert set(rows) <= set(results.splitlines())
