"""Traversals: reading, updating and setting parts of any object, without mutation."""

import copy
import dataclasses
import pickle
from collections import OrderedDict, namedtuple
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import struct, traverse_util
from ramie.core import FrozenDict, freeze
from ramie.traverse_util import ModelParamTraversal, TraverseItem, t_identity

Pair = namedtuple("Pair", ["x", "y"])


@dataclasses.dataclass
class Plain:
    a: Any
    b: Any = 0


@struct.dataclass
class Frozen:
    a: Any
    b: Any = struct.field(pytree_node=False, default=0)


class Thing:
    def __init__(self, a):
        self.a = a

    def __eq__(self, other):
        return self.a == other.a


def double(x):
    return 2 * x


CASES = {
    "itself": (t_identity, 3, [3], 6),
    "key": (t_identity["a"], {"a": 1, "b": 5}, [1], {"a": 2, "b": 5}),
    "frozen key": (t_identity["a"], freeze({"a": 1}), [1], freeze({"a": 2})),
    "ordered key": (t_identity["a"], OrderedDict(b=1, a=2), [2], OrderedDict(b=1, a=4)),
    "list index": (t_identity[-1], [1, 2], [2], [1, 4]),
    "tuple index": (t_identity[0], (1, 2), [1], (2, 2)),
    "named tuple index": (t_identity[-1], Pair(1, 2), [2], Pair(1, 4)),
    "list slice": (t_identity[1:3], [1, 2, 3, 4], [2, 3], [1, 4, 6, 4]),
    "tuple slice": (t_identity[::-2], (1, 2, 3), [3, 1], (2, 2, 6)),
    "named tuple slice": (t_identity[:1], Pair(1, 2), [1], Pair(2, 2)),
    "empty slice": (t_identity[5:], (1, 2), [], (1, 2)),
    "attribute": (t_identity.a, Thing(1), [1], Thing(2)),
    "named tuple field": (t_identity.y, Pair(1, 2), [2], Pair(1, 4)),
    "dataclass field": (t_identity.a, Plain(1, 2), [1], Plain(2, 2)),
    "frozen field": (t_identity.a, Frozen(1, 2), [1], Frozen(2, 2)),
    "each of a list": (t_identity.each(), [1, 2], [1, 2], [2, 4]),
    "each of a tuple": (t_identity.each(), (1, 2), [1, 2], (2, 4)),
    "each of a named tuple": (t_identity.each(), Pair(1, 2), [1, 2], Pair(2, 4)),
    "each of a dict": (t_identity.each(), {"a": 1, "b": 2}, [1, 2], {"a": 2, "b": 4}),
    "each of a frozen dict": (t_identity.each(), freeze({"a": 1}), [1], freeze({"a": 2})),
    "leaves": (t_identity.tree(), {"a": (1, [2])}, [1, 2], {"a": (2, [4])}),
    "condition": (t_identity.each().filter(lambda x: x > 1), [1, 2, 3], [2, 3], [1, 4, 6]),
    "path": (t_identity["a"].b[0], {"a": Plain(0, [1, 2])}, [1], {"a": Plain(0, [2, 2])}),
    "several": (
        t_identity.each().merge(TraverseItem("a"), TraverseItem("b")),
        [{"a": 1, "b": 2}, {"a": 3, "b": 4}],
        [1, 2, 3, 4],
        [{"a": 2, "b": 4}, {"a": 6, "b": 8}],
    ),
    "the same twice": (t_identity.merge(TraverseItem(0), TraverseItem(0)), [1], [1, 1], [4]),
    "none": (t_identity.merge(), [1], [], [1]),
}


@pytest.mark.parametrize("name", CASES)
def test_reading_and_updating(name):
    traversal, data, selected, updated = CASES[name]
    original = copy.deepcopy(data)
    assert list(traversal.iterate(data)) == selected
    result = traversal.update(double, data)
    assert result == updated
    assert type(result) is type(updated)
    assert data == original, "the data itself is never changed"


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("the same twice",)])
def test_setting_what_was_read_changes_nothing(name):
    traversal, data, selected, _ = CASES[name]
    assert traversal.set(selected, data) == data
    assert traversal.set(iter(selected), data) == data
    with pytest.raises(ValueError, match=r"^Too many values provided"):
        traversal.set([*selected, 0], data)
    if selected:
        with pytest.raises(ValueError, match=r"^Not enough values provided"):
            traversal.set(selected[1:], data)


def test_ordered_and_default_dictionaries_keep_their_kind():
    result = t_identity.each().update(double, OrderedDict(a=1))
    assert type(result) is OrderedDict and result == {"a": 2}


@pytest.mark.parametrize(
    ("traversal", "data", "error"),
    [
        (t_identity.missing, {"a": 1}, AttributeError),
        (t_identity.missing, Plain(1), AttributeError),
        (t_identity["z"], {"a": 1}, KeyError),
        (t_identity[5], [1], IndexError),
        (t_identity["a"], 3, TypeError),
    ],
)
def test_what_is_not_there_is_named(traversal, data, error):
    with pytest.raises(error, match="A traversal selects the"):
        list(traversal.iterate(data))
    with pytest.raises(error, match="A traversal selects the"):
        traversal.update(double, data)


@pytest.mark.parametrize("data", [3, "text", np.ones(2)])
def test_each_needs_a_container(data):
    with pytest.raises(ValueError, match=r"each\(\)"):
        t_identity.each().update(double, data)
    with pytest.raises(ValueError, match="without items"):
        list(t_identity.each().iterate(3))


@pytest.mark.parametrize("name", CASES)
def test_traversals_can_be_copied(name):
    traversal, data, selected, _ = CASES[name]
    assert list(copy.deepcopy(traversal).iterate(data)) == selected


def test_traversals_can_be_pickled():
    traversal = t_identity["a"].b.each().tree()
    data = {"a": Plain(0, [(1, 2), 3])}
    assert list(pickle.loads(pickle.dumps(traversal)).iterate(data)) == [1, 2, 3]
    with pytest.raises(AttributeError, match="__array__"):
        t_identity.__array__  # noqa: B018


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError):
        traverse_util.Traversal()


params = st.recursive(
    st.integers(-9, 9),
    lambda inner: st.dictionaries(st.sampled_from(["kernel", "bias", "x", "y"]), inner, max_size=3),
    max_leaves=10,
).filter(lambda tree: isinstance(tree, dict))


@given(params)
def test_parameters_are_selected_by_path(tree):
    flat = traverse_util.flatten_dict(tree, sep="/")
    seen = []

    def is_kernel(path, value):
        seen.append((path, value))
        return path.endswith("kernel")

    traversal = ModelParamTraversal(is_kernel)
    chosen = sorted(path for path in flat if path.endswith("kernel"))
    assert sorted(list(traversal.iterate(tree))) == sorted(flat[path] for path in chosen)
    assert sorted(seen) == sorted((f"/{path}", value) for path, value in flat.items())
    for data in (tree, freeze(tree)):
        result = traversal.update(lambda x: x + 100, data)
        assert type(result) is type(data)
        expected = {p: v + 100 if p in chosen else v for p, v in flat.items()}
        assert traverse_util.flatten_dict(result, sep="/") == expected


def test_parameters_come_in_sorted_order():
    tree = {"b": 0, "a": {"z": 1, "c": 2}}
    everything = ModelParamTraversal(lambda path, value: True)
    assert list(everything.iterate(tree)) == [2, 1, 0]
    assert everything.set([7, 8, 9], tree) == {"a": {"c": 7, "z": 8}, "b": 9}
    mixed = {"a": 1, 2: 3}
    assert list(everything.iterate(mixed)) == [1, 3]


def test_the_documented_mask_for_optimizers():
    tree = {"dense": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}}
    mask = {"dense": {"kernel": False, "bias": False}}
    kernels = ModelParamTraversal(lambda path, _: "kernel" in path)
    assert kernels.update(lambda _: True, mask) == {"dense": {"kernel": True, "bias": False}}
    assert len(list(kernels.iterate(tree))) == 1


@pytest.mark.parametrize("data", [[], 3, None, Plain(1)])
def test_parameters_are_nested_dictionaries(data):
    traversal = ModelParamTraversal(lambda path, value: True)
    with pytest.raises(ValueError, match="nested dict, not <class"):
        list(traversal.iterate(data))
    with pytest.raises(ValueError, match="nested dict, not <class"):
        traversal.update(double, data)


def test_frozen_results_are_frozen():
    result = ModelParamTraversal(lambda p, v: True).update(double, freeze({"a": {"b": 1}}))
    assert isinstance(result, FrozenDict)
    assert result == freeze({"a": {"b": 2}})
