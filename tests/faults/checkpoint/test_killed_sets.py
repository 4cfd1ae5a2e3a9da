"""SIGKILL while safetensors replace each other, one file by several: old or new is there, whole."""

import pytest
from tests.faults import killing, scale, tally
from tests.listing import names

from ramie import checkpoint


def look(folder):
    """Read the file and the index, whichever are there; return the latest step."""
    there = [folder / "m.safetensors", folder / "m.safetensors.index.json"]
    found = [
        killing.check_content(checkpoint.load_safetensors(place))
        for place in there
        if place.exists()
    ]
    return max(found, default=-1)


def save_once_more(folder):
    """Save after all the kills: nothing that they left may be in the way, or stay."""
    checkpoint.save_safetensors(folder / "m.safetensors", {"end": 1}, overwrite=True)
    assert names(folder) == ["m.safetensors"]


@pytest.fixture(scope="module")
def killer():
    with killing.victim() as found:
        yield found


@pytest.mark.timeout(3600)
def test_sets_survive_sigkill_at_random_moments(tmp_path, killer):
    kills = scale.times(6, 200)
    killing.kill_again_and_again(killer, "sets", tmp_path, kills, lambda: look(tmp_path))
    save_once_more(tmp_path)


@pytest.mark.timeout(3600)
def test_sets_survive_sigkill_at_any_call(tmp_path, killer):
    first, call, killed = 0, 0, True
    while killed:
        call += 1 if scale.times(0, 1) else 13
        acknowledged, killed = killer.kill_at_call("sets", tmp_path, first, call)
        with tally.fault("kills", tally.LOST):
            latest = look(tmp_path)
            assert latest >= acknowledged >= first
        first = latest + 1
    assert call > 40, "replacing a set makes more calls than that"
    save_once_more(tmp_path)
