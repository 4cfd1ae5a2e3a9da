"""Two processes save one state together; it is restored on one, two and four devices."""

import pytest

pytest.importorskip("orbax.checkpoint")

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from tests.listing import names
from tests.unit.checkpoint import process_of_job

from ramie import checkpoint
from ramie.training import checkpoints

ROOT = Path(__file__).resolve().parents[3]


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.mark.timeout(240)
def test_two_processes_save_what_any_number_of_devices_restores(tmp_path):
    port = str(free_port())
    two_devices_each = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": two_devices_each}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", process_of_job.__name__, number, port, str(tmp_path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in ("0", "1")
    ]
    try:
        printed = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(printed)[-3000:]

    assert names(tmp_path) == ["checkpoint_2", "checkpoint_4", "plain_5"]
    assert checkpoint.verify(tmp_path / "checkpoint_4").state == "intact"
    for count in (1, 2, 4):
        mesh = Mesh(np.array(jax.devices()[:count]), ("x",))
        blank = process_of_job.state_on(mesh, 0)
        restored = checkpoints.restore_checkpoint(tmp_path, blank)
        process_of_job.check(restored, 4)
        kernel = restored.params["kernel"]
        assert len(kernel.addressable_shards) == count
        assert kernel.sharding.is_equivalent_to(blank.params["kernel"].sharding, 2)
