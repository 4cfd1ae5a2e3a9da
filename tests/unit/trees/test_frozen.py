"""FrozenDict: a mapping, immutable, hashable, a pytree."""

import copy as copylib
import pickle
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerance import assert_exact

from ramie.trees import frozen
from ramie.trees.frozen import FrozenDict, freeze, unfreeze

NESTED = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text(max_size=4), inner, max_size=4)
).filter(lambda tree: isinstance(tree, dict))


@given(NESTED)
def test_freezing_and_unfreezing_gives_back_the_items(tree):
    assert unfreeze(freeze(tree)) == tree
    assert freeze(tree) == tree
    assert list(freeze(tree)) == list(tree)


@given(NESTED)
def test_the_hash_is_that_of_the_content(tree):
    other = dict(reversed(tree.items()))
    assert freeze(tree) == freeze(other)
    assert hash(freeze(tree)) == hash(freeze(other))


@given(NESTED)
def test_as_a_pytree_it_is_like_a_dict(tree):
    paths, _ = jax.tree_util.tree_flatten_with_path(freeze(tree))
    expected, _ = jax.tree_util.tree_flatten_with_path(tree)
    assert paths == expected
    leaves, structure = jax.tree_util.tree_flatten(freeze(tree))
    assert jax.tree_util.tree_unflatten(structure, leaves) == tree


@given(NESTED)
def test_pickles_and_copies_are_equal(tree):
    value = freeze(tree)
    assert pickle.loads(pickle.dumps(value)) == value
    assert copylib.deepcopy(value) == value
    assert copylib.copy(value) == value


def test_writes_to_the_source_do_not_reach_it():
    source = {"a": {"b": 1}}
    value = freeze(source)
    source["a"]["b"] = 2
    source["c"] = 3
    assert value == {"a": {"b": 1}}


def test_writes_to_what_was_unfrozen_do_not_reach_it():
    value = freeze({"a": {"b": [1]}})
    thawed = value.unfreeze()
    thawed["a"]["b"].append(2)
    assert value["a"]["b"] == [1]


def test_inner_dicts_are_seen_frozen():
    value = FrozenDict({"a": {"b": {"c": 1}}})
    assert isinstance(value["a"], FrozenDict)
    assert isinstance(value.get("a"), FrozenDict)
    assert isinstance(next(iter(value.values())), FrozenDict)
    assert isinstance(dict(value.items())["a"]["b"], FrozenDict)
    assert value["a"]["b"]["c"] == 1
    assert value.get("z", 7) == 7


def test_writing_says_what_to_do_instead():
    value = FrozenDict(a=1)
    with pytest.raises(ValueError, match=r"FrozenDict is immutable.*copy"):
        value["a"] = 2
    with pytest.raises(ValueError, match=r"FrozenDict is immutable.*pop"):
        del value["a"]
    with pytest.raises(AttributeError):
        value.other = 1


def test_copy_puts_items_on_top_and_keeps_the_order():
    value = FrozenDict(b=1, a={"x": 1}).copy({"c": 3, "b": 2, "cls": {"y": 1}})
    assert list(value) == ["b", "a", "c", "cls"]
    assert value == {"b": 2, "a": {"x": 1}, "c": 3, "cls": {"y": 1}}
    assert isinstance(value["cls"], FrozenDict)


def test_pop_splits_off_one_item():
    value = FrozenDict({"a": {"x": 1}, "b": 2})
    rest, taken = value.pop("a")
    assert (rest, taken) == ({"b": 2}, {"x": 1})
    assert isinstance(rest, FrozenDict)
    assert isinstance(taken, FrozenDict)
    assert len(value) == 2
    with pytest.raises(KeyError):
        value.pop("z")


def test_functions_treat_both_kinds_alike():
    for make in (dict, FrozenDict):
        source = make({"b": {"y": 2, "x": 1}, "a": 1})
        copied = frozen.copy(source, {"c": 1})
        rest, taken = frozen.pop(source, "b")
        assert type(copied) is type(rest) is type(source)
        assert copied == {"b": {"y": 2, "x": 1}, "a": 1, "c": 1}
        assert (rest, taken) == ({"a": 1}, {"y": 2, "x": 1})
        assert source == {"b": {"y": 2, "x": 1}, "a": 1}


def test_functions_leave_a_dict_subclass_unchanged():
    class Special(dict):
        pass

    source = Special(a=1)
    assert frozen.copy(source, {"b": 2}) == {"a": 1, "b": 2}
    assert frozen.pop(source, "a") == ({}, 1)
    assert source == {"a": 1}


def test_other_arguments_are_refused():
    for function in (frozen.copy, lambda x: frozen.pop(x, "a")):
        with pytest.raises(TypeError, match="Expected FrozenDict or dict, got <class 'int'>"):
            function(3)


def test_unfreeze_reaches_every_level_of_dicts():
    mixed = {"b": FrozenDict({"y": {"z": 1}, "x": 2}), "a": 3}
    thawed = unfreeze(mixed)
    assert thawed == {"b": {"y": {"z": 1}, "x": 2}, "a": 3}
    assert type(thawed["b"]) is dict
    assert type(thawed["b"]["y"]) is dict
    assert list(thawed) == ["b", "a"]
    assert unfreeze(5) == 5


def test_unfreezing_sorts_keys_where_they_have_an_order():
    assert list(FrozenDict(b=1, a=2).unfreeze()) == ["a", "b"]
    assert list(FrozenDict({"b": 1, 2: 2}).unfreeze()) == ["b", 2]


def test_keys_without_an_order_make_no_pytree():
    with pytest.raises(TypeError, match=r"keys of the types int, str"):
        jax.tree_util.tree_leaves(FrozenDict({"b": 1, 2: 2}))


def test_views_behave_like_those_of_a_dict():
    value = FrozenDict(a=1, b=2)
    assert value.keys() & {"a", "c"} == {"a"}
    assert 2 in value.values()
    assert repr(value.keys()) == "frozen_dict_keys(['a', 'b'])"
    assert repr(value.values()) == "frozen_dict_values([1, 2])"
    assert {**value} == {"a": 1, "b": 2}


def test_the_listing_is_indented():
    value = FrozenDict({"a": "s", "b": {"c": [FrozenDict(x=1)], "d": {}}})
    expected = """FrozenDict({
    a: 's',
    b: {
        c: [FrozenDict({
            x: 1,
        })],
        d: {},
    },
})"""
    assert repr(value) == expected
    narrow = "FrozenDict({\n  a: {\n    b: 1,\n  },\n})"
    assert FrozenDict({"a": {"b": 1}}).pretty_repr(2) == narrow
    assert repr(FrozenDict()) == "FrozenDict({})"
    assert frozen.pretty_repr({"a": {"b": 1}}) == "{\n    a: {\n        b: 1,\n    },\n}"
    assert frozen.pretty_repr(3) == "3"


def test_it_goes_through_transformations():
    value = FrozenDict(w=jnp.arange(3.0), b=FrozenDict(x=jnp.ones(())))
    doubled = jax.jit(lambda tree: jax.tree_util.tree_map(lambda leaf: 2 * leaf, tree))(value)
    assert isinstance(doubled, FrozenDict)
    assert isinstance(doubled["b"], FrozenDict)
    assert_exact(doubled["w"], np.float32([0, 2, 4]))


def test_unhashable_values_say_so():
    with pytest.raises(TypeError, match="unhashable"):
        hash(FrozenDict(a=[1]))


def test_it_is_built_like_a_dict():
    assert FrozenDict([("a", 1)], b=2) == {"a": 1, "b": 2}
    assert FrozenDict(OrderedDict(b=1, a=2), a=3) == {"b": 1, "a": 3}
    adopted = {"a": 1}
    assert FrozenDict(adopted, __unsafe_skip_copy__=True)._dict is adopted
