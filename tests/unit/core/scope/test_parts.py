"""Parts of a scope taken apart and put together."""

import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact

from ramie.core.scope.parts import copied, drawn_counts, outline_of, rebuilt, update
from ramie.core.tracing.program import NotShared
from ramie.trees.frozen import FrozenDict

VARIABLES = {"a": {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}, "c": (jnp.arange(2), None)}


def test_arrays_in_order_and_back():
    leaves = []
    outline_of(VARIABLES, leaves)
    assert [x.shape for x in leaves] == [(2, 3), (3,), (2,)]
    again = rebuilt(VARIABLES, iter([x + 1 for x in leaves]))
    assert_exact(again["a"]["w"], VARIABLES["a"]["w"] + 1)
    assert_exact(again["c"][0], VARIABLES["c"][0] + 1)


@pytest.mark.parametrize(
    "other",
    [
        {**VARIABLES, "d": jnp.ones(())},
        {**VARIABLES, "c": (jnp.arange(2.0), None)},
        {**VARIABLES, "c": [jnp.arange(2), None]},
        {**VARIABLES, "a": {"w": jnp.ones((3, 2)), "b": jnp.zeros(3)}},
        {"c": VARIABLES["c"], "a": VARIABLES["a"]},
    ],
)
def test_outlines_tell_structures_and_types(other):
    outline = outline_of(VARIABLES, [])
    assert outline == outline_of(FrozenDict(VARIABLES), [])
    assert outline != outline_of(other, [])


def test_what_is_no_array():
    with pytest.raises(NotShared, match="no array"):
        outline_of({"a": "text"}, [])


def test_counters():
    counters = {"dropout": 2, "inner": {"dropout": 0}}
    assert drawn_counts(counters) == drawn_counts({"dropout": 2, "inner": {}, "other": 0})
    assert drawn_counts(counters) != drawn_counts({"dropout": 1})
    others = copied(counters)
    update(others, {"inner": {"dropout": 3}, "new": {"noise": 1}})
    assert counters == {"dropout": 2, "inner": {"dropout": 0}}
    assert others == {"dropout": 2, "inner": {"dropout": 3}, "new": {"noise": 1}}
