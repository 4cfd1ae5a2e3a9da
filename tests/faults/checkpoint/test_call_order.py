"""The order of system calls, as the kernel saw them: without it, nothing is durable."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from ramie import checkpoint

SAVE = """
import sys
from ramie import checkpoint
checkpoint.save(sys.argv[1], {"weights": b"x" * 100_000}, int(sys.argv[2]), keep=1)
"""
UNFINISHED = " <unfinished ...>"
RESUMED = re.compile(r"\s*<\.\.\. \w+ resumed>(.*)")
CALL = re.compile(r"\s*(\w+)\((.*)\)\s+= (-?\d+)")
CALLS = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"


def traced(folder, step, log):
    """Save under strace; return (call, path) of what was done to the folder and what is in it."""
    command = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-e",
        f"trace={CALLS}",
        "-s",
        "300",
        "-o",
        str(log),
    ]
    subprocess.run(
        [*command, sys.executable, "-c", SAVE, str(folder), str(step)],
        check=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    found, begun = [], {}
    for line in log.read_text().splitlines():
        thread, _, text = line.partition(" ")
        if text.endswith(UNFINISHED):  # another thread was faster; it counts when it is done
            begun[thread] = text.removesuffix(UNFINISHED)
            continue
        resumed = RESUMED.match(text)
        if resumed:
            text = begun.pop(thread) + resumed[1]
        match = CALL.match(text)
        if match is None or match[3] == "-1":
            continue
        paths = re.findall(rf'[<"]({re.escape(str(folder))}[^>"]*)', match[2])
        if paths:
            found.append((match[1], *paths))
    return found


def usable():
    """Tell whether there is a strace that may trace."""
    if shutil.which("strace") is None:
        return False
    return (
        subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not usable(), reason="strace is not there, or may not trace")
def test_data_is_durable_before_its_name_and_the_name_before_anything_goes(tmp_path):
    folder = tmp_path / "run"
    checkpoint.save(folder, {}, 1)
    calls = traced(folder, 2, tmp_path / "log")
    final = str(folder / "checkpoint_2")
    renamed = next(
        i for i, call in enumerate(calls) if call[0].startswith("rename") and call[-1] == final
    )
    temporary = calls[renamed][1]
    writes = [i for i, call in enumerate(calls) if "write" in call[0] and call[1] == temporary]
    syncs = [i for i, call in enumerate(calls) if "sync" in call[0] and call[1] == temporary]
    assert writes and max(writes) < max(syncs) < renamed
    after = [i for i, call in enumerate(calls) if call == ("fsync", str(folder)) and i > renamed]
    removed = [
        i
        for i, call in enumerate(calls)
        if "unlink" in call[0] and call[1].endswith("checkpoint_1")
    ]
    assert after and removed and renamed < after[0] < removed[0]
    # The manifest is there, and durable, before the file that it speaks of has its name.
    sheet = next(i for i, call in enumerate(calls) if call[-1].endswith(".checkpoint_2.ramie.json"))
    assert calls[sheet][0].startswith("rename") and sheet < renamed
    assert any("sync" in call[0] and call[1] == calls[sheet][1] for call in calls[:sheet])
