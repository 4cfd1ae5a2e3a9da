"""The short cut for many small arrays accepts and refuses what careful reading does."""

import io
import random

import numpy as np
import pytest
from tests.faults import scale, tally
from tests.tolerance import assert_exact

from ramie import serialization
from ramie.errors import MalformedDataError
from ramie.serialization.decode import decode


def outcome(read):
    try:
        return read(), None
    except MalformedDataError as error:
        return None, (error.problem, error.path, error.offset)


def check_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            check_equal(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert_exact(one, other)
    else:
        assert one == other or one != one


@pytest.mark.timeout(3600)
def test_both_say_the_same_of_mutated_bytes():
    generator = random.Random(0)
    layer = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2), "on": np.ones(1, bool)}
    tree = {f"layer{index}": layer for index in range(6)} | {"count": np.zeros((), np.int32)}
    encoded = serialization.to_bytes(tree)
    refused = 0
    for _ in range(scale.times(300, 10_000)):
        data = bytearray(encoded)
        for _ in range(generator.randint(0, 3)):
            data[generator.randrange(len(data))] = generator.choice(encoded)
        if generator.random() < 0.1:
            del data[generator.randrange(len(data)) :]
        with tally.fault("inputs read in two ways"):
            fast, problem = outcome(lambda data=data: serialization.msgpack_restore(bytes(data)))
            slow, expected = outcome(lambda data=data: decode(io.BytesIO(data), len(data)))
            assert problem == expected
            check_equal(fast, slow)
        refused += expected is not None
    assert refused > 20


@pytest.mark.parametrize("shape", [(), (3,), (0,), (2, 9)])
def test_both_say_the_same_of_every_byte_where_a_key_of_many_begins(shape):
    tree = {f"{index:03}": np.full(shape, index, np.float32) for index in range(300)}
    encoded = serialization.to_bytes(tree)
    for name in ("000", "001", "128", "200", "299"):
        at = encoded.index(name.encode()) - 1
        for first in range(256):
            data = encoded[:at] + bytes([first]) + encoded[at + 1 :]
            fast, problem = outcome(lambda data=data: serialization.msgpack_restore(data))
            slow, expected = outcome(lambda data=data: decode(io.BytesIO(data), len(data)))
            assert problem == expected
            check_equal(fast, slow)
