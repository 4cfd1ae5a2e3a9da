"""States: nested and flat, with filters, joins and plain values."""

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx


def _state():
    return nnx.state(nnx.Dict(a=nnx.Param(1), b=nnx.Dict(c=nnx.BatchStat(2), d=nnx.Param(3))))


def test_entries_are_attributes_and_changes_reach_the_whole():
    state = _state()
    assert state.b.c is state["b"]["c"] and list(state) == ["a", "b"] and "b" in state
    state.b.e = nnx.Cache(4)
    state["b"]["d"] = 5
    del state.a
    assert nnx.to_flat_state(state).paths == (("b", "c"), ("b", "d"), ("b", "e"))
    with pytest.raises(AttributeError, match="No attribute 'zz'"):
        state.zz  # noqa: B018
    with pytest.raises(AttributeError, match="No attribute 'zz'"):
        del state.zz
    with pytest.raises(KeyError):
        state["zz"]


def test_what_jax_sees():
    found = jax.tree_util.tree_leaves_with_path(_state())
    paths = [jax.tree_util.keystr(path) for path, _ in found]
    assert paths == ["['a'].value", "['b']['c'].value", "['b']['d'].value"]
    doubled = jax.tree.map(lambda x: 2 * x, _state())
    assert isinstance(doubled, nnx.State) and nnx.to_pure_dict(doubled) == {
        "a": 2,
        "b": {"c": 4, "d": 6},
    }


def test_splitting_filtering_and_joining():
    state = _state()
    params, rest = state.split(nnx.Param, ...)
    assert nnx.to_pure_dict(params) == {"a": 1, "b": {"d": 3}} and list(rest) == ["b"]
    assert nnx.to_pure_dict(nnx.merge_state(params, rest)) == nnx.to_pure_dict(state)
    assert nnx.merge_state(state) is state
    assert isinstance(nnx.merge_state({"a": 1}, {"b": 2}, cls=dict), dict)
    assert nnx.to_pure_dict(params | rest) == nnx.to_pure_dict(state)
    assert nnx.to_pure_dict(state - params) == {"b": {"c": 2}}
    assert nnx.to_pure_dict(nnx.statelib.diff(state, rest)) == nnx.to_pure_dict(params)
    with pytest.raises(ValueError, match="b/c"):
        nnx.split_state(state, nnx.Param)
    assert list(nnx.filter_state(state, nnx.BatchStat)) == ["b"]
    with pytest.raises(ValueError, match="leads through"):
        nnx.merge_state({"a": 1}, {"a": {"b": 2}})


def test_flat_states():
    flat = _state().flat_state()
    assert flat.paths == (("a",), ("b", "c"), ("b", "d")) and len(flat) == 3
    assert flat[1] == (("b", "c"), flat.leaves[1]) and flat[1:].paths == flat.paths[1:]
    params, rest = flat.split(nnx.Param, ...)
    assert nnx.FlatState.merge(rest, params).paths == flat.paths
    assert flat.filter(nnx.BatchStat).to_nested_state().b.c is flat.leaves[1]
    assert nnx.from_flat_state(dict(flat), cls=dict)["b"]["d"] is flat.leaves[2]
    assert nnx.State.from_flat_path([(("x", 0), 1)]).x[0] == 1
    assert nnx.FlatState([(("b",), 1), (("a",), 2)], sort=False).leaves == (1, 2)
    assert nnx.FlatState([(("b",), 1), (("a",), 2)], sort=True).leaves == (2, 1)
    assert jax.tree.map(lambda x: x + 1, flat).paths == flat.paths


def test_plain_dictionaries_go_out_and_in():
    state = nnx.state(nnx.List([nnx.Param(1, note="n"), nnx.Param(jnp.ones(1))]))
    before = state[0]
    assert nnx.to_pure_dict(state)[0] == 1
    nnx.replace_by_pure_dict(state, {"0": 5})
    assert state[0].get_value() == 5 and state[0].note == "n" and before.get_value() == 1
    with pytest.raises(ValueError, match="not available in state"):
        nnx.replace_by_pure_dict(state, {"7": 5})
    nnx.replace_by_pure_dict(state, {0: 2}, lambda old, new: old.replace(new + 1))
    assert state[0].get_value() == 3
    assert nnx.restore_int_paths({"0": {"a": 1}}) == {0: {"a": 1}}
    assert nnx.to_pure_dict(state, type) == {0: nnx.Param, 1: nnx.Param}


def test_mapping_over_leaves():
    assert nnx.map_state(lambda path, x: path, {"a": {"b": 1}}) == {"a": {"b": ("a", "b")}}
    assert nnx.map_state(lambda path, x: 0, _state()) == {"a": 0, "b": {"c": 0, "d": 0}}


def test_copies_pickles_and_prints():
    state = nnx.State({"a": 1, "b": {"c": 2}})
    assert copy.deepcopy(state) == state == pickle.loads(pickle.dumps(state))
    assert repr(state) == "State({\n  'a': 1,\n  'b': {\n    'c': 2\n  }\n})"
    assert nnx.State([("a", 1)]) == {"a": 1}
    with pytest.raises(TypeError):
        hash(state)


def test_filters_as_predicates():
    to_predicate = nnx.filterlib.to_predicate
    tagged = nnx.Param(1, tag="t")
    assert to_predicate("t")((), tagged) and not to_predicate("t")((), 3)
    assert nnx.All(nnx.Param, "t")((), tagged) and not nnx.All(nnx.Param, "u")((), tagged)
    assert nnx.Any("u", nnx.Param)((), tagged) and nnx.Not(nnx.BatchStat)((), tagged)
    assert to_predicate(None)((), 1) is False and to_predicate(...)((), 1) is True
    assert nnx.PathContains(1)((1, "b"), 0) and not nnx.PathContains("b")((1, "back"), 0)
    assert nnx.PathContains("ac", exact=False)(("back",), 0)
    assert nnx.statelib.create_path_filters({"a": {"b": 1}}) == {
        nnx.filterlib.PathIn(("a", "b")): 1
    }
    assert repr(to_predicate([nnx.Not("a")])) == "Any(Not(WithTag('a')))"
    assert len({nnx.Any(int), nnx.Any(int), nnx.Not(int), nnx.Everything()}) == 3
    with pytest.raises(TypeError, match="Invalid filter: 3"):
        to_predicate(3)
