"""A run: train, show how it goes, save after each epoch, and go on where the last run stopped."""

import json
from pathlib import Path

import numpy as np
from examples.vae import data, picture, saving, steps
from examples.vae.settings import Settings, UsageError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

WALKED = ((0, 6), (1, 7), (3, 8), (4, 9), (2, 5))  # from one digit to another


def run(folder: Path, settings: Settings, quiet: bool) -> None:
    """Train to the end, then measure and draw.

    Args:
      folder: of the run; what is in there is continued.
      settings: the numbers.
      quiet: whether to print nothing.
    """
    picture.check()
    learned, held_out, digits = data.load()
    if settings.batch > len(learned):
        raise UsageError(f"--batch is {settings.batch}, and there are {len(learned)} images.")
    training = steps.Training(settings, settings.epochs * (len(learned) // settings.batch))
    history = saving.restore(folder, settings, training)
    console = Console(quiet=quiet)
    if history:
        console.print(f"goes on after epoch {len(history)}", highlight=False)
    train(folder, settings, training, history, learned, held_out, console)
    show(folder, training, history, learned, held_out, digits, console)


def bar(console: Console) -> Progress:
    """Return the bar: epochs, the bound on images that are not learned from, time left."""
    return Progress(
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("held out {task.fields[bound]:.2f} nats"),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not console.is_terminal,
    )


def train(
    folder: Path,
    settings: Settings,
    training: steps.Training,
    history: list[dict[str, float]],
    learned: np.ndarray,
    held_out: np.ndarray,
    console: Console,
) -> None:
    """Train the epochs that are left, and write a checkpoint after each.

    Args:
      folder: of the run.
      settings: the numbers.
      training: is changed.
      history: gets a line for each epoch.
      learned: images to learn from.
      held_out: images to measure with.
      console: where to print.
    """
    with bar(console) as progress:
        bound = history[-1]["bound"] if history else float("nan")
        task = progress.add_task("", total=settings.epochs, completed=len(history), bound=bound)
        for epoch in range(len(history) + 1, settings.epochs + 1):
            batches = data.batches(learned, settings.batch, settings.seed, epoch)
            bounds = [steps.step(training, images) for images in batches]
            told, costs = map(float, steps.measure(training.model, held_out))
            line = {"bound": told - costs, "costs": costs, "learned": float(np.mean(bounds))}
            if not np.isfinite(line["bound"]):
                raise UsageError(f"the bound in epoch {epoch} is no number; take a lower --rate.")
            history.append(line)
            saving.save(folder, settings, training, history)
            progress.update(task, completed=epoch, bound=line["bound"])
            if not console.is_terminal and (epoch % 10 == 0 or epoch == settings.epochs):
                said = f"epoch {epoch}/{settings.epochs}: held out {line['bound']:.2f} nats"
                console.print(said, highlight=False)


def show(
    folder: Path,
    training: steps.Training,
    history: list[dict[str, float]],
    learned: np.ndarray,
    held_out: np.ndarray,
    digits: np.ndarray,
    console: Console,
) -> None:
    """Print the table of results, write it as JSON, and draw the pictures.

    Args:
      folder: of the run.
      training: what came out.
      history: the results of each epoch.
      learned: images that were learned from.
      held_out: images that were not.
      digits: that these show.
      console: where to print.
    """
    alone, pixels = data.pixels_alone(learned, held_out), held_out[0].size
    table = Table(title=f"{len(held_out)} images that were never learned from")
    for name in ("", "nats an image", "bits a pixel"):
        table.add_column(name, justify="right" if name else "left")
    told, costs = map(float, steps.measure(training.model, held_out, draws=64))
    bound = told - costs
    rows = {"every pixel on its own": alone, "the autoencoder, at least": bound}
    rows |= {"  images, from descriptions": told, "  descriptions": -costs}
    for name, nats in rows.items():
        table.add_row(name, f"{nats:.2f}", f"{-nats / pixels / np.log(2):.3f}")
    console.print(table)
    result = {"bound": bound, "costs": costs, "every_pixel_alone": alone}
    (folder / "result.json").write_text(json.dumps(result, indent=2))
    start, end = ([held_out[digits == pair[i]][0] for pair in WALKED] for i in (0, 1))
    model = training.model
    new = np.asarray(steps.samples(model, 0, rows=8, columns=16))
    between = np.asarray(steps.walk(model, np.stack(start), np.stack(end), columns=16))
    for path in (
        picture.tiles(new, "Digits that nobody wrote", folder / "samples.png"),
        picture.tiles(between, "From one digit to another", folder / "walk.png"),
        picture.curves(history, folder / "curves.png"),
    ):
        console.print(f"drawn in {path}", highlight=False, soft_wrap=True)
