"""SIGKILL while Orbax saves: every acknowledged save restores, and leftovers confuse nobody."""

import pytest

pytest.importorskip("orbax.checkpoint")

from tests.faults import killing, scale
from tests.listing import names

from ramie import checkpoint
from ramie.training import checkpoints


def look(folder):
    """Restore everything in a folder; return the step of the latest."""
    for name in names(folder):
        if not name.startswith(".") and "tmp" not in name:
            killing.check_content(checkpoint.restore(folder / name, None))
    found = checkpoint.restore(folder, None)
    return -1 if found is None else killing.check_content(found)


@pytest.fixture(scope="module")
def killer():
    with killing.victim() as found:
        yield found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", ["orbax", "orbax overwrite", "orbax async", "orbax checkpointer"])
def test_acknowledged_saves_of_orbax_survive_sigkill(tmp_path, killer, mode):
    kills = scale.times(3, 200)
    killing.kill_again_and_again(killer, mode, tmp_path, kills, lambda: look(tmp_path))
    checkpoints.save_checkpoint(tmp_path, {"end": 1}, 10**6, overwrite=True)
    # What Orbax left of a save under the final name is not ours to remove.
    left = [name for name in names(tmp_path) if not name.endswith(".orbax-checkpoint-tmp")]
    assert left == ["checkpoint_1000000"]
