"""Sizes, line ends and white space of all files; hooks and workflow call what they should."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from tests.layout import committed, sources

ENDINGS = {".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".txt", ".svg", ".json", ""}
FOLDERS = ("src/ramie", "tests", "benchmarks", "examples", "docs", "findings", ".ci", ".github")
MATRIX = (sources.ROOT / ".ci" / "matrix").read_text(encoding="utf-8")
HOOKS = yaml.safe_load((sources.ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
WORKFLOW_FILE = sources.ROOT / ".github" / "workflows" / "ci.yml"
WORKFLOW = yaml.safe_load(WORKFLOW_FILE.read_text(encoding="utf-8"))
JOBS = WORKFLOW["jobs"]


def _all_files():
    inside = (path for folder in FOLDERS for path in (sources.ROOT / folder).rglob("*"))
    for path in sorted([*sources.ROOT.glob("*"), *inside]):
        if path.is_file() and path.suffix in ENDINGS and "__pycache__" not in path.parts:
            yield path


def test_files_are_small_and_clean():
    found = {sources.relative(path): list(committed.faults(path)) for path in _all_files()}
    assert len(found) > 300
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("long.py", "x = 1\n" * (committed.LONGEST_FILE + 1), "601 lines"),
        ("large.bin", "\0" * (committed.LARGEST_FILE + 1), "bytes"),
        ("open.md", "no end", "end with one line feed"),
        ("end.md", "end\n\n", "end with one line feed"),
        ("empty.md", "\n", "end with one line feed"),
        ("space.py", "x = 1 \n", "line 1: white space"),
        ("space.md", "text\nmore \n", "line 2: white space"),
        ("windows.txt", "text\r\n", "line 1: a carriage return"),
        ("merge.py", "<<<<<<< HEAD\n", "line 1: a merge"),
    ],
)
def test_a_fault_is_said_with_its_place(name, content, fault, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    result = subprocess.run(
        [sys.executable, "-m", "tests.layout.committed", tmp_path / name],
        cwd=sources.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{tmp_path / name}: ") and fault in line


def test_a_good_file_passes(tmp_path, capsys):
    good = {"a.py": "x = 1\n" * committed.LONGEST_FILE, "a.md": "a break  \nhere\n", "a.txt": ""}
    for name, content in good.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert committed.main(str(tmp_path / name) for name in good) == 0
    assert capsys.readouterr() == ("", "")


def test_hooks_run_what_make_lint_runs_in_the_projects_environment():
    hooks = [hook for repo in HOOKS["repos"] for hook in repo["hooks"]]
    assert all(repo["repo"] == "local" for repo in HOOKS["repos"])
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    entries = " | ".join(hook["entry"] for hook in hooks)
    for command in ("ruff check", "ruff format", "mypy", "tests.layout.stubs"):
        assert command in entries
    makefile = (sources.ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    for command in re.findall(r"^\t\$\(VENV\)/bin/(ruff \w+|mypy)", lint, re.M):
        assert command in entries, f"`make lint` runs {command}, no hook does"


def _commands(job):
    return [step["run"].strip() for step in job["steps"] if "run" in step]


def test_the_workflow_calls_what_ci_run_calls():
    wanted = re.findall(r"^(make \w+)$", (sources.ROOT / ".ci" / "run").read_text(), re.M)
    assert wanted == ["make lint", "make test", "make matrix"]
    commands = [command for job in JOBS.values() for command in _commands(job)]
    for command in wanted:
        assert any(re.match(rf"{command}\b", found) for found in commands), command
    makefile = (sources.ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(commands), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), f"the Makefile has no {target}"


def test_the_workflow_runs_each_leg_with_the_python_that_it_wants():
    legs = dict(re.findall(r"^ +(\w+)\) leg \w+ (\S+)", MATRIX, re.M))
    assert sorted(legs) == ["A", "B"]
    project = tomllib.loads((sources.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    known = re.findall(r"Python :: 3\.(\d+)", "\n".join(project["project"]["classifiers"]))
    newest = f"3.{max(map(int, known))}"
    job = JOBS["matrix"]
    included = job["strategy"]["matrix"]["include"]
    assert {one["leg"]: one["python"] for one in included} == {
        leg: newest if wanted == "newest" else wanted for leg, wanted in legs.items()
    }
    assert "make matrix LEGS=${{ matrix.leg }}" in _commands(job)
    (version,) = (s["with"]["python-version"] for s in job["steps"] if "setup-python" in str(s))
    assert version == "${{ matrix.python }}"


def test_the_workflow_may_only_read_and_names_major_versions():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "cancel-in-progress" in WORKFLOW["concurrency"]
    for name, job in JOBS.items():
        assert "permissions" not in job and job["timeout-minutes"] > 0, name
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
