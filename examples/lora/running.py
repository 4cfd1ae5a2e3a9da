"""A run: a base, adapters, and all parameters for comparison; each goes on where it stopped."""

from pathlib import Path
from typing import Any

from examples.llm import steps as llm_steps
from examples.llm import text as llm_text
from examples.llm.model import Transformer
from examples.lora import adapters, loop, report, runs, steps, texts
from examples.lora.settings import Settings
from rich.console import Console

from ramie import nnx

LOOK = 8  # batches of held out text for a look at how it goes


def check(settings: Settings, base: Path | None) -> dict[str, str]:
    """Refuse what does not go together, before anything is written.

    Args:
      settings: the numbers of the run.
      base: folder of a run of `examples.llm`, or None.

    Returns:
      Where the base and the texts come from, with checksums: a run goes on with the same alone.

    Raises:
      ValueError: says what does not fit.
    """
    sizes = settings.base() if base is None else runs.settings_in(base)
    layers = adapters.chosen(llm_steps.abstract(sizes).model, settings.names())
    adapters.check_rank(layers, settings.rank)
    _, held_out = texts.divided(texts.read(settings.text))
    least = settings.batch * sizes.length + 1
    if len(held_out) < least:
        raise ValueError(
            f"the text {settings.text} is too short: {len(held_out)} bytes are held out, and one "
            f"batch of {settings.batch} windows takes {least}."
        )
    given = None if base is None else runs.fingerprint(nnx.state(runs.read(base), nnx.Param))
    return {
        "base": f"given, crc32 {given}" if given else "trained here",
        "new_text": llm_text.fingerprint(texts.read(settings.text)),
        "old_text": llm_text.fingerprint(llm_text.read()),
    }


def run(folder: Path, settings: Settings, base: Path | None, shown: bool = True) -> int:
    """Do what is left of a run, or until a signal asks to leave, and say what came out.

    Args:
      folder: of the run; what is in there is continued.
      settings: the numbers of the run.
      base: folder of a run of `examples.llm`; None to train one.
      shown: whether to print how it goes.

    Returns:
      The signal that ended the run early, or 0.
    """
    console = Console(quiet=not shown, highlight=False)
    if base is None:
        base = folder / "base"
        if ended_by := train_base(folder, base, settings, console):
            return ended_by
    sizes, model = runs.settings_in(base), runs.read(base)
    before = runs.fingerprint(nnx.state(model, nnx.Param))
    everything = texts.read(settings.text)
    learned, held_out = texts.divided(everything)
    console.print(
        f"base: {adapters.count(nnx.state(model)):,} parameters; text {settings.text}: "
        f"{len(learned):,} bytes to train on, {len(held_out):,} held out"
    )
    if (base / "text.txt").read_text() != llm_text.fingerprint(llm_text.read()):
        console.print("note: this base was trained with the library of another Python than this")
    batches = texts.Batches(learned, sizes.length, settings.batch, settings.seed)
    look = texts.spread(held_out, sizes.length, settings.batch, LOOK)
    adapted, full = trainings(settings, model)
    for stage, training in (("adapters", adapted), ("full", full)):
        part = loop.Stage(stage, settings.steps, settings.every)
        if ended_by := loop.train(folder, part, training, batches, look, console):
            return ended_by
    after = runs.fingerprint(nnx.state(adapted.model, steps.FROZEN))
    if after != before:
        raise ValueError(f"the base has changed: its checksum was {before} and is {after}.")
    models = {"base": model, "adapters": adapted.model, "full": full.model}
    report.write(folder, settings, sizes, models, console)
    return 0


def trainings(settings: Settings, model: Any) -> tuple[steps.Training, steps.Training]:
    """Return the training of adapters around the model, and that of all its parameters.

    Args:
      settings: the numbers of the run.
      model: the base; stays as it is.
    """
    rngs = nnx.Rngs(settings.seed)
    with_adapters = adapters.added(nnx.clone(model), settings.names(), settings.rank, rngs)
    shape = settings.warmup, settings.steps
    factor = settings.alpha / settings.rank
    tx = steps.for_adapters(settings.rate, *shape, factor)
    all_tx = steps.optimizer(settings.full_rate, *shape)
    return (
        steps.Training(with_adapters, tx, nnx.LoRAParam),
        steps.Training(nnx.clone(model), all_tx, nnx.Param),
    )


def train_base(folder: Path, base: Path, settings: Settings, console: Console) -> int:
    """Train a base as `examples.llm` does, if there is none yet, and write it as a run of that.

    Args:
      folder: of the run.
      base: where to write it.
      settings: the numbers of the run.
      console: where to print.

    Returns:
      The signal that ended it early, or 0.
    """
    sizes = settings.base()
    if (base / "checkpoints" / str(sizes.steps)).exists():
        return 0
    learned, held_out = texts.divided(llm_text.read())
    model = Transformer(sizes, rngs=nnx.Rngs(sizes.seed))
    training = steps.Training(model, steps.for_base(sizes), nnx.Param)
    batches = texts.Batches(learned, sizes.length, sizes.batch, sizes.seed)
    look = texts.spread(held_out, sizes.length, sizes.batch, LOOK)
    stage = loop.Stage("base", sizes.steps, settings.every)
    ended_by = loop.train(folder, stage, training, batches, look, console)
    if not ended_by:
        runs.write(base, sizes, training.model)
    return ended_by
