"""`python -m benchmarks`: run the workloads, write `benchmarks/RESULTS.md` and the README table."""

import argparse
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from benchmarks import checkpoint, host_cost, processes, report, scanned

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
README = RESULTS.parent.parent / "README.md"
PARTS = ("host", "scan", "imports", "cold", "checkpoint")
BARS = {
    "apply, traced": "1.25x",
    "apply of ResNet-50, traced": "1.25x",
    "apply, eager": "1.8x",
    "apply, eager, all layers compiled": "1.0x",
    "init, traced": "2.0x",
}
CHECKPOINT_BARS = {"save": "1.1x", "restore": "1.15x"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=15, help="of the host-cost workloads")
    parser.add_argument("--process-rounds", type=int, default=5, help="of imports and checkpoints")
    parser.add_argument("--cold-rounds", type=int, default=2, help="of the cold ResNet-50 init")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the saved state")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    smallest = min(arguments.rounds, arguments.process_rounds, arguments.cold_rounds)
    if smallest < 1 or arguments.megabytes < 1:
        parser.error("rounds and megabytes must be at least 1")
    return arguments


def _host(rounds: int) -> str:
    workloads = host_cost.measure(rounds)
    same = "equal in every bit" if host_cost.keeps_every_bit() else "NOT equal in every bit"
    return (
        "## Host cost of Linen\n\n"
        f"A transformer of 24 layers and 389 small parameters. CPU time of the main thread over "
        f"{rounds} rounds, each library against the same model in raw JAX, as *ratio of the minima "
        "/ ratio of the medians (middle half of the ratios within a round)*. Tracing is "
        "`jax.make_jaxpr`; `init` has no raw form and is set against the trace of the raw forward "
        f"pass. Ramie's and Flax's eager outputs and initial parameters were {same}.\n\n"
        + report.comparison(workloads, "raw jax", BARS)
        + "\n\nEquations in the traced programs, nested ones counted: "
        + report.counts(host_cost.equations())
    )


def _scan(rounds: int) -> str:
    return (
        "## Scan over layers\n\n"
        "`nn.scan` over 48 residual layers of two Dense, loss and gradients under `jit`, against "
        f"`jax.lax.scan` over the same stacked parameters; CPU time of all threads, {rounds} "
        "rounds. Compiling includes tracing.\n\n"
        + report.comparison(
            scanned.measure(rounds), "raw jax", dict.fromkeys(scanned.WORKLOADS, "1.1x")
        )
    )


def _imports(rounds: int) -> str:
    return (
        "## Imports\n\n"
        f"CPU time beyond `import jax`, {rounds} fresh processes each. TensorFlow was not "
        "installed; where it is, Flax's `training.checkpoints` imports that as well.\n\n"
        + report.imports(processes.measure_imports(rounds))
    )


def _cold(rounds: int) -> str:
    return (
        "## First `init` of a ResNet-50, not jitted\n\n"
        f"CPU time of all threads in a fresh process without a compilation cache, minimum of "
        f"{rounds}; image 64x64, float32.\n\n"
        + report.cold_init(processes.measure_cold_init(rounds))
    )


def _checkpoint(rounds: int, megabytes: int) -> str:
    times, peaks = checkpoint.measure(rounds, megabytes)
    return (
        "## Checkpoints\n\n"
        f"`save_checkpoint` and `restore_checkpoint` in the msgpack format, a state of {megabytes} "
        f"MB in 16 arrays, wall time over {rounds} rounds, against writing (with fsync) and "
        "reading the same bytes as one plain file.\n\n"
        + report.comparison(times, "plain file", CHECKPOINT_BARS)
        + "\n\n"
        + report.memory(peaks, megabytes)
    )


def main() -> None:
    """Measure what was asked for and write the report."""
    arguments = _arguments()
    sections = {
        "host": lambda: _host(arguments.rounds),
        "scan": lambda: _scan(arguments.rounds),
        "imports": lambda: _imports(arguments.process_rounds),
        "cold": lambda: _cold(arguments.cold_rounds),
        "checkpoint": lambda: _checkpoint(arguments.process_rounds, arguments.megabytes),
    }
    texts = []
    for name in PARTS:
        if name in arguments.only:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            texts.append(sections[name]())
    command = " ".join(["python -m benchmarks", *map(shlex.quote, sys.argv[1:])])
    parts = [
        "# Measured ratios",
        f"Written by `{command}` (`make bench`). {report.machine()}",
        "All contenders of a table took turns within one run. Compare within a row, never between "
        "runs; differences below about 15 % are noise. A bar is what the design of Ramie asks for, "
        "whether or not it is met.",
        *texts,
    ]
    arguments.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if arguments.output == RESULTS and "host" in arguments.only:
        host = next(text for text in texts if text.startswith("## Host cost"))
        rows = "\n".join(line for line in host.splitlines() if line.startswith("|"))
        page = README.read_text(encoding="utf-8")
        README.write_text(report.replace_table(page, "## Measured", rows), encoding="utf-8")
    print(arguments.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
