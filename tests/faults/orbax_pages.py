"""What readers have to do with a directory of Orbax in which one page of JSON is another."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from tests.faults import reference
from tests.faults.readers import REFUSED, flat, outcome, write

from ramie import checkpoint
from ramie.configurations import config
from ramie.training import checkpoints

PAGES = ("_METADATA", "_CHECKPOINT_METADATA", "array_metadatas/process_0")
_STEP = "checkpoint_1"


def tree() -> dict[str, Any]:
    """Return a tree that Orbax can save."""
    return {
        "a": jnp.arange(6.0).reshape(2, 3),
        "b": {"c": np.ones(3, np.float32), "d": jnp.zeros((), jnp.int32)},
        "none": None,
        "step": 3,
    }


def prepare(folder: Path) -> dict[str, bytes]:
    """Save a directory with a manifest and one without; return the pages by name."""
    before = config.flax_use_orbax_checkpointing
    config.update("flax_use_orbax_checkpointing", True)
    try:
        for name in ("summed", "bare"):
            checkpoints.save_checkpoint(folder / name, tree(), 1)
    finally:
        config.update("flax_use_orbax_checkpointing", before)
    (folder / "bare" / f".{_STEP}.ramie.json").unlink()
    pages = {name: folder / "bare" / _STEP / name for name in PAGES}
    return {name: path.read_bytes() for name, path in pages.items() if path.exists()}


def check(name: str, data: bytes, folder: Path) -> bool:
    """Check all that reads a directory, with a manifest and without; tell whether it was read."""
    for kind in ("summed", "bare"):
        step = folder / kind / _STEP
        whole = (step / name).read_bytes()
        try:
            write(step / name, data)
            found = outcome(lambda step=step: checkpoint.restore(step, None))
            health = outcome(lambda step=step: checkpoint.verify(step))
            if kind == "summed" and data != whole:
                assert found is REFUSED and health.state == "damaged", "it was read"
                continue
            for look in (checkpoint.outline, _described, _compared):
                outcome(lambda step=step, look=look: look(step))
            outcome(lambda: checkpoint.restore(folder / "bare", tree()), ValueError)
        finally:
            write(step / name, whole)
    if found is not REFUSED and isinstance(found, dict):
        wanted = {"/".join(names): leaf for names, leaf in flat(tree()).items()}
        for names, leaf in flat(found).items():
            expected = wanted.get("/".join(names))
            if isinstance(leaf, np.ndarray) and hasattr(expected, "dtype"):
                assert reference.same(leaf, np.asarray(expected)), "it says something else"
    return found is not REFUSED


def _described(step: Path) -> Any:
    return checkpoint.describe(step, statistics=True)


def _compared(step: Path) -> Any:
    return checkpoint.diff(step, step.parent.parent / "summed" / _STEP)


# --- steps of several items -----------------------------------------------------------------------


def prepare_step(folder: Path) -> dict[str, bytes]:
    """Save a step of a `CheckpointManager`; return its pages of JSON by their path in it."""
    import orbax.checkpoint as orbax

    with orbax.CheckpointManager(folder / "run") as manager:
        items = orbax.args.Composite(
            state=orbax.args.PyTreeSave({"a": np.arange(4.0), "step": 3}),
            about=orbax.args.JsonSave({"k": [1, 2]}),
            array=orbax.args.ArraySave(np.ones(3)),
        )
        manager.save(7, args=items, metrics={"loss": 0.5})
    step = folder / "run" / "7"
    found = {str(path.relative_to(step)): path for path in step.rglob("*") if path.is_file()}
    pages = {name: path.read_bytes() for name, path in found.items()}
    return {name: data for name, data in sorted(pages.items()) if data.startswith(b"{")}


def check_step(name: str, data: bytes, folder: Path) -> None:
    """Check all that reads a step, or looks through its folder."""
    step = folder / "run" / "7"
    whole = (step / name).read_bytes()
    try:
        write(step / name, data)
        for look in (checkpoint.outline, checkpoint.verify, _described):
            outcome(lambda look=look: look(step))
        outcome(lambda: checkpoint.restore(step, None))
        outcome(lambda: checkpoint.restore(folder / "run", None, prefix=""))
        outcome(lambda: checkpoint.diff(step, step))
        listed = outcome(lambda: checkpoint.survey(folder / "run", "", health=True, others=True))
        assert listed is not REFUSED, "one odd page ended the survey"
        assert outcome(lambda: checkpoint.newest_intact(folder / "run", "")) is not REFUSED
    finally:
        write(step / name, whole)
