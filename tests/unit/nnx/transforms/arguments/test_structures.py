"""Structures of trees without the trees."""

import collections

import jax
import pytest
from tests.strict_trees import Strict, arrays

from ramie import struct
from ramie.nnx.transforms.arguments.structures import leaf_paths, part_of, with_gaps
from ramie.trees.frozen import FrozenDict

Pair = collections.namedtuple("Pair", "left right")


@struct.dataclass
class Fields:
    kept: int = struct.field(pytree_node=False)
    x: object


@jax.tree_util.register_pytree_node_class
class Nameless:
    def tree_flatten(self):
        return (1, 2), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls()


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (3, [()]),
        (None, []),
        ({"b": (1, None), "a": [2]}, [("a", 0), ("b", 0)]),
        (collections.OrderedDict(b=1, a=2), [("b",), ("a",)]),
        (collections.defaultdict(int, b=1, a=2), [("a",), ("b",)]),
        (Pair(1, {"x": 2}), [("left",), ("right", "x")]),
        (Fields(5, (1,)), [("x", 0)]),
        (FrozenDict({"b": 1, "a": {"c": 2}}), [("a", "c"), ("b",)]),
        ((Nameless(),), [(0, 0), (0, 1)]),
        (arrays(2), [("a",), ("b",)]),
    ],
)
def test_paths_of_a_structure(tree, expected):
    assert list(leaf_paths(jax.tree.structure(tree))) == expected


def test_a_part_is_put_together_alone():
    x = arrays(2)
    treedef = jax.tree.structure(((x, [1, 2]), {"k": x}))
    leaves = [None, None, 5, 6, x.a, x.b]
    assert part_of(treedef, leaves, 0, 1) == [5, 6]
    assert isinstance(part_of(treedef, leaves, 1, 0), Strict)


def test_what_is_missing_is_none_and_so_is_an_object_around_it():
    x = arrays(2)
    tree = {"x": x, "y": (x, [1, Pair(2, 3)]), "z": collections.OrderedDict(b=1, a=2)}
    treedef = jax.tree.structure(tree)
    leaves = [x.a, None, x.a, x.b, 1, None, 3, None, 2]
    found = with_gaps(treedef, leaves)
    assert found["x"] is None
    assert isinstance(found["y"][0], Strict)
    assert found["y"][1] == [1, Pair(None, 3)]
    assert found["z"] == {"b": None, "a": 2}
