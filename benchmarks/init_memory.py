"""What the initialisation of a model of a gigabyte takes in memory, on one device and on eight."""

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent
LAYERS, WIDTH = 64, 2048  # 1.07 GB of parameters
DEVICES = 8

# Styles, and ways to initialise: as it is, or compiled; on one device, or divided over a mesh.
STYLES = ("linen", "nnx")
WAYS = ("init", "jit(init)", "sharded init", "sharded jit(init)")
BAR = "1.1x"

CHILD = """
import json, sys
from benchmarks import init_memory
print(json.dumps(init_memory.peak(*sys.argv[1:4], *map(int, sys.argv[4:]))))
"""

_Init = Callable[[], Any]


def _mesh() -> Any:
    return jax.make_mesh((DEVICES,), ("model",), axis_types=(AxisType.Auto,))


def _raw(way: str, layers: int, width: int) -> _Init:
    """Return the initialisation of plain JAX: one function, or one draw after the other."""
    draw = jax.nn.initializers.lecun_normal()
    laid = NamedSharding(_mesh(), PartitionSpec(None, "model")) if "sharded" in way else None

    def init(key: Any) -> Any:
        made = [draw(key, (width, width)) for key in jax.random.split(key, layers)]
        return made if "jit" in way or laid is None else [jax.device_put(x, laid) for x in made]

    run = jax.jit(init, out_shardings=laid) if "jit" in way else init
    return functools.partial(run, jax.random.key(0))


def _linen(library: str, way: str, layers: int, width: int) -> _Init:
    nn = importlib.import_module(f"{library}.linen")
    draw, mesh = nn.initializers.lecun_normal(), _mesh()
    if "sharded" in way:
        draw = nn.with_partitioning(draw, (None, "model"))
    dense = functools.partial(nn.Dense, width, use_bias=False, kernel_init=draw)
    model = nn.Sequential([dense() for _ in range(layers)])
    key, x = jax.random.key(0), jnp.ones((1, width))
    if "jit" not in way:
        return functools.partial(model.init, key, x)
    laid = None
    if "sharded" in way:
        laid = nn.get_sharding(jax.eval_shape(model.init, key, x), mesh)
    return functools.partial(jax.jit(model.init, out_shardings=laid), key, x)


def _nnx(library: str, way: str, layers: int, width: int) -> _Init:
    nnx = importlib.import_module(f"{library}.nnx")
    draw = nnx.initializers.lecun_normal()
    if "sharded" in way:
        draw = nnx.with_partitioning(draw, (None, "model"))

    def make() -> Any:
        rngs = nnx.Rngs(0)
        dense = functools.partial(nnx.Linear, width, width, use_bias=False, kernel_init=draw)
        return nnx.Sequential(*(dense(rngs=rngs) for _ in range(layers)))

    run = nnx.jit(make) if "jit" in way else make
    return lambda: nnx.state(run())


def _made(library: str, style: str, way: str, layers: int, width: int) -> _Init:
    if library == "jax":
        return _raw(way, layers, width)
    return (_linen if style == "linen" else _nnx)(library, way, layers, width)


def _resident(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith(name))
    return int(line.split()[1]) * 1024


def peak(
    library: str, style: str, way: str, layers: int = LAYERS, width: int = WIDTH
) -> dict[str, float]:
    """Return what an initialisation took at most, in sizes of the parameters, in this process.

    Args:
        library: "jax", "flax" or "ramie".
        style: one of `STYLES`.
        way: one of `WAYS`.
        layers: of the model.
        width: of each layer.

    Returns:
        By how much the resident memory rose, devices together, and the seconds that it took.
    """
    # Plain JAX lays arrays out afterwards: under a mesh each device would draw all of each.
    is_meshed = "sharded" in way and library != "jax"
    with jax.set_mesh(_mesh()) if is_meshed else contextlib.nullcontext():
        # What is compiled and loaded once for all models is no part of this one.
        jax.block_until_ready(_made(library, style, way, 2, 256)())
        run = _made(library, style, way, layers, width)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, start = _resident("VmRSS"), os.times()
        made = jax.block_until_ready(run())
        spent = os.times()
        rose = _resident("VmHWM") - before
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(made) if leaf.size >= width * width)
    assert size == layers * width * width * 4, size
    seconds = spent.user + spent.system - start.user - start.system
    return {"peak": rose / size, "seconds": seconds}


def _in_a_process(library: str, style: str, way: str, layers: int, width: int) -> dict[str, float]:
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    made = subprocess.run(
        [sys.executable, "-c", CHILD, library, style, way, str(layers), str(width)],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(made.stdout.splitlines()[-1])
    return found


def contenders() -> list[tuple[str, str, str]]:
    """List library, style and way of all that is measured."""
    plain = [("jax", "", way) for way in WAYS]
    both = [
        (library, style, way)
        for way in WAYS
        for style in STYLES
        for library in ("flax", "ramie")
        # Flax leaves boxed values on all devices there, each of them whole.
        if (library, style, way) != ("flax", "linen", "sharded init")
    ]
    return plain + both


def measure(
    rounds: int, layers: int = LAYERS, width: int = WIDTH
) -> dict[tuple[str, str, str], list[dict[str, float]]]:
    """Return what each contender took, each time in a process of its own, processes in turn."""
    found: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name in contenders():
            found.setdefault(name, []).append(_in_a_process(*name, layers, width))
    return found


def section(rounds: int) -> str:
    """Write the section of the report."""
    rows = []
    for (library, style, way), runs in measure(rounds).items():
        peaks = sorted(run["peak"] for run in runs)
        spread = f"{peaks[-1]:.2f} ({peaks[0]:.2f} to {peaks[-1]:.2f})"
        seconds = min(run["seconds"] for run in runs)
        bar = BAR if library == "ramie" else ""
        rows.append([way, " ".join(filter(None, (library, style))), spread, bar, f"{seconds:.1f}"])
    rows.sort(key=lambda row: WAYS.index(row[0]))
    return (
        "## Memory of an initialisation\n\n"
        f"A model of {LAYERS} layers of {WIDTH}^2 parameters, 1.07 GB, made in a fresh process: by "
        "how much its resident memory rose at most, in sizes of the parameters (the most, and the "
        f"range), over {rounds} processes each, compiling included; a smaller model was made "
        f"before. The CPU seconds are the least. *Sharded* is divided over {DEVICES} devices "
        "forced out of one CPU, whose memory is counted together: 1 is one part each.\n\n"
        + report.table(["way", "contender", "peak", "bar", "CPU s"], rows)
    )
