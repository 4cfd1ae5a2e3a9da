"""Flat dictionaries and back: round trips, empty nodes, separators, and what is refused."""

import copy
import pickle
from collections import OrderedDict
from types import MappingProxyType

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie.core import FrozenDict, freeze
from ramie.traverse_util import empty_node, flatten_dict, path_aware_map, unflatten_dict

keys = st.text("abc", min_size=1, max_size=3)
values = st.one_of(st.integers(), st.none(), st.lists(st.integers(), max_size=2))
nested = st.recursive(
    st.dictionaries(keys, values, max_size=3),
    lambda inner: st.dictionaries(keys, st.one_of(values, inner), max_size=3),
    max_leaves=12,
)


def test_documented_example():
    xs = {"foo": 1, "bar": {"a": 2, "b": {}}}
    assert flatten_dict(xs) == {("foo",): 1, ("bar", "a"): 2}
    assert flatten_dict(xs, sep="/") == {"foo": 1, "bar/a": 2}
    assert unflatten_dict({"foo": 1, "bar/a": 2}, sep="/") == {"foo": 1, "bar": {"a": 2}}


@given(nested)
def test_flattening_with_empty_nodes_loses_nothing(xs):
    flat = flatten_dict(xs, keep_empty_nodes=True)
    assert unflatten_dict(flat) == xs
    joined = flatten_dict(xs, keep_empty_nodes=True, sep="/")
    assert joined == {"/".join(path): value for path, value in flat.items()}
    assert unflatten_dict(joined, sep="/") == xs


@given(nested)
def test_frozen_dictionaries_are_flattened_alike(xs):
    assert flatten_dict(freeze(xs)) == flatten_dict(xs)


@given(nested)
def test_order_is_that_of_a_walk(xs):
    def walk(node, path):
        for key, value in node.items():
            if isinstance(value, dict):
                yield from walk(value, (*path, key))
            else:
                yield (*path, key)

    assert list(flatten_dict(xs)) == list(walk(xs, ()))


@given(nested)
def test_a_map_keeps_the_structure(xs):
    mapped = path_aware_map(lambda path, x: (path, x), xs)
    flat = flatten_dict(mapped, keep_empty_nodes=True)
    original = flatten_dict(xs, keep_empty_nodes=True)
    assert list(flat) == list(original)
    for path, value in flat.items():
        assert value == (original[path] if value == empty_node else (path, original[path]))


def test_the_outermost_empty_dictionary_is_an_empty_flat_one():
    for keep in (True, False):
        assert flatten_dict({}, keep_empty_nodes=keep) == {}
    assert unflatten_dict({}) == {}


def test_is_leaf_sees_every_dictionary_from_the_outside_in():
    seen = []
    xs = {"a": {"b": {"c": 1}}, "d": {}}
    flatten_dict(xs, is_leaf=lambda path, node: bool(seen.append(path)))
    assert seen == [(), ("a",), ("a", "b"), ("d",)]
    assert flatten_dict(xs, is_leaf=lambda path, node: path == ("a",)) == {("a",): {"b": {"c": 1}}}
    assert flatten_dict({"a": {}}, is_leaf=lambda path, node: True) == {(): {"a": {}}}


@pytest.mark.parametrize("mapping", [MappingProxyType({"b": 1}), [{"b": 1}], (1, 2), None])
def test_other_containers_are_leaves(mapping):
    assert flatten_dict({"a": mapping}) == {("a",): mapping}


def test_subclasses_of_dict_are_inner_nodes():
    assert flatten_dict(OrderedDict(a=OrderedDict(b=1))) == {("a", "b"): 1}


@pytest.mark.parametrize("xs", [3, [1], None, "text", MappingProxyType({})])
def test_only_dictionaries_can_be_flattened(xs):
    with pytest.raises(TypeError, match=r"^expected \(frozen\)dict; got <class"):
        flatten_dict(xs)
    with pytest.raises(TypeError):
        path_aware_map(lambda path, x: x, xs)


def test_keys_of_any_type_as_tuples_but_only_texts_with_a_separator():
    assert flatten_dict({1: {(2, 3): 4}}) == {(1, (2, 3)): 4}
    with pytest.raises(TypeError, match="Only string keys"):
        flatten_dict({1: 2}, sep="/")


def test_two_entries_never_share_a_joined_name():
    with pytest.raises(ValueError, match="both called 'a/b'"):
        flatten_dict({"a/b": 1, "a": {"b": 2}}, sep="/")


@pytest.mark.parametrize(
    "flat",
    [
        {("a",): 1, ("a", "b"): 2},
        {("a", "b"): 2, ("a",): 1},
        {("a",): {"x": 1}, ("a", "b"): 2},
        {("a", "b", "c"): 2, ("a",): {}},
    ],
)
def test_a_leaf_with_something_below_it_is_refused(flat):
    original = copy.deepcopy(flat)
    with pytest.raises(ValueError, match="is a leaf in one entry"):
        unflatten_dict(flat)
    assert flat == original


def test_an_empty_node_gives_way_to_entries_below_it():
    for flat in ({("a",): empty_node, ("a", "b"): 1}, {("a", "b"): 1, ("a",): empty_node}):
        assert unflatten_dict(flat) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("flat", "sep", "error"),
    [
        ({"ab": 1}, None, TypeError),
        ({3: 1}, None, TypeError),
        ({("a",): 1}, "/", TypeError),
        ({(): 1}, None, ValueError),
        ({"a": 1}, "", ValueError),
        ([("a", 1)], None, TypeError),
    ],
)
def test_what_is_no_flat_dictionary_is_refused(flat, sep, error):
    with pytest.raises(error):
        unflatten_dict(flat, sep=sep)


def test_a_frozen_flat_dictionary_is_fine():
    assert unflatten_dict(FrozenDict({"a/b": 1}), sep="/") == {"a": {"b": 1}}


def test_the_empty_node_is_one_value_and_a_tree_without_leaves():
    assert pickle.loads(pickle.dumps(empty_node)) == empty_node
    assert jax.tree.leaves(empty_node) == []
    flat = flatten_dict({"a": {}, "b": {"c": 1}}, keep_empty_nodes=True)
    doubled = jax.tree.map(lambda x: 2 * x, flat)
    assert unflatten_dict(doubled) == {"a": {}, "b": {"c": 2}}
