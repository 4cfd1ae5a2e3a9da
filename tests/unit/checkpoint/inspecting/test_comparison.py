"""Numbers side by side: against closed forms."""

import math

import jax
import ml_dtypes
import numpy as np
from tests.tolerance import assert_close

from ramie import checkpoint


def compared(tmp_path, one, two, **options):
    first = checkpoint.save(tmp_path, one, 1, keep=0)
    second = checkpoint.save(tmp_path, two, 2, keep=0)
    return {"/".join(found.path): found for found in checkpoint.compare(first, second, **options)}


def test_numbers_are_those_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(3, 700)), rng.normal(size=(3, 700))
    found = compared(tmp_path, {"w": one}, {"w": two.astype(np.float32)})["w"]
    two = two.astype(np.float32).astype(np.float64)
    for side, array in ((found.first, one), (found.second, two)):
        assert_close(side.mean, array.mean())
        assert_close(side.deviation, array.std())
        assert_close(side.norm, np.linalg.norm(array))
        assert (side.minimum, side.maximum, side.nans) == (array.min(), array.max(), 0)
    assert_close(found.change, np.linalg.norm(two - one) / np.linalg.norm(one))


def test_what_only_one_has_and_other_shapes(tmp_path):
    found = compared(
        tmp_path,
        {"a": np.ones(2), "b": np.ones(3), "key": jax.random.key(0), "n": 1},
        {"c": np.ones(2, ml_dtypes.bfloat16), "b": np.ones((3, 1)), "n": 2},
    )
    assert list(found) == ["a", "b", "c"]
    assert found["a"].second is None and found["c"].first is None
    assert [item.change for item in found.values()] == [None, None, None]


def test_zeros_and_what_is_not_finite(tmp_path):
    one = {
        "z": np.zeros(2),
        "same": np.zeros(2),
        "none": np.zeros(0),
        "nan": np.array([np.nan, 2.0, np.inf]),
    }
    two = {**one, "z": np.ones(2), "nan": np.array([1.0, 3.0, 1.0])}
    found = compared(tmp_path, one, two)
    assert (found["z"].change, found["same"].change, found["none"].change) == (math.inf, 0.0, 0.0)
    assert found["nan"].change == 0.5
    assert (found["nan"].first.nans, found["nan"].first.not_finite) == (1, 2)


def test_progress_ends_with_all_bytes(tmp_path):
    seen = []
    compared(tmp_path, {"w": np.ones(4)}, {"w": np.ones(4)}, progress=lambda *a: seen.append(a))
    assert seen == [("w", 0, 64), ("", 64, 64)]
