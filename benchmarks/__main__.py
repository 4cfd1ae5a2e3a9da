"""`python -m benchmarks`: run the workloads, write `benchmarks/RESULTS.md` and the README table."""

import argparse
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from benchmarks import (
    checkpoint,
    donation,
    growth,
    host_cost,
    init_memory,
    last_costs,
    outside_jit,
    plan_large,
    processes,
    repeated,
    report,
    scanned,
    sharing,
    stateful,
)

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
README = RESULTS.parent.parent / "README.md"
PARTS = (
    "host",
    "scan",
    "repeated",
    "nnx",
    "imports",
    "cold",
    "checkpoint",
    "outside",
    "donation",
    "sharing",
    "last",
    "growth",
    "init_memory",
    "plan",
)
BARS = {
    "apply, traced": "1.25x",
    "apply of ResNet-50, traced": "1.25x",
    "apply, eager": "1.8x",
    "apply, eager, all layers compiled": "1.0x",
    "init, traced": "2.0x",
}
IMPORT_BARS = dict.fromkeys(processes.IMPORTS, "0.5x") | {
    title: "0.25x" for title in processes.IMPORTS if "checkpoint" in title
}
CHECKPOINT_BARS = {
    "large save": "0.6x, memory 0.1x",
    "large save again": "0.6x, memory 0.1x",
    "large restore": "1.0x, memory 1.05x",
    "large restore cold": "1.0x, memory 1.05x",
    "large verify": "1.25x, memory 0.1x",
    "large verify cold": "1.25x, memory 0.1x",
    "large defer": "1.0x",
    "small save": "0.2x",
    "small restore": "0.2x",
    "small restore into": "0.2x",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=15, help="of the host-cost workloads")
    parser.add_argument("--import-rounds", type=int, default=9, help="of imports")
    parser.add_argument("--process-rounds", type=int, default=5, help="of checkpoints")
    parser.add_argument("--cold-rounds", type=int, default=2, help="of the cold ResNet-50 init")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the saved state")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rounds = arguments.rounds, arguments.import_rounds, arguments.process_rounds
    smallest = min(*rounds, arguments.cold_rounds)
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


def _nnx(rounds: int) -> str:
    sizes = stateful.memory_of_structures()
    kept = ", ".join(f"{name} {size / 1000:.0f} kB" for name, size in sizes.items())
    apart = stateful.measure_apart(rounds) | stateful.measure_construction(rounds)
    return (
        "## Host cost of NNX\n\n"
        f"A model of 50 blocks, each a linear layer and a batch norm; CPU time of the main thread, "
        f"{rounds} rounds of five calls. Steps are `nnx.jit`, against `jax.jit` on a flat list of "
        "the same leaves; the train step against `jax.jit` with `merge` inside.\n\n"
        + report.comparison(stateful.measure_steps(rounds), "jax.jit", stateful.bars())
        + "\n\nTaking models apart and making them, against Flax:\n\n"
        + report.comparison(apart, "flax", stateful.bars())
        + f"\n\nMemory that is kept after the model was split twice: {kept}."
    )


def _imports(rounds: int) -> str:
    return (
        "## Imports\n\n"
        f"CPU time in a process that has imported `jax.numpy`, {rounds} fresh processes each, as "
        "ratio of the minima / ratio of the medians (middle half of the ratios within a round). "
        "Ramie's packages import what is named when it is named: the rows with names count that "
        "in, for what a typical model or a typical loop names. TensorFlow was not installed; where "
        "it is, Flax's `training.checkpoints` imports that as well.\n\n"
        + report.comparison(processes.measure_imports(rounds), "flax", IMPORT_BARS)
    )


def _cold(rounds: int) -> str:
    return (
        "## First `init` of a ResNet-50, not jitted\n\n"
        f"CPU time of all threads in a fresh process without a compilation cache, minimum of "
        f"{rounds}; image 64x64, float32.\n\n"
        + report.cold_init(processes.measure_cold_init(rounds))
    )


def _checkpoint(rounds: int, megabytes: int) -> str:
    found = checkpoint.measure_all(rounds, megabytes)
    small = checkpoint.SMALL_ARRAYS * checkpoint.SMALL_ITEMS * 4 / checkpoint.MEGABYTE
    parts = [
        "## Checkpoints\n\n"
        f"Wall time over {rounds} rounds, each in a process of its own, as ratio of the minima / "
        "ratio of the medians (middle half of the ratios within a round). The yardstick writes, "
        "with fsync, or reads the same bytes as one plain file: into memory for each array where "
        "they are restored, through one buffer where they are verified. Extra memory is the most "
        "that was taken beyond the state itself, in sizes of the state. Flax and Ramie save "
        "msgpack files by `save_checkpoint`; of all the others only Ramie syncs the file and its "
        "directory."
    ]
    for title, key, yardstick, size in (
        (f"Saving {megabytes} MB in {checkpoint.ARRAYS} arrays", "large save", 0, megabytes),
        ("Saving them over the ones before", "large save again", 0, megabytes),
        ("Restoring them", "large restore", 0, megabytes),
        ("Restoring them from the disk", "large restore cold", 0, megabytes),
        ("Verifying them", "large verify", 0, megabytes),
        ("Verifying them from the disk", "large verify cold", 0, megabytes),
        (
            "Saving them in the background: how long the caller is held up",
            "large defer",
            1,
            megabytes,
        ),
        (f"Saving {checkpoint.SMALL_ARRAYS} arrays of 256 bytes", "small save", 2, small),
        ("Restoring those", "small restore", 2, small),
        ("Restoring those into a target of JAX arrays", "small restore into", 2, small),
    ):
        base = (checkpoint.PLAIN, checkpoint.COPY, "flax")[yardstick]
        times, peaks = found[key]
        parts.append(
            f"### {title}\n\n"
            + report.contenders(times, peaks, base, CHECKPOINT_BARS[key], round(size))
        )
    parts.append(
        "Orbax is left out where there are many small arrays: it takes minutes for 20 000 of them."
    )
    return "\n\n".join(parts)


def main() -> None:
    """Measure what was asked for and write the report."""
    arguments = _arguments()
    sections = {
        "host": lambda: _host(arguments.rounds),
        "scan": lambda: _scan(arguments.rounds),
        "repeated": lambda: repeated.section(arguments.rounds),
        "nnx": lambda: _nnx(arguments.rounds),
        "outside": lambda: outside_jit.section(arguments.rounds),
        "imports": lambda: _imports(arguments.import_rounds),
        "cold": lambda: _cold(arguments.cold_rounds),
        "sharing": lambda: sharing.section(arguments.rounds),
        "checkpoint": lambda: _checkpoint(arguments.process_rounds, arguments.megabytes),
        "donation": lambda: donation.section(arguments.process_rounds),
        "last": lambda: last_costs.section(arguments.rounds, arguments.cold_rounds),
        "init_memory": lambda: init_memory.section(min(arguments.process_rounds, 3)),
        "growth": lambda: growth.section(min(arguments.rounds, 5)),
        "plan": plan_large.section,
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
