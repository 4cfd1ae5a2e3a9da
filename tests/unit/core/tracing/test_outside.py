"""What functions do in Python beside what they return."""

import collections
import functools
import logging
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie.core.tracing.outside import Outside

TABLE = {"act": jax.nn.relu}
LOG = []
logger = logging.getLogger(__name__)


def pure(x):
    rows = []
    rows.append(TABLE["act"](x))
    return jnp.stack(rows)


def reads(x):
    return TABLE["act"](x) + len(LOG)


def appends(x):
    LOG.append(x)
    return x


def calls_another(x):
    return appends(x)


class Layers:
    scale = 2.0

    def __call__(self, x):
        return self.scale * reads(x)

    @staticmethod
    def stores(x):
        TABLE["x"] = x
        return x


@pytest.mark.parametrize(
    "thing",
    [
        reads,
        jax.nn.gelu,
        functools.partial(reads, 3),
        lambda x: jnp.sin(x) * np.pi,
        jax.jit(lambda x: reads(x)),
        jax.random.normal,
        3,
        (1, "a", None),
        np.ones(3),
        collections.namedtuple("Pair", "a b")(1, 2),
    ],
)
def test_nothing_is_seen(thing):
    outside = Outside([thing])
    assert not outside.is_seen
    assert outside.is_current()


@pytest.mark.parametrize(
    "thing",
    [
        pure,  # it may be the table that is appended to: nobody follows values
        appends,
        calls_another,
        functools.partial(calls_another, 3),
        jax.jit(appends),
        Layers,
        lambda x: print(x),
        lambda x: logging.info("called") or x,
        lambda x: logger.info("called") or x,
        lambda x: x + random.random(),
        lambda x: x + np.random.uniform(),
    ],
)
def test_something_is_seen(thing):
    assert Outside([thing]).is_seen


def test_what_is_read_may_change(monkeypatch):
    outside = Outside([reads])
    monkeypatch.setitem(TABLE, "act", jax.nn.gelu)
    assert not outside.is_current()
    monkeypatch.undo()
    assert outside.is_current()
    monkeypatch.setitem(globals(), "TABLE", dict(TABLE))
    assert not outside.is_current()


def test_variables_of_functions_around():
    scale, array = 1.0, np.zeros(2)

    def fn(x):
        return x * scale + array

    outside = Outside([fn])
    assert outside.is_current()
    array[0] = 1
    assert not outside.is_current()
    array[0] = 0
    scale = 2.0
    assert not outside.is_current()


def test_objects_in_place_of_which_others_are_looked_at():
    class Holder:
        def __init__(self, fn):
            self.fn = fn

        def change(self):
            self.fn = None

    def parts_of(x):
        return (x.fn,) if isinstance(x, Holder) else None

    assert Outside([Holder(reads)]).is_seen
    assert not Outside([Holder(reads)], parts_of).is_seen
    assert Outside([Holder(appends)], parts_of).is_seen
