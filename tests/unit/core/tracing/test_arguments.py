"""Arguments that are named by number."""

import functools

import pytest

from ramie.core.tracing.arguments import (
    all_positional,
    by_position,
    from_start,
    named_positions,
    names_at,
    positions,
)


def f(x, y=1, z=2, *, only=3):
    return x, y, z, only


def of_any(x, *rest, **more):
    return x, rest, more


def positional(x, y=5, /, z=6):
    return x, y, z


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (None, ()),
        (1, (1,)),
        (-1, (2,)),
        ((2, 0), (0, 2)),
        ([0, -3], (0,)),
        ((3, -4), ()),
    ],
)
def test_positions_of_three(argnums, expected):
    assert positions(argnums, 3) == expected


@pytest.mark.parametrize(
    ("function", "argnums", "expected"),
    [
        (f, -1, (2,)),
        (f, (0, -3), (0, 0)),
        (f, (-4, 5), (-4, 5)),
        (functools.partial(f, 1), -1, (1,)),
        (of_any, -1, (-1,)),
        (print, -1, (-1,)),
        (dict.update, -1, (-1,)),
    ],
)
def test_numbers_from_the_start(function, argnums, expected):
    assert from_start(function, argnums) == expected


def test_numbers_and_names():
    assert named_positions(f, ("z", "only", "x")) == (0, 2)
    assert named_positions(f, "y") == (1,)
    assert named_positions(f, None) == ()
    assert names_at(f, (2, 7, -1)) == ("z",)


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "argnums", "expected"),
    [
        (f, (5,), {"y": 6}, 0, ((5,), {"y": 6})),
        (f, (5,), {"y": 6}, 1, ((5, 6), {})),
        (f, (), {"z": 7, "x": 5}, 2, ((5, 1, 7), {})),
        (f, (), {"x": 5, "only": 8}, 0, ((5,), {"only": 8})),
        (f, (5,), {}, 1, ((5, 1), {})),
        (f, (5,), {}, -1, ((5,), {})),
        (f, (5,), {"y": 6, "only": 8}, -1, ((5, 6), {"only": 8})),
        (f, (), {"y": 6}, 1, ((), {"y": 6})),
        (f, (5,), {"nowhere": 6}, 3, ((5, 1, 2), {"nowhere": 6})),
        (of_any, (5,), {"y": 6}, 1, ((5,), {"y": 6})),
        (positional, (1,), {"y": 2}, 2, ((1, 5, 6), {"y": 2})),
        (print, (5,), {"sep": ""}, 3, ((5,), {"sep": ""})),
    ],
)
def test_arguments_by_position(function, args, kwargs, argnums, expected):
    assert by_position(function, args, kwargs, argnums) == expected


def test_all_are_positional_or_it_is_said_which_are_not():
    assert all_positional(f, (1,), {"z": 3}, "vmap") == (1, 1, 3)
    with pytest.raises(TypeError, match=r"\['only'\] of a function under vmap"):
        all_positional(f, (1,), {"only": 3}, "vmap")
    assert all_positional(positional, (1,), {"z": 3}, "vmap") == (1, 5, 3)
