"""State dicts: every container becomes nested dicts and comes back as itself."""

import collections
import threading
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from tests.tolerance import assert_exact

from ramie import serialization, struct
from ramie.trees.frozen import FrozenDict


class Pair(NamedTuple):
    left: Any
    right: Any


@struct.dataclass
class Point:
    x: Any
    y: Any
    label: str = struct.field(pytree_node=False, default="here")


class Node(struct.PyTreeNode):
    value: Any


ROUND_TRIPS = [
    ({"a": 1, 2: {"b": 3}}, {"a": 1, "2": {"b": 3}}),
    ([1, [2, 3]], {"0": 1, "1": {"0": 2, "1": 3}}),
    ((1, (2,), []), {"0": 1, "1": {"0": 2}, "2": {}}),
    (Pair(1, Pair(2, 3)), {"left": 1, "right": {"left": 2, "right": 3}}),
    (FrozenDict({"b": {"c": 1}, "a": 2}), {"b": {"c": 1}, "a": 2}),
    (Point(1, {"z": Point(2, 3)}), {"x": 1, "y": {"z": {"x": 2, "y": 3}}}),
    (Node([1]), {"value": {"0": 1}}),
    (Partial(max, 1, key=2), {"args": {"0": 1}, "keywords": {"key": 2}}),
    (None, None),
    (3.5, 3.5),
    ("text", "text"),
]


@pytest.mark.parametrize("tree, state", ROUND_TRIPS, ids=lambda value: type(value).__name__)
def test_a_container_becomes_a_dict_and_comes_back(tree, state):
    assert serialization.to_state_dict(tree) == state
    restored = serialization.from_state_dict(tree, state)
    assert type(restored) is type(tree)
    assert serialization.to_state_dict(restored) == state


def test_the_order_is_that_of_the_container():
    assert list(serialization.to_state_dict({"b": 1, "a": 2})) == ["b", "a"]
    assert list(serialization.to_state_dict(FrozenDict(b=1, a=2))) == ["b", "a"]


def test_restoring_takes_values_from_the_state_and_types_from_the_target():
    target = {"p": Point((0, 0), Pair(0, 0), "label of the target"), "q": [FrozenDict(a=0)]}
    state = {
        "p": {"x": {"0": 1, "1": 2}, "y": {"left": 3, "right": 4}},
        "q": {"0": {"a": 5}},
        "unknown": 6,
    }
    restored = serialization.from_state_dict(target, state)
    assert restored == {
        "p": Point((1, 2), Pair(3, 4), "label of the target"),
        "q": [FrozenDict(a=5)],
    }


def test_optax_states_keep_their_types():
    params = {"w": jnp.ones(3), "b": jnp.zeros(())}
    optimizer = optax.chain(optax.clip(1.0), optax.adamw(optax.linear_schedule(1.0, 0.0, 10)))
    state = optimizer.init(params)
    _, changed = optimizer.update(params, state, params)
    restored = serialization.from_state_dict(state, serialization.to_state_dict(changed))
    assert jax.tree_util.tree_structure(restored) == jax.tree_util.tree_structure(changed)
    jax.tree_util.tree_map(assert_exact, restored, changed)


@pytest.mark.parametrize(
    "target, state, message",
    [
        ([[[1, 2], [3]]], {"0": {"0": {"0": 1}, "1": {"0": 1}}}, r"got 2 and 1 at path \./0/0$"),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, r"keys \{'b'\} which are not present.* at path \./a$"),
        ({"a": {"b": 1}}, {"a": 3}, r"dict, but found a value of type int at path \./a"),
        ({"a": [1]}, {"a": [1]}, r"sequence, but found a value of type list at path \./a"),
        ([1, 2], {"0": 1, "2": 1}, r"lacks \['1'\] at path \.$"),
        (Pair(1, 2), {"left": 1}, r"got \{'left'\} and .* at path \.$"),
        ([Pair(1, 2)], {"0": None}, r"named tuple Pair, but found .*NoneType at path \./0"),
        (Point(1, 2), {"x": 1}, r"^Missing field y in .* of Point, at path \.: .*\['x', 'y'\]"),
        (
            Point(1, 2),
            {"x": 1, "y": 1, "z": 1},
            r"^Unknown field\(s\) \"z\" in .* of Point at path \.: .*besides it has \['z'\]",
        ),
        (FrozenDict(a={"b": 1}), {"a": {}}, r"keys \{'b'\} which .* at path \./a$"),
        (Partial(max), {"args": {}}, r"'args' and 'keywords'.* at path \."),
        (Partial(max, [1]), {"args": {"0": {}}, "keywords": {}}, r"at path \./args/0$"),
    ],
)
def test_errors_name_the_path(target, state, message):
    with pytest.raises(ValueError, match=message):
        serialization.from_state_dict(target, state)
    assert serialization.current_path() == ""


def test_old_encoding_of_named_tuples_is_read():
    old = {
        "name": "Pair",
        "fields": {"0": "left", "1": "right"},
        "values": {"0": 1, "1": {"0": 2}},
    }
    assert serialization.from_state_dict(Pair(0, [0]), old) == Pair(1, [2])
    old["values"].pop("1")
    with pytest.raises(ValueError, match="old encoding"):
        serialization.from_state_dict(Pair(0, [0]), old)


def test_keys_of_equal_text_are_refused():
    with pytest.raises(ValueError, match=r"\['1'\] each stand for several"):
        serialization.to_state_dict({"1": 1, 1: 2})


class Counter:
    def __init__(self, count):
        self.count = count


def test_a_type_can_be_registered_once(monkeypatch):
    monkeypatch.setattr("ramie.serialization.state_dict.HANDLERS", {})
    paths = []

    def restore(counter, state):
        paths.append(serialization.current_path())
        return Counter(state["count"])

    assert not serialization.is_serializable(Counter(1))
    register = serialization.register_serialization_state
    register(Counter, lambda c: {"count": c.count}, restore)
    assert serialization.is_serializable(Counter)
    restored = serialization.from_state_dict(
        Pair(0, Counter(1)), {"left": 0, "right": {"count": 5}}
    )
    assert restored.right.count == 5
    assert paths == ["./right"]
    with pytest.raises(ValueError, match='handler for "Counter" is already registered'):
        register(Counter, vars, restore)
    register(Counter, lambda c: c.count, lambda _, state: Counter(state), override=True)
    assert serialization.to_state_dict(Counter(2)) == 2


def test_a_handler_with_other_keys_than_strings_is_refused(monkeypatch):
    monkeypatch.setattr("ramie.serialization.state_dict.HANDLERS", {})
    serialization.register_serialization_state(Counter, lambda c: {1: c.count}, vars)
    with pytest.raises(TypeError, match="state dict of a Counter has the key 1 of type int"):
        serialization.to_state_dict(Counter(1))


def test_dataclasses_are_registered_from_the_start():
    assert serialization.is_serializable(Point)
    with pytest.raises(ValueError, match='handler for "Point" is already registered'):
        serialization.register_serialization_state(Point, vars, vars)

    class Derived(Point):  # not a dataclass of its own
        pass

    assert not serialization.is_serializable(Derived)


def test_leaves_have_no_handler():
    for leaf in (1, "a", None, np.ones(2), jnp.ones(2), Pair(1, 2), collections.OrderedDict()):
        assert not serialization.is_serializable(leaf)
    for container in ({}, [], (), FrozenDict(), Partial(max)):
        assert serialization.is_serializable(container)


def test_threads_have_paths_of_their_own(monkeypatch):
    seen = []

    def restore(counter, state):
        thread = threading.Thread(target=lambda: seen.append(serialization.current_path()))
        thread.start()
        thread.join()
        return counter

    monkeypatch.setattr("ramie.serialization.state_dict.HANDLERS", {})
    serialization.register_serialization_state(Counter, vars, restore)
    serialization.from_state_dict(Counter(1), {}, name="outer")
    assert seen == [""]
