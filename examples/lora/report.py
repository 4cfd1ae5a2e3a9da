"""What came out: losses on both texts, sizes of checkpoints, merged against unmerged."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from examples.llm import text as llm_text
from examples.llm.settings import Settings as Sizes
from examples.lora import adapters, loop, runs, steps, texts
from examples.lora.settings import Settings
from rich.console import Console
from rich.table import Table

from ramie import nnx
from ramie.training import checkpoints

MEASURED = 32  # batches of each held out text
TIMED = 20  # calls
MB = 1e6


def write(
    folder: Path,
    settings: Settings,
    sizes: Sizes,
    models: dict[str, Any],
    console: Console,
) -> None:
    """Measure, print tables, and write what can be used: the adapters, and the merged model.

    Args:
      folder: of the run.
      settings: its numbers.
      sizes: of the model.
      models: the ``base``, with ``adapters``, and ``full``, of which all is trained.
      console: where to print.
    """
    plain = adapters.merged(models["adapters"])
    save_alone(folder, settings, models)
    runs.write(folder / "merged", sizes, plain)
    new, old = held_out(settings, sizes)
    found = {
        name: {"new": steps.bits(model, new), "old": steps.bits(model, old)}
        for name, model in models.items()
    }
    gain = {name: found["base"]["new"] - found[name]["new"] for name in ("adapters", "full")}
    said = [np.asarray(steps.logits(model, new[0])) for model in (models["adapters"], plain)]
    result = {
        "bits": found,
        "gain_reached": gain["adapters"] / gain["full"] if gain["full"] > 0 else None,
        "parameters": {
            "adapters": adapters.count(nnx.state(models["adapters"], nnx.LoRAParam)),
            "full": adapters.count(nnx.state(models["full"], nnx.Param)),
        },
        "bytes": {name: size_of(folder, name) for name in SAVED},
        "largest_logit": float(np.abs(said[0]).max()),
        "merged_differs_by": float(np.abs(said[0] - said[1]).max()),
    }
    loop.replace(folder / "result.json", json.dumps(result, indent=2) + "\n")
    for name, model in (("unmerged", models["adapters"]), ("merged", plain)):
        loop.note_time(folder, name, seconds_of(model, new[0]))
    show(folder, settings, result, console)


SAVED = {
    "adapters": "adapters",
    "adapters_training": "checkpoints/adapters",
    "full": "model",
    "full_training": "checkpoints/full",
}


def save_alone(folder: Path, settings: Settings, models: dict[str, Any]) -> None:
    """Save the adapters, and all parameters of a model beside them, both without an optimizer."""
    for name, state in (
        ("adapters", nnx.state(models["adapters"], nnx.LoRAParam)),
        ("model", nnx.state(models["full"], nnx.Param)),
    ):
        checkpoints.save_checkpoint(folder / name, state, settings.steps, overwrite=True)


def size_of(folder: Path, name: str) -> int:
    """Return the bytes of the newest checkpoint of one of `SAVED`."""
    newest = checkpoints.latest_checkpoint(folder / SAVED[name])
    return Path(str(newest)).stat().st_size


def held_out(settings: Settings, sizes: Sizes) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return batches of the new text and of Python's library, none of which was learned from."""
    new, old = (
        texts.divided(everything)[1] for everything in (texts.read(settings.text), llm_text.read())
    )
    size, length = settings.batch, sizes.length
    return texts.spread(new, length, size, MEASURED), texts.spread(old, length, size, MEASURED)


def seconds_of(model: Any, batch: np.ndarray) -> float:
    """Return the median time of a forward pass."""
    jax.block_until_ready(steps.logits(model, batch))
    found = []
    for _ in range(TIMED):
        began = time.perf_counter()
        jax.block_until_ready(steps.logits(model, batch))
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def show(folder: Path, settings: Settings, result: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    times = json.loads((folder / "times.json").read_text())
    title = f"held out text in bits a byte: {Path(settings.text).name} is new, Python is old"
    table = Table("", "new", "old", "trained", "saved", "+ optimizer", "step", title=title)
    for name, label in (("base", "base"), ("adapters", "adapters"), ("full", "all parameters")):
        bits = result["bits"][name]
        row = [label, f"{bits['new']:.3f}", f"{bits['old']:.3f}"]
        if name != "base":
            row.append(f"{result['parameters'][name]:,}")
            row += [f"{result['bytes'][key] / MB:.2f} MB" for key in (name, f"{name}_training")]
            row.append(f"{1000 * times[name]:.0f} ms" if name in times else "")
        table.add_row(*row)
    console.print(table)
    part = result["parameters"]["adapters"] / result["parameters"]["full"]
    smaller = result["bytes"]["full"] / result["bytes"]["adapters"]
    reached, merged = result["gain_reached"], folder / "merged"
    gain = "" if reached is None else f" reach {100 * reached:.1f} % of the gain"
    for line in (
        f"adapters: {100 * part:.2f} % of the parameters{gain}; their checkpoint "
        f"is 1/{smaller:.1f} of the model's. The base is bit for bit as it was.",
        f"merged against unmerged: logits up to {result['largest_logit']:.1f} differ by "
        f"{result['merged_differs_by']:.1e} at most; a forward pass takes "
        f"{1000 * times['merged']:.1f} ms and {1000 * times['unmerged']:.1f} ms",
        f"to continue a text: python -m examples.llm --workdir {merged} --sample '#include '",
    ):
        console.print(line, soft_wrap=True)
