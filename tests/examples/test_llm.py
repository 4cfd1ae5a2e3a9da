"""The language model: it learns, divides its work, and goes on after whatever ended it."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.examples import fences, llm_faults
from tests.tolerance import assert_close, assert_exact

from ramie.testing import processes
from ramie.training.processes import groups

pytest.importorskip("grain")
from examples.llm import text
from examples.llm.settings import PRESETS, Settings

TINY = PRESETS["tiny"]
EVERY = 4
LIMIT = 300


def command(folder, *options):
    """Run the program as a user does; return what it printed."""
    run = (sys.executable, "-m", "examples.llm", "--preset", "tiny", "--every", str(EVERY))
    done = subprocess.run(
        [*run, "--workdir", str(folder), *options],
        cwd=fences.ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return done.returncode, done.stdout + done.stderr


def losses(folder):
    lines = [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return np.array([line["loss"] for line in lines], np.float32)


def steps_saved(folder):
    names = [path.name for path in (folder / "checkpoints").iterdir()]
    return sorted(int(name) for name in names if name.isdecimal())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run in one process, with what it printed."""
    folder = tmp_path_factory.mktemp("alone")
    code, printed = command(folder)
    assert code == 0, printed
    return folder, printed


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """A run of two processes that hold a part of every parameter each."""
    folder = tmp_path_factory.mktemp("divided")
    ended = processes.run(
        llm_faults.train, folder, TINY, "fsdp=2", EVERY, processes=2, timeout=LIMIT
    )
    assert ended == [True, True]
    return folder


def test_a_run_learns_and_shows_it(alone):
    folder, printed = alone
    found = losses(folder)
    assert len(found) == TINY.steps
    assert found[-1] < found[0] - 1
    assert "--- sample\nimport os" in printed
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    held_out = json.loads((folder / "result.json").read_text())["held_out"]
    assert held_out < found[0]


def test_a_run_that_is_over_stays_as_it_is(alone, tmp_path):
    folder = shutil.copytree(alone[0], tmp_path / "copy")
    before = losses(folder)
    code, printed = command(folder, "--quiet")
    assert code == 0, printed
    assert_exact(losses(folder), before)


def test_other_sizes_are_refused_for_a_run_that_exists(alone):
    code, printed = command(alone[0], "--width", "64")
    assert code == 1
    assert "holds a run with other sizes" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mesh", "data=3"], "has 3 devices, and there are 1"),
        (["--mesh", "rows=1"], "'rows=1' is none of data=N, fsdp=N and model=N"),
        (["--mesh", "data=0"], "'data=0' is none of"),
        (["--width", "33"], "width 33 has to be a multiple"),
        (["--heads", "2", "--groups", "4"], "do not divide into 4 groups"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(options, said, tmp_path):
    code, printed = command(tmp_path / "run", *options)
    assert code == 1
    assert said in printed and "Traceback" not in printed


def test_two_processes_compute_what_one_does(alone, divided):
    assert_close(losses(divided), losses(alone[0]), "model")


def test_a_run_whose_process_is_killed_goes_on_to_the_same_losses(divided, tmp_path):
    arguments = (tmp_path, TINY, "fsdp=2", EVERY)
    with processes.start(llm_faults.die, *arguments, 1, 6, processes=2) as group:
        group.wait(LIMIT, check=False)
    assert group.processes[1].returncode == -9
    assert steps_saved(tmp_path)[-1] in (1, 4)  # the save at 4 may not have come to its end
    assert processes.run(llm_faults.train, *arguments, processes=2, timeout=LIMIT) == [True, True]
    assert_exact(losses(tmp_path), losses(divided))


def test_a_run_goes_on_with_other_devices(divided, tmp_path):
    folder = shutil.copytree(divided, tmp_path / "copy")
    shutil.rmtree(folder / "checkpoints" / str(TINY.steps))
    assert steps_saved(folder) == [8]
    code, printed = command(folder, "--quiet", "--devices", "2", "--mesh", "model=2")
    assert code == 0, printed
    assert_close(losses(folder), losses(divided), "model")


def test_a_machine_that_is_taken_away_saves_first(tmp_path, monkeypatch):
    """JAX needs a moment to make all processes stop at one step, so the run is a long one."""
    monkeypatch.setattr(groups, "_GRACE", 1.0)
    arguments = (tmp_path, dataclasses.replace(TINY, steps=100_000), "fsdp=2", 100_000)
    told = processes.run(llm_faults.be_told, *arguments, 6, processes=2, timeout=LIMIT)
    assert told == [False, False]
    last = steps_saved(tmp_path)[-1]
    before = losses(tmp_path)
    assert last == len(before) > 6
    with processes.start(llm_faults.die, *arguments, 1, last + 2, processes=2) as group:
        group.wait(LIMIT, check=False)
    after = losses(tmp_path)
    assert len(after) > last
    assert_exact(after[:last], before)


class Part:
    """How a batch lies on the devices of one of several processes."""

    def __init__(self, index, count):
        self.index, self.count = index, count

    def addressable_devices_indices_map(self, shape):
        size = shape[0] // self.count
        return {0: (slice(self.index * size, (self.index + 1) * size), slice(None))}


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_every_number_of_processes_reads_the_same_batches(count):
    bytes_read = (np.arange(1000) % 251).astype(np.uint8)
    parts = [text.batches(bytes_read, 10, 8, Part(i, count), seed=3) for i in range(count)]
    whole = text.batches(bytes_read, 10, 8, Part(0, 1), seed=3)
    for _ in range(3):
        rows = np.concatenate([next(part) for part in parts])
        assert sorted(rows.tolist()) == sorted(next(whole).tolist())
    assert {json.dumps(part.get_state()) for part in parts} == {json.dumps(whole.get_state())}


def test_the_place_in_the_text_is_set_again():
    batches = text.batches(np.arange(500, dtype=np.uint8), 10, 8, Part(0, 1), seed=3)
    next(batches)
    state = batches.get_state()
    second = next(batches)
    batches.set_state(state)
    assert_exact(next(batches), second)


def test_windows_overlap_by_the_byte_that_is_only_predicted():
    windows = text.Windows(np.arange(25, dtype=np.uint8), 8)
    assert len(windows) == 3
    assert_exact(windows[1], np.arange(8, 17, dtype=np.int32))


def test_the_text_is_long_and_the_same_each_time():
    first, second = text.read(100_000), text.read(100_000)
    assert first.size == 100_000 and b"import" in first.tobytes()
    assert_exact(first, second)


def test_settings_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 2 x 3 heads"):
        Settings(width=32, heads=3)
