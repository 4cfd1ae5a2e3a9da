"""Runs of `examples.llm`: a base is read from one, and a merged model is written as one.

So what comes out is continued by the command of that example, ``python -m examples.llm --sample``.
"""

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
from examples.llm import checks
from examples.llm.settings import Settings, UsageError

from ramie import nnx

if TYPE_CHECKING:
    from examples.llm.model import Transformer


def settings_in(folder: Path) -> Settings:
    """Return the sizes of a run that holds a checkpoint.

    Args:
      folder: of the run.

    Raises:
      ValueError: it is no such folder.
    """
    try:
        found = checks.settings_in(folder)
    except (UsageError, OSError) as error:
        raise ValueError(f"--base {folder} is no run of examples.llm: {error}") from error
    if found is None or checks.newest(folder) is None:
        raise ValueError(
            f"--base {folder} is no run of examples.llm with a checkpoint. Make one by `python -m "
            f"examples.llm --workdir {folder}`, or leave --base out: then one is trained here."
        )
    return found


@contextlib.contextmanager
def one_device() -> Iterator[jax.sharding.Mesh]:
    """Let the names of axes in the model mean something: a mesh of the first device."""
    from examples.llm import meshes

    auto = (jax.sharding.AxisType.Auto,) * len(meshes.AXES)
    shape = (1,) * len(meshes.AXES)
    mesh = jax.make_mesh(shape, meshes.AXES, axis_types=auto, devices=jax.devices()[:1])
    with jax.set_mesh(mesh), nnx.logical_axis_rules(meshes.RULES):
        yield mesh


def read(folder: Path) -> "Transformer":
    """Return the model of the last checkpoint of a run.

    Args:
      folder: of the run.

    Raises:
      ValueError: the checkpoint is damaged, or of other sizes.
    """
    from examples.llm import saving, steps

    settings, number = settings_in(folder), checks.newest(folder)
    try:
        return saving.restore_training(folder, number or 0, steps.abstract(settings)).model
    except Exception as error:  # of Orbax and TensorStore, each with its own classes
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"checkpoint {number} of {folder} cannot be read: {type(error).__name__}: {first}"
        ) from error


def write(folder: Path, settings: Settings, model: "Transformer") -> None:
    """Write a run that has come to its end; nothing happens where it is there already.

    Args:
      folder: of the run.
      settings: the sizes.
      model: what it has learned.
    """
    from examples.llm import meshes, saving, steps, text

    if checks.newest(folder) is not None:
        return
    checks.begin(folder, settings)
    training = steps.create(settings)
    nnx.update(training.model, nnx.state(model, nnx.Param))
    sharding = meshes.of_batches(jax.sharding.get_mesh())
    place = text.batches(text.read(), settings.length, settings.batch, sharding, settings.seed)
    with saving.manager(folder, 1) as checkpoints:
        saving.save(checkpoints, settings.steps, training, place, force=True)
        checkpoints.wait_until_finished()


def fingerprint(state: nnx.State) -> str:
    """Tell parameters from others: a checksum of all their bits.

    Args:
      state: of a model.
    """
    found = 0
    for _, value in sorted(nnx.to_flat_state(state), key=lambda pair: str(pair[0])):
        found = zlib.crc32(np.asarray(value[...]).tobytes(), found)
    return f"{found:08x}"
