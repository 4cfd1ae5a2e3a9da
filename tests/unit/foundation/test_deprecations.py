"""Functions under their old names."""

import inspect

import pytest

from ramie.foundation.deprecations import deprecated


def doubled(x: int, *, times: int = 1) -> int:
    """Return twice as much."""
    return x * 2**times


def test_the_old_name_warns_where_it_is_called_and_does_the_same():
    old = deprecated(doubled)
    with pytest.warns(DeprecationWarning, match="call doubled instead") as caught:
        assert old(3, times=2) == 12
    assert caught[0].filename == __file__


def test_the_old_name_has_the_signature_and_points_to_the_new_one():
    old = deprecated(doubled)
    assert inspect.signature(old) == inspect.signature(doubled)
    assert old.__doc__.startswith("Deprecated: use `doubled`") and "twice" in old.__doc__
