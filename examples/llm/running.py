"""A run: train, show how it goes, save, and go on where the last run stopped."""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from examples.llm import meshes, progress, sampling, saving, steps, text
from examples.llm.settings import Settings

CHECKED = 32  # batches of held out text


def is_first() -> bool:
    """Tell whether this process is the one that prints and writes."""
    return jax.process_index() == 0


class Log:
    """The losses of a run, a line for each step; a later run replaces what it computes again."""

    def __init__(self, folder: Path, done: int) -> None:
        self.path = folder / "losses.jsonl"
        kept = [line for line in self.lines() if line["step"] <= done]
        if is_first():
            whole = self.path.with_suffix(".part")  # a kill while it is written does no harm
            whole.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
            os.replace(whole, self.path)

    def lines(self) -> list[dict[str, Any]]:
        """Return what was written; a line that a kill cut short is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def add(self, step: int, **values: float) -> None:
        """Write one line."""
        if is_first():
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")


def train(folder: Path, settings: Settings, mesh_text: str, every: int, quiet: bool) -> bool:
    """Train to the end, or until the machine is to be taken away.

    Args:
      folder: of the run; what is in there is continued.
      settings: the sizes.
      mesh_text: how the devices are divided.
      every: steps between checkpoints.
      quiet: whether to print nothing on the way.

    Returns:
      Whether the run has come to its end.
    """
    mesh = meshes.make(meshes.sizes(mesh_text, jax.device_count()))
    sharding = meshes.of_batches(mesh)
    everything = text.read()
    border = text.held_out_from(everything)
    batches = text.batches(
        everything[:border], settings.length, settings.batch, sharding, settings.seed
    )
    with jax.set_mesh(mesh), saving.manager(folder, every) as checkpoints:
        done = 0
        if checkpoints.latest_step() is None:
            training = steps.create(settings)
        else:
            training, done = saving.restore(checkpoints, steps.abstract(settings), batches)
            say(f"goes on after step {done}", quiet)
        log = Log(folder, done)
        with progress.shown(settings, done, quiet or not is_first()) as show:
            for number, loss, speed in trained(training, batches, settings, sharding, done):
                log.add(number, loss=loss)
                show(number, loss, speed)
                leaving = checkpoints.reached_preemption(number)
                force = leaving or number == settings.steps
                saving.save(checkpoints, number, training, batches, force=force)
                if leaving:
                    break
            else:
                leaving = False
        checkpoints.wait_until_finished()
        if leaving:
            say(f"saved after step {number}; stopping as asked", quiet)
            return False
        return finish(folder, settings, training, checkpoints, everything[border:], sharding, quiet)


def finish(
    folder: Path,
    settings: Settings,
    training: steps.Training,
    checkpoints: ocp.CheckpointManager,
    held_out: np.ndarray,
    sharding: jax.sharding.NamedSharding,
    quiet: bool,
) -> bool:
    """Show what a training that is saved has learned; tell whether that came to its end.

    JAX counts on as in training when it asks whether all processes are to leave.
    """
    losses = []
    for loss in held_out_losses(training, held_out, settings, sharding):
        losses.append(loss)
        if checkpoints.reached_preemption(settings.steps + len(losses)):
            say("stopping as asked; the training is saved, its loss is not measured", quiet)
            return False
    mean = float(np.mean(losses))
    bits = mean / math.log(2)
    say(f"loss on text that was never trained on: {mean:.3f} nats, {bits:.3f} bits a byte", quiet)
    texts = samples(settings, training)
    for sample in texts:
        say(f"--- sample\n{sample}", quiet)
    if is_first():
        result = {"held_out": mean, "bits": bits, "samples": texts}
        (folder / "result.json").write_text(json.dumps(result, indent=2))
    return True


def trained(
    training: steps.Training,
    batches: Any,
    settings: Settings,
    sharding: jax.sharding.NamedSharding,
    done: int,
) -> Iterator[tuple[int, float, float]]:
    """Train step by step; give the number of steps done, the loss and the tokens a second."""
    first, began = done + 1, 0.0
    for number in range(first, settings.steps + 1):
        batch = text.placed(next(batches), settings.batch, sharding)
        loss = float(steps.compiled_step(training, batch))
        if number == first:
            began = time.monotonic()  # it has compiled
        passed = max(time.monotonic() - began, 1e-9)
        size = settings.batch * settings.length
        yield number, loss, (number - first) * size / passed


def held_out_losses(
    training: steps.Training,
    part: np.ndarray,
    settings: Settings,
    sharding: jax.sharding.NamedSharding,
) -> Iterator[float]:
    """Give the losses of some batches of text that training never sees."""
    batches = text.batches(part, settings.length, settings.batch, sharding, seed=0)
    for _ in range(CHECKED):
        batch = text.placed(next(batches), settings.batch, sharding)
        yield float(steps.compiled_loss(training.model, batch))


def samples(settings: Settings, training: steps.Training) -> list[str]:
    """Return two continuations of a beginning."""
    found = sampling.sample(settings, training.model, b"import os\n\ndef ", count=2)
    return [sampling.printable(sample) for sample in found]


def say(message: str, quiet: bool) -> None:
    """Print in the first process."""
    if is_first() and not quiet:
        print(message, flush=True)
