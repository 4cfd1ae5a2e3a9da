"""SIGKILL at any moment: every acknowledged save restores, and nothing half-made is ever seen."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.listing import names

from ramie import checkpoint

ROOT = Path(__file__).resolve().parents[3]

# Announces "begin N" before and "saved N" after each save; content depends on the step alone.
WRITER = """
import sys, threading
import numpy as np
from ramie import checkpoint

folder, overwrite, first = sys.argv[1], sys.argv[2] == "overwrite", int(sys.argv[3])

def tree(step):
    return {"step": step, "arrays": [np.full(20_000 + i, step + i, np.int32) for i in range(20)]}

for step in range(first, first + 10_000):
    print("begin", step, flush=True)
    checkpoint.save(folder, tree(step), step % 5 if overwrite else step, keep=2,
                    overwrite=overwrite)
    print("saved", step, flush=True)
"""


def start_writer(folder, mode, first):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), mode, str(first)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


def check_content(state):
    step = state["step"]
    for index in range(20):
        array = state["arrays"][str(index)]
        assert array.shape == (20_000 + index,)
        assert (array == step + index).all()
    return step


def kill_at(writer, generator):
    """Kill in the middle of some save, or just after it; return the last acknowledged step."""
    acknowledged = None
    saves = generator.randint(1, 4)
    # The kill comes from another thread, a random number of Python steps after an announcement.
    spin = generator.randint(0, 400_000)
    for line in writer.stdout:
        word, step = line.split()
        if word == "saved":
            acknowledged = int(step)
            saves -= 1
        elif saves <= 0:
            thread = threading.Thread(
                target=lambda: (sum(range(spin)), writer.send_signal(signal.SIGKILL))
            )
            thread.start()
            for rest in writer.stdout:
                if rest.startswith("saved") and rest.endswith("\n"):
                    acknowledged = int(rest.split()[1])
            thread.join()
            break
    writer.wait()
    writer.stdout.close()
    return acknowledged


@pytest.mark.parametrize("mode", ["plain", "overwrite"])
def test_acknowledged_saves_survive_sigkill(tmp_path, mode):
    generator = random.Random(0)
    first = 0
    for _ in range(4):
        acknowledged = kill_at(start_writer(tmp_path, mode, first), generator)
        for name in names(tmp_path):
            if not name.startswith("."):
                check_content(checkpoint.restore(tmp_path / name, None))
        latest = check_content(checkpoint.restore(tmp_path, None))
        assert acknowledged <= latest <= acknowledged + 1
        first = latest + 1
    checkpoint.save(tmp_path, {"end": np.ones(3)}, 10**6, overwrite=mode == "overwrite")
    assert names(tmp_path) == ["checkpoint_1000000"]


def test_two_writers_on_one_directory_never_tear_a_file(tmp_path):
    writers = [start_writer(tmp_path, "overwrite", first) for first in (0, 1)]
    seen = 0
    try:
        for line in writers[0].stdout:
            if line.startswith("saved"):
                check_content(checkpoint.restore(tmp_path, None))
                seen += 1
            if seen == 15:
                break
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
    for name in names(tmp_path):
        if not name.startswith("."):
            check_content(checkpoint.restore(tmp_path / name, None))
