"""SIGKILL at any moment: every acknowledged save restores, and nothing half-made is ever seen."""

import pytest
from tests.faults import killing, scale, tally
from tests.listing import names

from ramie import checkpoint

MODES = ["plain", "overwrite", "async"]


def look(folder):
    """Restore everything in a folder; return the step of the latest."""
    for name in names(folder):
        if not name.startswith("."):
            killing.check_content(checkpoint.restore(folder / name, None))
    found = checkpoint.restore(folder, None)
    return -1 if found is None else killing.check_content(found)


def save_once_more(folder):
    """Save after all the kills: nothing that they left may be in the way, or stay."""
    checkpoint.save(folder, {"end": 1}, 10**6, overwrite=True)
    assert names(folder) == ["checkpoint_1000000"]


@pytest.fixture(scope="module")
def killer():
    with killing.victim() as found:
        yield found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_acknowledged_saves_survive_sigkill_at_random_moments(tmp_path, killer, mode):
    kills = scale.times(6, 200)
    killing.kill_again_and_again(killer, mode, tmp_path, kills, lambda: look(tmp_path))
    save_once_more(tmp_path)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", MODES)
def test_acknowledged_saves_survive_sigkill_at_any_call(tmp_path, killer, mode):
    first, call, killed = 0, 0, True
    while killed:
        call += 1 if scale.times(0, 1) else 7
        acknowledged, killed = killer.kill_at_call(mode, tmp_path, first, call)
        with tally.fault("kills", tally.LOST):
            latest = look(tmp_path)
            assert latest >= acknowledged >= first
        first = latest + 1
    assert call > 20, "a save makes more calls than that"
    save_once_more(tmp_path)


@pytest.mark.timeout(3600)
def test_two_writers_on_one_directory_never_tear_a_file(tmp_path, killer):
    saves = scale.times(8, 200)
    with killing.victim() as other:
        followed = [each.follow("overwrite", tmp_path, 0, saves) for each in (killer, other)]
        for _ in zip(*followed, strict=True):
            killing.check_content(checkpoint.restore(tmp_path, None))
            for name in names(tmp_path):
                state = checkpoint.restore(tmp_path / name, None) if name[0] != "." else None
                if state is not None:  # a writer may have removed it meanwhile
                    killing.check_content(state)
    look(tmp_path)
