"""What calls agree in is equal where nothing can tell them apart, and else is not."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from tests.unit.nnx.modules.towers import Block, X

from ramie import nnx
from ramie.core.tracing.program import NotShared
from ramie.nnx.modules.agreeing import Parts, settings


def _structure(*args):
    return Parts((Block(nnx.Rngs(0)), *args), {}).structure


class Slotted:
    __slots__ = ("content",)


class Plain:
    def __init__(self, content):
        self.content = content


@dataclasses.dataclass
class Setting:
    content: object


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0.0, -0.0),
        (0j, -0j),
        ((1,), (True,)),
        ([0.0], (0.0,)),
        ({"a": 0.0}, {"a": -0.0}),
        ({1, 2}, {1, 3}),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (Setting(1), Setting(2)),
        (Setting([0.0]), Setting([-0.0])),
        (Plain(1), Plain(1)),
        (lambda x: x, lambda x: x + 1),
        (*((lambda x, c=c: c * x) for c in (0.0, -0.0)),),
        (np.float32, np.float64),
        (np.zeros(2), np.zeros(3)),
        (np.zeros(2), -np.zeros(2)),
    ],
)
def test_what_can_be_told_apart_is_not_equal(one, other):
    assert _structure({"x": one}) != _structure({"x": other})
    assert _structure({"x": one}) == _structure({"x": one})


def test_equal_content_is_equal():
    def made(c):
        return [lambda x: c * x, functools.partial(max, c), Setting({"a": (c,)}), [1, {2}]]

    assert _structure(made(1.0)) == _structure(made(1.0))
    assert hash(_structure(made(1.0))) == hash(_structure(made(1.0)))
    assert _structure(made(1.0)) != _structure(made(2.0))


def test_an_object_is_described_by_what_it_holds_now():
    plain = Plain([1])
    before = _structure(plain)
    plain.content.append(2)
    assert _structure(plain) != before
    plain.content = [plain]  # holds itself
    assert _structure(plain) == _structure(plain)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plain(nnx.Param(jnp.ones(2))),
        lambda: functools.partial(lambda block: block, Block(nnx.Rngs(0))),
        Slotted,
        lambda: list(range(10**4)) and Plain([(i, (i,)) for i in range(10**4)]),
        lambda: Plain(np.zeros(10**6)),
    ],
)
def test_what_nobody_can_describe_is_refused(make):
    block = Block(nnx.Rngs(0))
    object.__setattr__(block, "act", make())
    with pytest.raises(NotShared):
        Parts((block,), {})


def test_arrays_may_differ_and_their_shapes_may_not():
    one, other = (Parts((Block(nnx.Rngs(seed)), X * seed), {}) for seed in (1, 2))
    assert (one.structure, one.shapes) == (other.structure, other.shapes)
    assert Parts((Block(nnx.Rngs(0)), X[:1]), {}).shapes != one.shapes


def test_arguments_are_made_anew_of_other_arrays():
    block, other = Block(nnx.Rngs(0)), Block(nnx.Rngs(0))
    other.up.kernel[...] += 1
    parts = Parts((block, (X, {"x": X})), {})
    again, (x, named) = parts.rebuilt(Parts((other, (X + 1, {"x": X + 1})), {}).arrays)
    assert again is not block
    assert (again.up.kernel[...] == block.up.kernel[...] + 1).all()
    assert (x == X + 1).all()
    assert (named["x"] == X + 1).all()
    assert nnx.graphdef(again) == nnx.graphdef(block)


def test_only_values_of_variables_may_change():
    block = Block(nnx.Rngs(0))
    before = Parts((block,), {})
    block.up.bias[...] += 1
    assert Parts((block,), {}).are_still(before)
    block.more = 1
    assert not Parts((block,), {}).are_still(before)
    block = Block(nnx.Rngs(0))
    before = Parts((block,), {})
    block.up = nnx.Linear(8, 16, rngs=nnx.Rngs(0))
    assert not Parts((block,), {}).are_still(before)


def test_settings_are_equal_where_all_is_set_alike():
    before = settings()
    assert before == settings()
    with nnx.set_graph_mode(False):
        assert settings() != before
    assert settings() == before
