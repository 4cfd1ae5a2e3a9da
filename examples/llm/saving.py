"""Checkpoints by Orbax: in the background, whole or not there, read on any mesh."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import orbax.checkpoint as ocp
from examples.llm.steps import Training
from jax.sharding import NamedSharding, PartitionSpec

from ramie import nnx

if TYPE_CHECKING:
    import grain

KEPT = 2
FOLDER = "checkpoints"


class Manager(ocp.CheckpointManager):
    """Orbax's manager, which asks JAX about preemption in one thread alone.

    JAX names the step after the last one that it was asked about. When a save is done, Orbax's
    thread in the background asks about the step of that save, which training may have left behind:
    JAX then names a step that is over, and the run would never hear that it is to leave.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        self._asking, self._named = threading.get_ident(), -1
        super().__init__(*args, **keywords)

    def reached_preemption(self, step: int) -> bool:
        """Tell whether all processes are to leave after this step."""
        if threading.get_ident() == self._asking and super().reached_preemption(step):
            self._named = step
        return step == self._named


def manager(folder: Path, every: int) -> Manager:
    """Open the checkpoints of a run.

    Args:
      folder: of the run.
      every: steps between two of them.
    """
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT, save_interval_steps=every, enable_async_checkpointing=True
    )
    return Manager((folder / FOLDER).absolute(), options=options, item_names=("training", "text"))


def save(
    checkpoints: ocp.CheckpointManager,
    number: int,
    training: Training,
    text: "grain.DatasetIterator",
    force: bool = False,
) -> None:
    """Start to save, if the manager finds it time to; the arrays are copied before this returns.

    Args:
      checkpoints: where to.
      number: steps that are done.
      training: model and optimizer.
      text: whose place is saved with them.
      force: whether it is time in any case.
    """
    items = ocp.args.Composite(
        training=ocp.args.StandardSave(nnx.to_pure_dict(nnx.state(training))),
        text=ocp.args.JsonSave(text.get_state()),
    )
    checkpoints.save(number, args=items, force=force)


def restore(
    checkpoints: ocp.CheckpointManager, abstract: Training, text: "grain.DatasetIterator"
) -> tuple[Training, int]:
    """Read the newest checkpoint, each device its own part, whatever mesh it was saved from.

    Args:
      checkpoints: where from; they hold at least one.
      abstract: shapes, dtypes and places.
      text: is set to where it was.

    Returns:
      The training, and how many steps it has done.
    """
    number = checkpoints.latest_step()
    graphdef, state = nnx.split(abstract)
    found = checkpoints.restore(
        number,
        args=ocp.args.Composite(
            training=ocp.args.StandardRestore(_wanted(state)), text=ocp.args.JsonRestore()
        ),
    )
    nnx.replace_by_pure_dict(state, found["training"])
    text.set_state(found["text"])
    return nnx.merge(graphdef, state), number


def restore_training(folder: Path, number: int, abstract: Training) -> Training:
    """Read what a checkpoint of a run has learned, without its place in the text; change nothing.

    Args:
      folder: of the run.
      number: of the checkpoint.
      abstract: shapes, dtypes and places.
    """
    graphdef, state = nnx.split(abstract)
    with ocp.StandardCheckpointer() as checkpoint:
        path = (folder / FOLDER / str(number) / "training").absolute()
        found = checkpoint.restore(path, _wanted(state))
    nnx.replace_by_pure_dict(state, found)
    return nnx.merge(graphdef, state)


def _wanted(state: nnx.State) -> Any:
    """Say where each array shall lie, whatever mesh it was saved from."""
    everywhere = NamedSharding(jax.sharding.get_mesh(), PartitionSpec())
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding or everywhere),
        nnx.to_pure_dict(state),
    )
