"""The language model: it learns, divides its work, and goes on after whatever ended it."""

import dataclasses
import json
import shutil
import subprocess
import sys
from concurrent import futures

import jax
import numpy as np
import pytest
from tests.examples import fences, llm_faults
from tests.tolerance import assert_close, assert_exact

from ramie.testing import processes
from ramie.training.processes import groups

pytest.importorskip("grain")
import orbax.checkpoint as ocp
from examples.llm import meshes, running, sampling, saving, steps, text
from examples.llm.settings import PRESETS

TINY = PRESETS["tiny"]
EVERY = 4
LIMIT = 300


def command(folder, *options):
    """Run the program as a user does; return what it printed."""
    run = [sys.executable, "-m", "examples.llm", "--preset", "tiny", "--every", str(EVERY)]
    done = subprocess.run(
        [*run, "--devices", "1", "--workdir", str(folder), *options],
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
    before, result = losses(folder), json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    assert running.train(folder, TINY, "", EVERY, quiet=True)
    assert_exact(losses(folder), before)
    again = json.loads((folder / "result.json").read_text())
    assert_close(np.float32(again["held_out"]), np.float32(result["held_out"]), "model")


@pytest.mark.long
def test_samples_come_from_several_processes_and_from_their_checkpoint(divided):
    for sample in json.loads((divided / "result.json").read_text())["samples"]:
        assert sample.startswith("import os\n\ndef ")
    [found] = sampling.from_checkpoint(divided, TINY, "", b"def ", size=9, temperature=0.0)
    assert found.startswith(b"def ") and len(found) == 13
    mesh = f"fsdp={jax.device_count()}"
    assert sampling.from_checkpoint(divided, TINY, mesh, b"def ", size=9, temperature=0.0) == [
        found
    ]


@pytest.mark.long
def test_two_processes_compute_what_one_does(alone, divided):
    assert_close(losses(divided), losses(alone[0]), "model")


@pytest.mark.long
def test_a_run_whose_process_is_killed_goes_on_to_the_same_losses(divided, tmp_path):
    arguments = (tmp_path, TINY, "fsdp=2", EVERY)
    with processes.start(llm_faults.die, *arguments, 1, 6, processes=2) as group:
        group.wait(LIMIT, check=False)
    assert group.processes[1].returncode == -9
    assert steps_saved(tmp_path)[-1] in (1, 4)  # the save at 4 may not have come to its end
    assert processes.run(llm_faults.train, *arguments, processes=2, timeout=LIMIT) == [True, True]
    assert_exact(losses(tmp_path), losses(divided))


@pytest.mark.long
def test_a_run_goes_on_with_other_devices(divided, tmp_path):
    folder = shutil.copytree(divided, tmp_path / "copy")
    shutil.rmtree(folder / "checkpoints" / str(TINY.steps))
    assert steps_saved(folder) == [8]
    mesh = f"data={jax.device_count() // 2},model=2"
    assert running.train(folder, TINY, mesh, EVERY, quiet=True)
    assert_close(losses(folder), losses(divided), "model")


@pytest.mark.long
def test_a_machine_that_is_taken_away_saves_first(tmp_path, monkeypatch):
    """JAX needs a moment to make all processes stop at one step, so the run is a long one."""
    monkeypatch.setattr(groups, "_GRACE", 1.0)
    long = dataclasses.replace(TINY, steps=100_000)
    told = processes.run(
        llm_faults.be_told, tmp_path, long, "fsdp=2", 100_000, 6, processes=2, timeout=LIMIT
    )
    assert told == [False, False]
    last = steps_saved(tmp_path)[-1]
    before = losses(tmp_path)
    assert last == len(before) > 6
    stop = pytest.raises(KeyboardInterrupt)
    with monkeypatch.context() as patched, stop:
        patched.setattr(running.Log, "add", llm_faults.interrupted_at(last + 2))
        running.train(tmp_path, long, "", 100_000, quiet=True)
    after = losses(tmp_path)
    assert len(after) == last + 2
    assert_exact(after[:last], before)


def test_a_save_that_ends_in_the_background_asks_nothing_about_its_step(tmp_path, monkeypatch):
    """JAX would name the step after that one to leave at, and training is beyond it already."""
    asked = []

    def reached(self, step):
        asked.append(step)
        return step == 5

    monkeypatch.setattr(ocp.CheckpointManager, "reached_preemption", reached)
    with saving.manager(tmp_path, 1) as checkpoints:
        assert not checkpoints.reached_preemption(4)
        with futures.ThreadPoolExecutor(1) as background:
            assert not background.submit(checkpoints.reached_preemption, 3).result()
            assert checkpoints.reached_preemption(5)
            assert background.submit(checkpoints.reached_preemption, 5).result()
    assert asked == [4, 5]


class Checkpoints:
    """Asked by a run whether it is to leave; says so at one step."""

    def __init__(self, step):
        self.step, self.asked = step, []

    def reached_preemption(self, step):
        self.asked.append(step)
        return step == self.step


@pytest.mark.long
def test_a_run_that_is_told_to_leave_while_it_is_measured_leaves(tmp_path):
    """JAX names a step a little ahead, so that what comes after the last one is counted on."""
    mesh = meshes.make(meshes.sizes("", jax.device_count()))
    checkpoints = Checkpoints(TINY.steps + 3)
    with jax.set_mesh(mesh):
        arguments = TINY, steps.create(TINY), checkpoints, text.read(50_000)
        assert not running.finish(tmp_path, *arguments, meshes.of_batches(mesh), True)
    assert checkpoints.asked == [TINY.steps + 1, TINY.steps + 2, TINY.steps + 3]
    assert not (tmp_path / "result.json").exists()


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
    state = whole.get_state()
    assert {json.dumps(part.get_state()) for part in parts} == {json.dumps(state)}
    for part in parts:
        next(part)
        part.set_state(state)
    rows = np.concatenate([next(part) for part in parts])
    assert sorted(rows.tolist()) == sorted(next(whole).tolist())


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
    first, second = text.read(100_000), text.read.__wrapped__(100_000)
    assert first.size == 100_000 and b"import" in first.tobytes()
    assert_exact(first, second)
