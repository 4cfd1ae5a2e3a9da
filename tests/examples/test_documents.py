"""The code in README and docs runs and prints what the page shows; its numbers are measured."""

import itertools
import re

import pytest
from tests.examples import fences


def _name(page):
    return page.relative_to(fences.ROOT).as_posix()


@pytest.mark.parametrize("page", fences.PAGES, ids=_name)
def test_code_runs_and_prints_what_the_page_shows(page, tmp_path):
    blocks = fences.blocks(page)
    python = [block for block in blocks if block.language == "python"]
    if not python:
        return
    outputs = dict(zip(python, fences.run_page(page, tmp_path), strict=True))
    for block, following in itertools.pairwise(blocks):
        if block.language == "python" and following.language == "text":
            assert outputs[block].split() == following.text.split(), f"line {following.line}"


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
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_ratios_in_the_readme_are_those_of_the_last_benchmark():
    readme = (fences.ROOT / "README.md").read_text(encoding="utf-8")
    results = (fences.ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    section = readme.partition("## Measured")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert set(rows) <= set(results.splitlines())
