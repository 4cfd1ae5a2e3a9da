"""What is paid once per process: imports, and the first `init` of a ResNet-50."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Series, alternate

ROOT = Path(__file__).resolve().parent.parent

IMPORTS = (
    "ramie",
    "ramie.linen",
    "ramie.training.checkpoints",
    "flax.linen",
    "flax.training.checkpoints",
)

# Beyond `import jax`, in the same process: the difference of two processes would be mostly noise.
IMPORT = """
import importlib, sys, time
import jax
start = time.process_time()
importlib.import_module(sys.argv[1])
print(time.process_time() - start)
"""

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


# Takes the comparisons with plain JAX for done, with the result that they have.
UNCHECKED = """
from ramie.ops.eager import proofs
proofs.first_equal = lambda *_: 0
"""

CHECKED, FIRST, NEVER = "ramie", "ramie, first process ever", "ramie, nothing compared"


def run_python(*arguments: str, **variables: str) -> str:
    """Run a fresh interpreter without a compilation cache; return its output.

    Args:
      arguments: of the interpreter.
      variables: of its environment, beside those that are there.
    """
    # Bytecode is cached, as for any user: the warm-up round writes it.
    hidden = ("JAX_COMPILATION_CACHE_DIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, "JAX_PLATFORMS": "cpu", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        raise RuntimeError(lines[-1])
    return result.stdout


def measure_imports(rounds: int) -> dict[str, Series]:
    """Return the CPU seconds that importing a module takes in a process that has JAX."""

    def run(name: str) -> float:
        return float(run_python("-c", IMPORT, name))

    return alternate({name: functools.partial(run, name) for name in IMPORTS}, rounds)


def measure_cold_init(rounds: int) -> dict[str, Series]:
    """Return the CPU seconds, all threads, of the first un-jitted init of a ResNet-50.

    Ramie compares its sampler with JAX's on first use and keeps what it finds: it is measured with
    that at hand, in the first process on a machine, and without any comparison.
    """
    with tempfile.TemporaryDirectory() as kept:

        def run(name: str) -> float:
            code, namespace = COLD_INIT, "flax.linen" if name == "flax" else "ramie.linen"
            if name == NEVER:
                code = UNCHECKED + code
            with tempfile.TemporaryDirectory() as empty:
                cache = empty if name == FIRST else kept
                return float(run_python("-c", code, namespace, XDG_CACHE_HOME=cache))

        run(CHECKED)  # finds and keeps
        names = (CHECKED, FIRST, NEVER, "flax")
        return alternate({name: functools.partial(run, name) for name in names}, rounds, warm_up=0)
