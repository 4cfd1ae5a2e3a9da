"""Values that stand for what a trace depends on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie import linen as nn
from ramie import serialization, struct
from ramie.linen.transforms.fingerprint import ModuleKey, fingerprint


class Box(nn.Module):
    """Holds anything."""

    value: object = None


@struct.dataclass
class Pair:
    """A pytree of two."""

    first: object
    second: object


class Unhashable:
    """Has no hash."""

    __hash__ = None


def function(x):
    return x


SAME = [
    (lambda: 1),
    (lambda: [1, {"a": (2, "b")}]),
    (lambda: np.arange(3)),
    (lambda: jnp.arange(3)),
    (lambda: jax.random.key(1)),
    (lambda: functools.partial(function, 1, b=[2])),
    (lambda: Pair(1, [2])),
    (lambda: nn.Dense(3, name="other")),
    (lambda: (nn.Dense(3), function, float, np.dtype("f4"))),
]
DIFFERENT = [
    (1, True),
    (1, 1.0),
    ([1], (1,)),
    ({"a": 1}, {"b": 1}),
    (np.arange(3), np.arange(1, 4)),
    (np.arange(3, dtype=np.int32), np.arange(3, dtype=np.float32)),
    (jax.random.key(1), jax.random.key(2)),
    (function, lambda x: x),
    (nn.Dense(3), nn.Dense(4)),
    (nn.Dense(3), nn.Dense(3, use_bias=False)),
    (Pair(1, 2), Pair(2, 1)),
    (Unhashable(), Unhashable()),
]


@pytest.mark.parametrize("make", SAME)
def test_equal_content_is_equal(make):
    assert fingerprint(make()) == fingerprint(make())
    assert ModuleKey.from_module(Box(make())) == ModuleKey.from_module(Box(make()))
    assert hash(ModuleKey.from_module(Box(make()))) == hash(ModuleKey.from_module(Box(make())))


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_content_differs(a, b):
    assert fingerprint(a) != fingerprint(b)
    assert ModuleKey.from_module(Box(a)) != ModuleKey.from_module(Box(b))


def test_names_do_not_count():
    key = ModuleKey.from_module
    assert key(nn.Dense(3, name="a")) == key(nn.Dense(3, name="b"))


def test_sharing_counts():
    one, two = nn.Dense(3), nn.Dense(3)
    assert fingerprint([one, one]) != fingerprint([one, two])
    assert fingerprint([one, one]) == fingerprint([two, two])


def test_what_has_no_hash_is_known_by_identity():
    value = Unhashable()
    assert fingerprint(value) == fingerprint(value)


def test_registered_types_are_compared_by_state():
    class Node:
        def __init__(self, a):
            self.a = a

        def __hash__(self):
            raise AssertionError("not to be asked")

    serialization.register_serialization_state(
        Node, lambda node: {"a": node.a}, lambda node, state: Node(state["a"])
    )
    assert fingerprint(Node(1)) == fingerprint(Node(1))
    assert fingerprint(Node(1)) != fingerprint(Node(2))


def test_a_tracer_is_never_known_again():
    seen = []

    @jax.jit
    def trace(x):
        seen.extend([fingerprint(x), fingerprint(x)])
        return x

    trace(1.0)
    assert seen[0] != seen[1]
