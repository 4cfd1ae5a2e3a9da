"""Plain values in containers: structure in graph mode, leaves in tree mode."""

import jax.numpy as jnp
import pytest

from ramie import nnx


def model():
    return {"a": (nnx.Param(jnp.array(3)), 4, "s", None), "b": [jnp.array(2)]}


def test_in_graph_mode_they_are_structure():
    graphdef, state = nnx.split(model(), graph=True)
    assert state.flat_state().paths == (("a", 0), ("b", 0))
    assert nnx.merge(graphdef, state)["a"][1:] == (4, "s", None)
    other = model()
    other["a"] = (other["a"][0], 5, "s", None)
    assert nnx.graphdef(other, graph=True) != graphdef


@pytest.mark.parametrize("take_apart", [nnx.split, nnx.flatten])
def test_in_tree_mode_they_are_leaves(take_apart):
    graphdef, found = take_apart(model(), graph=False)
    flat = found.flat_state() if isinstance(found, nnx.State) else found
    assert flat.paths == (("a", 0), ("a", 1), ("a", 2), ("b", 0))
    assert flat.leaves[1:3] == (4, "s")
    other = model()
    other["a"] = (other["a"][0], 5, "s", None)
    assert nnx.graphdef(other, graph=False) == graphdef
    assert nnx.unflatten(graphdef, flat)["a"][1:] == (4, "s", None)
