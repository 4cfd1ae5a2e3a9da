"""Groups of processes: what they compute, how they end, and that none is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ramie.errors import ProcessFailedError, ProcessTargetError, ProcessTimeoutError
from ramie.testing import processes
from ramie.training.processes import groups

LIMIT = 100


def summed(scale, *, offset=0):
    """Sum over all devices of the job, each with its own number."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    along = NamedSharding(mesh, PartitionSpec("data"))
    host = np.arange(jax.device_count(), dtype=np.float32)
    x = jax.make_array_from_callback(host.shape, along, lambda index: host[index])
    whole = NamedSharding(mesh, PartitionSpec())
    total = jax.jit(lambda x: jnp.sum(x) * scale + offset, out_shardings=whole)(x)
    return jax.process_index(), jax.local_device_count(), np.asarray(total)


def only_the_second_fails():
    """Fail in one process while the other waits for it."""
    import jax

    print("about to meet", flush=True)
    if jax.process_index() == 1:
        raise ArithmeticError("the second one gives up")
    return summed(1)


def only_the_second_dies():
    """Die in one process while the other waits for it."""
    import jax

    if jax.process_index() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return summed(1)


def never():
    """Wait for what does not come."""
    threading.Event().wait()


def until_told(pipe):
    """Say that the handler is there, and end as soon as the signal has come."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    Path(pipe).write_text("ready")
    told.wait()
    return "saved"


def local():
    """Return what cannot be pickled."""
    return lambda: None


def leave(code):
    """Leave by ``sys.exit``."""
    sys.exit(code)


def vanish():
    """End before there is anything to return, with an exit code that says all is well."""
    os._exit(0)


class Unreadable:
    """Can be pickled, and not made again."""

    def __reduce__(self):
        """Say how it is made again: by what fails."""
        return refuse, ()


def refuse():
    """Fail to make a value."""
    raise ArithmeticError("only here")


def unreadable():
    """Return what the other side cannot make again."""
    return Unreadable()


def leave_a_thread():
    """Return, and leave a thread that keeps the process."""
    threading.Thread(target=never).start()


def ask():
    """Read what a user would type."""
    return sys.stdin.read()


def flags():
    """Return what the process was given in variables."""
    return os.environ["XLA_FLAGS"], os.environ.get("MINE")


def are_gone(group):
    return all(process.returncode is not None for process in group.processes)


def test_all_devices_of_all_processes_are_one_job():
    values = processes.run(summed, 2.0, processes=2, devices=2, timeout=LIMIT, offset=1)
    assert [value[:2] for value in values] == [(0, 2), (1, 2)]
    assert [float(value[2]) for value in values] == [13.0, 13.0]


def test_a_failure_names_the_process_and_shows_what_it_printed(monkeypatch):
    monkeypatch.setattr(groups, "_GRACE", 1.0)
    with (
        processes.start(only_the_second_fails) as group,
        pytest.raises(ProcessFailedError, match=r"process 1 \(of 2.*exit code 1") as caught,
    ):
        group.wait(LIMIT)
    assert "the second one gives up" in str(caught.value)
    assert caught.value.index == 1
    assert "about to meet" in group.processes[0].output
    assert are_gone(group)


def test_a_process_that_is_killed_ends_the_group(monkeypatch):
    monkeypatch.setattr(groups, "_GRACE", 1.0)
    with (
        processes.start(only_the_second_dies) as group,
        pytest.raises(ProcessFailedError, match=r"process 1 .*was ended by SIGKILL"),
    ):
        group.wait(LIMIT)
    assert are_gone(group)


def test_what_does_not_end_in_time_is_stopped():
    with (
        processes.start(never, processes=1) as group,
        pytest.raises(ProcessTimeoutError, match=r"never: after 0\.5 s, process 0 of 1"),
    ):
        group.wait(0.5)
    assert are_gone(group)


def test_leaving_a_group_stops_it_and_removes_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with processes.start(never, processes=1) as group:
        assert list(tmp_path.iterdir())
    assert group.processes[0].returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())
    group.stop()  # a second time changes nothing


def test_a_signal_reaches_every_process(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with processes.start(until_told, str(pipe), processes=1) as group:
        assert pipe.read_text() == "ready"
        group.send_signal(signal.SIGTERM)
        assert group.wait(LIMIT) == ["saved"]
    assert group.processes[0].returncode == 0


def test_processes_end_with_the_one_that_started_them(tmp_path):
    code = textwrap.dedent(
        """
        import os, signal, sys
        from ramie.testing import processes
        group = processes.start(
            "tests.unit.training.processes.test_groups:never", processes=2, show=(0, 1)
        )
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    # The children hold this pipe too: it closes when the last of them has gone.
    dead = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=LIMIT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    assert dead.returncode == -signal.SIGKILL
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("code", "returned"), [(0, 0), (None, 0), (3, 3), ("no data", 1)])
def test_leaving_by_exit_is_an_end_like_any_other(code, returned):
    with processes.start(leave, code, processes=1) as group:
        assert group.wait(LIMIT, check=False) == [None]
    assert group.processes[0].returncode == returned
    assert ("no data" in group.processes[0].output) == (code == "no data")


def test_an_exit_code_of_zero_is_no_answer():
    with (
        processes.start(vanish, processes=1) as group,
        pytest.raises(ProcessFailedError, match="exit code 0 before the function returned"),
    ):
        group.wait(float("inf"))
    assert group.wait(LIMIT, check=False) == [None]


def test_a_value_that_cannot_be_read_is_named_and_nothing_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ProcessTargetError, match=r"unreadable returned in process 0 .*only here"):
        processes.run(unreadable, processes=1, timeout=LIMIT)
    assert not list(tmp_path.iterdir())


def test_a_process_that_stays_after_its_function_says_so():
    group = processes.start(leave_a_thread, processes=1)
    answered = Path(group._folder.name) / "0.result"
    while not answered.exists():
        time.sleep(0.05)
    with group, pytest.raises(ProcessTimeoutError, match=r"had returned in 0: .*no daemon"):
        group.wait(0.2)


def test_there_is_no_input():
    assert processes.run(ask, processes=1, timeout=LIMIT) == [""]


@pytest.mark.parametrize("timeout", [None, -1, float("nan"), "9", True])
def test_a_time_that_is_none_is_refused(timeout):
    with (
        processes.start(never, processes=1) as group,
        pytest.raises(ValueError, match=f"timeout={timeout!r}: give seconds"),
    ):
        group.wait(timeout)


def test_what_cannot_come_back_is_named():
    with pytest.raises(ProcessFailedError, match=r"What .*:local returned cannot be pickled"):
        processes.run(local, processes=1, timeout=LIMIT)


def test_variables_are_those_of_this_process_but_for_the_devices(monkeypatch):
    monkeypatch.setenv(
        "XLA_FLAGS", "--xla_force_host_platform_device_count=7 --xla_cpu_enable_fast_math=false"
    )
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "7")
    found = processes.run(flags, processes=1, environment={"MINE": "1"}, timeout=LIMIT)
    assert found == [("--xla_cpu_enable_fast_math=false", "1")]


def test_what_is_shown_is_not_kept(capfd):
    with processes.start(leave, "seen", processes=1, show=(0,)) as group:
        group.wait(LIMIT, check=False)
    assert group.processes[0].output == ""
    assert "seen" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["processes", "devices", "join_timeout"])
@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2"])
def test_numbers_that_are_none_are_refused(name, number):
    with pytest.raises(ValueError, match=f"{name}={number!r}: give a whole number from 1 on"):
        processes.start(never, **{name: number})


def test_showing_a_process_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="names process 2; there are 2"):
        processes.start(never, processes=2, show=(0, 2))
