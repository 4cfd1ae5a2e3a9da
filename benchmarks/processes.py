"""What is paid once per process: imports, and the first `init` of a ResNet-50."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import Series, alternate

ROOT = Path(__file__).resolve().parent.parent

IMPORTS = (
    "jax",
    "ramie",
    "ramie.linen",
    "ramie.training.checkpoints",
    "flax.linen",
    "flax.training.checkpoints",
)

COLD_INIT = """
import importlib, sys, time
import jax
from benchmarks import resnet
model = resnet.linen_resnet(importlib.import_module(sys.argv[1]))
image, key = resnet.image(), jax.random.key(0)
start = time.process_time()
jax.block_until_ready(model.init(key, image))
print(time.process_time() - start)
"""


def run_python(*arguments: str) -> tuple[str, float]:
    """Run a fresh interpreter without a compilation cache; return its output and CPU seconds."""
    # Bytecode is cached, as for any user: the warm-up round writes it.
    hidden = ("JAX_COMPILATION_CACHE_DIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"python {' '.join(arguments)[:60]!r} ended with {process.returncode}")
    return output, usage.ru_utime + usage.ru_stime


def measure_imports(rounds: int) -> dict[str, Series]:
    """Return the CPU seconds of a process that imports one module and ends."""

    def run(name: str) -> float:
        return run_python("-c", f"import {name}")[1]

    return alternate({name: functools.partial(run, name) for name in IMPORTS}, rounds)


def measure_cold_init(rounds: int) -> dict[str, Series]:
    """Return the CPU seconds, all threads, of the first un-jitted init of a ResNet-50."""

    def run(namespace: str) -> float:
        return float(run_python("-c", COLD_INIT, namespace)[0])

    contenders = {name: functools.partial(run, f"{name}.linen") for name in ("ramie", "flax")}
    return alternate(contenders, rounds, warm_up=0)
