"""Numbers of every dtype: their statistics, and how far they are apart."""

import math

import ml_dtypes
import numpy as np
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie.checkpoint.inspecting import numbers

ML_DTYPES = [name for name in dir(ml_dtypes) if isinstance(getattr(ml_dtypes, name), type)]
ML_DTYPES = [name for name in ML_DTYPES if issubclass(getattr(ml_dtypes, name), np.generic)]


@pytest.mark.parametrize("size", [0, 1, 5, 2_500_000])
def test_statistics_of_parts_are_those_of_the_whole(size):
    array = (np.random.default_rng(0).standard_normal(size) + 1e3).astype("f4")
    found = numbers.statistics_of(array)
    if not size:
        assert math.isnan(found.mean) and math.isnan(found.minimum)
        return
    wide = array.astype("f8")
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    assert_close(np.float32(found.mean), np.float32(wide.mean()))
    assert_close(np.float32(found.deviation), np.float32(wide.std()))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16", "float8_e5m2"])
def test_no_finite_number_has_no_mean(dtype):
    found = numbers.statistics_of(np.array([np.nan, np.inf, -np.inf]).astype(dtype))
    assert all(math.isnan(number) for number in found[:4])
    assert (found.zeros, found.not_finite) == (0, 3)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", ">i8", "<u4", "int4", "?"])
def test_the_extremes_of_integers_are_exact(dtype):
    dtype = np.dtype(dtype)
    lowest, highest = (0, 1) if dtype.kind == "b" else (0, 0)
    if dtype.kind != "b":
        about = ml_dtypes.iinfo(dtype)
        lowest, highest = int(about.min), int(about.max)
    array = (
        np.array([lowest, highest, 0]).astype(dtype)
        if dtype.itemsize < 8
        else np.array([lowest, highest, 0], dtype)
    )
    found = numbers.statistics_of(array)
    assert (found.minimum, found.maximum) == (lowest, highest)
    assert type(found.minimum) is int
    assert found.zeros == (array == 0).sum() and found.not_finite == 0


def test_the_largest_numbers_are_no_less_than_they_are():
    assert numbers.statistics_of(np.array([1.7e308, -1.7e308])).maximum == 1.7e308


def test_distances_of_integers_do_not_overflow_or_round():
    last = 2**63 - 1
    one = np.array([last, -(2**63), last, 5, -(2**63)])
    two = np.array([last - 1, last, 0, -5, -(2**63) + 3])
    expected = np.array([1.0, float(2**64 - 1), float(last), 10.0, 3.0])
    assert_exact(numbers.distances(one, two), expected)
    assert_exact(numbers.distances(two.astype(">i8"), one.astype(">i8")), expected)
    small = np.array([-128, 127, 0], np.int8)
    assert_exact(numbers.distances(small, small[::-1]), np.array([128.0, 0.0, 128.0]))
    top = np.array([2**64 - 1, 0], np.uint64)
    assert_exact(numbers.distances(top, top - np.uint64(1))[:1], np.array([1.0]))
    assert_exact(numbers.distances(np.array([True]), np.array([False])), np.array([1.0]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float8_e5m2", "complex64"])
def test_distances_where_there_is_no_number(dtype):
    nan, inf = np.nan, np.inf
    one = np.array([nan, nan, inf, inf, 1.0, 1.0]).astype(dtype)
    two = np.array([nan, 1.0, inf, -inf, inf, 1.5]).astype(dtype)
    expected = [0.0, inf, 0.0, inf, inf, 0.5]
    assert [float(number) for number in numbers.distances(one, two)] == expected


@pytest.mark.parametrize("name", ML_DTYPES)
def test_dtypes_of_ml_dtypes_hold_numbers(name):
    dtype = np.dtype(name)
    kind = numbers.number_kind(dtype)
    assert kind == next(kind for part, kind in PARTS.items() if part in name)
    one, two = np.ones(2).astype(dtype), np.zeros(2).astype(dtype)
    if name == "float8_e8m0fnu":  # it has no zero
        two = one + one
    assert_exact(numbers.distances(one, two), np.ones(2))
    assert numbers.patterns(one).shape == (2, dtype.itemsize)


PARTS = {"complex": "complex", "float": "real", "int": "integer"}


@pytest.mark.parametrize("dtype", ["V3", "V1", "S4", "U2", "M8[s]", "m8[D]"])
def test_bytes_text_and_dates_are_no_numbers(dtype):
    assert numbers.number_kind(np.dtype(dtype)) is None


@pytest.mark.parametrize("dtype", ["f4", "V3", "V8", "bool", "longdouble", "S1", "int4"])
@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (2, 2)])
def test_patterns_have_a_row_for_each_element(dtype, shape):
    found = numbers.patterns(np.zeros(shape, dtype))
    assert len(found) == math.prod(shape) and not found.any()


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_patterns_leave_out_bits_that_mean_nothing(name):
    every = np.arange(256, dtype=np.uint8).view(name)
    count = 2 ** int(name[-1])
    assert_exact(numbers.patterns(every)[:count], numbers.patterns(every)[-count:])
    assert len({bytes(row) for row in numbers.patterns(every)}) == count
    assert_exact(every[:count], every[-count:].astype(np.int64).astype(name))


def test_patterns_leave_out_bytes_that_mean_nothing():
    one, two = np.ones(2, np.longdouble), np.ones(2, np.longdouble)
    if np.finfo(np.longdouble).nmant == 63:
        one.view(np.uint8)[15] = 1
    assert_exact(numbers.patterns(one), numbers.patterns(two))
    two[1] = np.nextafter(two[1], np.longdouble(2))
    assert (numbers.patterns(one) != numbers.patterns(two)).any(axis=1).tolist() == [False, True]
