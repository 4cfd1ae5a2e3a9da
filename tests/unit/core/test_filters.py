"""Filters against a brute-force reading over a small alphabet of names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import errors
from ramie.core import filters
from ramie.core.filters import DenyList, in_filter

NAMES = ("params", "batch_stats", "cache", "never named by any filter")

finite = st.one_of(
    st.booleans(),
    st.sampled_from(NAMES[:3]),
    st.lists(st.sampled_from(NAMES[:3])),
    st.sets(st.sampled_from(NAMES[:3])),
)
any_filter = st.recursive(finite, lambda inner: st.builds(DenyList, inner), max_leaves=3)


def matched(filter_like):
    return {name for name in NAMES if in_filter(filter_like, name)}


@given(any_filter, any_filter)
def test_set_operations_agree_with_sets_of_names(a, b):
    assert matched(filters.union_filters(a, b)) == matched(a) | matched(b)
    assert matched(filters.intersect_filters(a, b)) == matched(a) & matched(b)
    assert matched(filters.subtract_filters(a, b)) == matched(a) - matched(b)


@given(any_filter)
def test_emptiness_and_listing_agree_with_membership(a):
    assert filters.is_filter_empty(a) == (not matched(a))
    if NAMES[3] in matched(a):
        with pytest.raises(ValueError, match="cannot be listed"):
            filters.filter_to_set(a)
    else:
        assert filters.filter_to_set(a) == matched(a)


@given(any_filter)
def test_deny_list_is_the_complement(a):
    assert matched(DenyList(a)) == set(NAMES) - matched(a)


def test_results_keep_the_documented_spelling():
    assert filters.union_filters("a", ["b"]) == {"a", "b"}
    assert filters.union_filters(DenyList(["a", "b"]), ["b"]) == DenyList({"a"})
    assert filters.intersect_filters(True, "a") == "a"
    assert filters.subtract_filters(True, "a") == DenyList("a")
    assert filters.subtract_filters(True, True) is False


@pytest.mark.parametrize("bad", [None, 3, 1.5])
def test_what_is_no_filter_is_refused(bad):
    for ask in (
        lambda: in_filter(bad, "params"),
        lambda: filters.is_filter_empty(bad),
        lambda: filters.filter_to_set(bad),
        lambda: filters.union_filters(bad, "params"),
    ):
        with pytest.raises(errors.InvalidFilterError):
            ask()


def test_groups_take_each_entry_once_in_order():
    xs = {"params": 1, "cache": 2, "batch_stats": 3}
    assert filters.group_collections(xs, ["cache", True, True]) == (
        {"cache": 2},
        {"params": 1, "batch_stats": 3},
        {},
    )
    assert filters.group_collections(xs, ["missing"]) == ({},)
    assert list(filters.group_collections(xs, [True])[0]) == list(xs)


def test_containers_with_only_membership_work_where_only_that_is_needed():
    class Prefix:
        def __contains__(self, name):
            return name.startswith("batch")

    assert in_filter(Prefix(), "batch_stats")
    assert not in_filter(DenyList(Prefix()), "batch_stats")
