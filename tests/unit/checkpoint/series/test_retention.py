"""Which checkpoints expire."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie.checkpoint.series.retention import check_options, expired
from ramie.checkpoint.series.steps import Found
from ramie.errors import CheckpointOptionError


def kept(numbers, keep, distance=None):
    """Run saves one after another, as a training run does; return what is left."""
    present = []
    for number in numbers:
        present.append(Found(number, str(number), str(number)))
        doomed = expired(present, keep, distance)
        present = [found for found in present if found not in doomed]
    return [found.step for found in present]


def test_the_last_ones_stay():
    assert kept(range(10), 3) == [7, 8, 9]
    assert kept(range(3), 5) == [0, 1, 2]
    assert kept(range(4), 0) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "numbers, keep, distance, expected",
    [
        (range(1, 30), 2, 7, [1, 8, 15, 22, 28, 29]),
        (range(30), 2, 7, [1, 8, 15, 22, 28, 29]),
        (range(3, 40, 5), 1, 7, [3, 13, 23, 33, 38]),
        ((-8, -4, 0, 4, 8, 12), 1, 4, [-8, -4, 4, 8, 12]),
        ((0.0, 0.5, 1.0, 1.5, 2.0, 2.5), 1, 1, [0.5, 1.5, 2.5]),
        ((0, 10, 20, 30, 40), 2, 20, [10, 30, 40]),
        (range(5), 1, 0, [4]),
    ],
)
def test_one_in_so_many_steps_stays(numbers, keep, distance, expected):
    assert kept(numbers, keep, distance) == expected


@given(st.sets(st.integers(-100, 100), min_size=1), st.integers(1, 5), st.integers(1, 30))
def test_the_newest_always_stay_and_distances_are_kept(numbers, keep, distance):
    ordered = sorted(numbers)
    left = kept(ordered, keep, distance)
    assert left[-keep:] == ordered[-keep:]
    older = left[:-keep]
    assert all(b - a >= distance for a, b in itertools.pairwise(older))


@pytest.mark.parametrize("keep", [-1, None, 1.5, True, "2"])
def test_senseless_numbers_to_keep_are_refused(keep):
    with pytest.raises(CheckpointOptionError, match="keep"):
        check_options(keep, None)


@pytest.mark.parametrize("distance", [-1, float("nan")])
def test_senseless_distances_are_refused(distance):
    with pytest.raises(CheckpointOptionError, match="keep_every_n_steps"):
        check_options(1, distance)


def test_numbers_of_any_integer_type_are_fine():
    check_options(np.int64(3), np.int32(2))
    assert kept(range(5), np.int64(2)) == [3, 4]
