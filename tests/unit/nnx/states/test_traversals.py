"""Nested mappings, flat and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ramie import nnx
from ramie.nnx import traversals

NESTED = st.recursive(
    st.integers(),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@settings(max_examples=40, deadline=None)
@given(NESTED)
def test_flattening_and_back(tree):
    flat = traversals.flatten_mapping(tree, keep_empty_nodes=True)
    assert traversals.unflatten_mapping(flat) == tree
    joined = traversals.flatten_mapping(tree, keep_empty_nodes=True, sep="/")
    assert traversals.unflatten_mapping(joined, sep="/") == tree
    leaves = traversals.flatten_to_sequence(tree)
    assert leaves == sorted(leaves) and dict(leaves) == traversals.flatten_mapping(tree)


def test_states_leaves_and_mistakes():
    state = nnx.state(nnx.Dict(a=nnx.Dict(b=nnx.Param(1))))
    assert list(traversals.flatten_mapping(state)) == [("a", "b")]
    tree = {"a": {"b": 1}, "c": {}}
    assert traversals.flatten_mapping(tree, is_leaf=lambda path, x: path == ("a",)) == {
        ("a",): {"b": 1}
    }
    with pytest.raises(TypeError, match="expected Mapping; got int"):
        traversals.flatten_mapping(3)
    with pytest.raises(TypeError, match="expected Mapping or Iterable; got int"):
        traversals.unflatten_mapping(3)
