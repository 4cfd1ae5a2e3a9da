"""FrozenDict against Flax's: same listing, order, pytree and results of the functions."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

import flax.core as peer
import jax
from hypothesis import given
from hypothesis import strategies as st

from ramie.trees import frozen as ours

LEAVES = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
TREES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)
).filter(lambda tree: isinstance(tree, dict))


def order(tree):
    """Nested lists of items: what a comparison of dicts does not see."""
    if isinstance(tree, dict | ours.FrozenDict | peer.FrozenDict):
        return [(key, order(value)) for key, value in tree.items()]
    return tree


@given(TREES, TREES)
def test_order_and_listing(tree, other):
    mine, theirs = ours.FrozenDict(tree), peer.FrozenDict(tree)
    assert repr(mine) == repr(theirs)
    assert mine.pretty_repr(2) == theirs.pretty_repr(2)
    assert order(mine) == order(theirs)
    assert order(mine.unfreeze()) == order(theirs.unfreeze())
    assert order(mine.copy(other)) == order(theirs.copy(other))
    assert order(ours.copy(tree, other)) == order(peer.copy(tree, other))
    assert order(ours.unfreeze(tree)) == order(peer.unfreeze(tree))
    assert ours.pretty_repr(tree) == peer.pretty_repr(tree)


@given(TREES.filter(bool))
def test_popping(tree):
    key = next(iter(tree))
    for mine, theirs in (
        (ours.FrozenDict(tree).pop(key), peer.FrozenDict(tree).pop(key)),
        (ours.pop(tree, key), peer.pop(tree, key)),
    ):
        assert order(mine[0]) == order(theirs[0])
        assert order(mine[1]) == order(theirs[1])


@given(TREES)
def test_pytrees(tree):
    mine = jax.tree_util.tree_flatten_with_path(ours.FrozenDict(tree))[0]
    theirs = jax.tree_util.tree_flatten_with_path(peer.FrozenDict(tree))[0]
    assert mine == theirs
