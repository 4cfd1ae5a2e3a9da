"""What is paid once per process: imports, and the first `init` of a ResNet-50."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Series, alternate

ROOT = Path(__file__).resolve().parent.parent

LINEN_NAMES = "Module, compact, Dense, Conv, BatchNorm, relu"
NNX_NAMES = "Module, Linear, Conv, BatchNorm, Rngs, relu, jit, Optimizer, split, merge"
CHECKPOINT_NAMES = "restore_checkpoint, save_checkpoint"

# What programs import, and what of it they name: packages may put off work until then.
IMPORTS = {
    "`import X`": "import {}",
    "`import X.linen`": "import {}.linen",
    f"`from X.linen import` {LINEN_NAMES}": f"from {{}}.linen import {LINEN_NAMES}",
    "`import X.nnx`": "import {}.nnx",
    f"`from X.nnx import` {NNX_NAMES}": f"from {{}}.nnx import {NNX_NAMES}",
    "`import X.training.checkpoints`": "import {}.training.checkpoints",
    f"`from X.training.checkpoints import` {CHECKPOINT_NAMES}, and TrainState": (
        f"from {{0}}.training.checkpoints import {CHECKPOINT_NAMES}\n"
        "from {0}.training.train_state import TrainState"
    ),
}

# Beyond `import jax.numpy`, in the same process: the difference of two would be mostly noise.
IMPORT = """
import sys, time
import jax.numpy
program = compile(sys.argv[1], "imports", "exec")
start = time.process_time()
exec(program)
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


def measure_imports(rounds: int) -> dict[str, dict[str, Series]]:
    """Return the CPU seconds that imports take in a process that has JAX, by program."""

    def run(program: str, library: str) -> float:
        return float(run_python("-c", IMPORT, program.format(library)))

    contenders = {
        (title, library): functools.partial(run, program, library)
        for title, program in IMPORTS.items()
        for library in ("ramie", "flax")
    }
    found = alternate(contenders, rounds)
    return {
        title: {library: found[title, library] for library in ("ramie", "flax")}
        for title in IMPORTS
    }


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
