"""A run: train, show how it goes, save after each epoch, and go on where the last run stopped."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from examples.images import batches, model, picture, saving, sources, steps
from examples.images.settings import Settings, UsageError
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ramie.training.stepping import Stepper


@dataclasses.dataclass
class Run:
    """What the parts of a run share.

    Attributes:
      folder: of the run.
      settings: the choices.
      data: images.
      spread: how a batch lies on the devices: each has its part of the images.
      console: where to print.
      history: the results of each epoch.
    """

    folder: Path
    settings: Settings
    data: sources.Data
    spread: NamedSharding
    console: Console
    history: list[dict[str, float]]

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return len(self.data.train) // self.settings.batch


def run(folder: Path, settings: Settings, devices: int, quiet: bool) -> None:
    """Train to the end, then measure and draw.

    Args:
      folder: of the run; what is in there is continued.
      settings: the choices.
      devices: how many share each batch; 0 for all.
      quiet: whether to print nothing.
    """
    picture.check()
    spread = mesh(devices, settings.batch)
    data = sources.load(settings.data, settings.size)
    if settings.batch > len(data.train):
        raise UsageError(f"--batch is {settings.batch}, and there are {len(data.train)} images.")
    run = Run(folder, settings, data, spread, Console(quiet=quiet), [])
    image = data.train[0]["image"]
    network = model.make(settings.model, len(data.names), len(image), settings.precision)
    state = steps.create(network, settings, image.shape, settings.epochs * run.steps)
    state, run.history = saving.restore(folder, settings, state)
    say_what(run, state)
    step, test = steps.make(settings, batches.brightness(data.train))
    everywhere = NamedSharding(spread.mesh, PartitionSpec())
    training = Stepper(step, jax.device_put(state, everywhere), has_aux=True)
    del state  # so that its memory can be used again
    train(run, training, test)
    show(run, training.state, test)


def mesh(devices: int, batch: int) -> NamedSharding:
    """Return how a batch lies on a mesh of devices.

    Args:
      devices: how many; 0 for all.
      batch: images, which have to divide among them.
    """
    found = jax.devices()
    devices = devices or len(found)
    if devices > len(found):
        raise UsageError(f"--devices is {devices}, and JAX finds {len(found)}.")
    if batch % devices:
        raise UsageError(f"--batch is {batch}, which does not divide among {devices} devices.")
    line = jax.make_mesh(
        (devices,), ("data",), axis_types=(AxisType.Auto,), devices=found[:devices]
    )
    return NamedSharding(line, PartitionSpec("data"))


def say_what(run: Run, state: steps.TrainState) -> None:
    """Print what is about to happen."""
    count = sum(x.size for x in jax.tree.leaves(state.params))
    data, settings = run.data, run.settings
    for line in (
        f"{len(data.train)} images to learn from, {len(data.test)} to test, "
        f"{len(data.names)} classes",
        f"{settings.model}: {count:,} parameters, computes in {settings.precision}, "
        f"on {run.spread.mesh.size} devices",
        f"goes on after epoch {len(run.history)}" if run.history else "",
    ):
        if line:
            run.console.print(line, highlight=False, soft_wrap=True)


def bar(run: Run) -> Progress:
    """Return the bar: steps, accuracy, time left."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("test accuracy {task.fields[accuracy]:.2%}"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=run.console,
        disable=not run.console.is_terminal,
    )


def train(run: Run, training: Stepper[steps.TrainState], test: Any) -> None:
    """Train the epochs that are left, and write a checkpoint after each.

    Args:
      run: gets a line of history for each epoch.
      training: is changed.
      test: as `steps.make` returns it.
    """
    done, last = len(run.history) * run.steps, run.settings.epochs * run.steps
    accuracy = run.history[-1]["averaged"] if run.history else 0.0
    losses = []
    with bar(run) as progress:
        task = progress.add_task("", total=last, completed=done, accuracy=accuracy)
        for batch in batches.training(run.data.train, run.settings, done + 1, last):
            losses.append(training(jax.device_put(batch, run.spread)))
            done += 1
            progress.update(task, completed=done)
            if done % run.steps == 0:
                accuracy = finish_epoch(run, training.state, test, float(np.mean(losses)))
                losses = []
                progress.update(task, accuracy=accuracy)


def finish_epoch(run: Run, state: steps.TrainState, test: Any, loss: float) -> float:
    """Test, save, and return the accuracy of the averaged parameters.

    Args:
      run: gets a line of history.
      state: after the last step of the epoch.
      test: as `steps.make` returns it.
      loss: mean of the epoch.
    """
    epoch = len(run.history) + 1
    if not np.isfinite(loss):
        raise UsageError(f"the loss in epoch {epoch} is no number; take a lower --rate.")
    now = {"params": state.params, "batch_stats": state.batch_stats}
    line = {"loss": loss, "now": tested(run, state.apply_fn, now, test)["accuracy"]}
    line["averaged"] = tested(run, state.apply_fn, state.averaged, test)["accuracy"]
    run.history.append(line)
    saving.save(run.folder, run.settings, state, run.history)
    if not run.console.is_terminal:
        run.console.print(
            f"epoch {epoch}/{run.settings.epochs}: loss {loss:.4f}, "
            f"test accuracy {line['averaged']:.2%}",
            highlight=False,
        )
    return line["averaged"]


def tested(run: Run, apply: Any, variables: Any, test: Any) -> dict[str, Any]:
    """Test on every test image once: accuracy, loss, count, and the class found in each image.

    Sums are added over batches and divided once, because the last batch counts for less.
    """
    sums, found = {"right": 0.0, "loss": 0.0, "count": 0}, []
    for batch in batches.testing(run.data.test, run.settings.batch):
        result = jax.device_get(test(apply, variables, jax.device_put(batch, run.spread)))
        found.append(result.pop("found")[batch["mask"]])
        sums = {name: sums[name] + value.item() for name, value in result.items()}
    means = {"accuracy": sums["right"] / sums["count"], "loss": sums["loss"] / sums["count"]}
    return means | {"count": sums["count"], "found": np.concatenate(found)}


def show(run: Run, state: steps.TrainState, test: Any) -> None:
    """Print the table of results, write it as JSON, and draw the pictures.

    Args:
      run: with its history.
      state: what came out.
      test: as `steps.make` returns it.
    """
    now = {"params": state.params, "batch_stats": state.batch_stats}
    table = Table(title="Images that were never learned from")
    for name in ("parameters", "right", "of", "accuracy", "loss"):
        table.add_column(name, justify="left" if name == "parameters" else "right")
    results = {}
    for name, variables in (("of the last step", now), ("averaged", state.averaged)):
        result = tested(run, state.apply_fn, variables, test)
        found, results[name] = result.pop("found"), result
        right = round(result["accuracy"] * result["count"])
        table.add_row(
            name,
            str(right),
            str(result["count"]),
            f"{result['accuracy']:.2%}",
            f"{result['loss']:.4f}",
        )
    run.console.print(table)
    (run.folder / "result.json").write_text(json.dumps(results, indent=2))
    for path in (
        picture.curves(run.history, run.folder / "curves.png"),
        picture.guesses(run.data.test, found, run.data.names, run.folder / "guesses.png"),
    ):
        run.console.print(f"drawn in {path}", highlight=False, soft_wrap=True)
