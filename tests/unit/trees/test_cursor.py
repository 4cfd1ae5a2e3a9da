"""Cursors: changes by assignment, searching, arithmetic, and what cannot be changed."""

import copy
import dataclasses
import operator
import pickle
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import struct
from ramie.core import FrozenDict, freeze
from ramie.cursor import AccessType, Cursor, _traverse_tree, cursor, is_named_tuple
from ramie.errors import CursorFindError, TraverseTreeError


class Pair(NamedTuple):
    x: Any
    y: Any = None


@dataclasses.dataclass
class Plain:
    x: Any
    y: Any = None


@struct.dataclass
class Frozen:
    x: Any
    y: Any = struct.field(pytree_node=False, default=None)


class Opaque:
    def __init__(self):
        self.a = {"b": 1}


leaves = st.integers(-5, 5)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(freeze),
        st.builds(Pair, inner, inner),
        st.builds(Plain, inner, inner),
        st.builds(Frozen, inner, inner),
    ),
    max_leaves=10,
)


def mapped(fn, tree):
    """What mapping over all integers of a tree gives, written the plain way."""
    if isinstance(tree, int):
        return fn(tree)
    if isinstance(tree, Pair):
        return Pair(*(mapped(fn, child) for child in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(mapped(fn, child) for child in tree)
    if isinstance(tree, (dict, FrozenDict)):
        return type(tree)({key: mapped(fn, child) for key, child in tree.items()})
    return type(tree)(mapped(fn, tree.x), mapped(fn, tree.y))


@given(trees)
def test_updates_reach_every_value_and_spare_the_original(tree):
    original = copy.deepcopy(tree)
    c = cursor(tree)
    result = c.apply_update(lambda _, v: v + 100 if isinstance(v, int) else v).build()
    expected = tree if isinstance(tree, int) else mapped(lambda x: x + 100, tree)
    assert result == expected
    assert type(result) is type(tree)
    assert tree == original


@given(trees)
def test_setting_each_place_found_equals_the_update(tree):
    c = cursor(tree)
    for place in c.find_all(lambda _, value: isinstance(value, int)):
        place.set(place * 3)
    expected = tree if isinstance(tree, int) else mapped(lambda x: x * 3, tree)
    assert c.build() == expected


@given(trees)
def test_looking_changes_nothing(tree):
    c = cursor(tree)
    for place in c.find_all(lambda _, value: isinstance(value, int)):
        assert place._path
    assert c.build() is tree


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 7}}),
        (freeze({"a": {"b": 1}}), freeze({"a": {"b": 7}})),
        (OrderedDict(a={"b": 1}), OrderedDict(a={"b": 7})),
        (defaultdict(list, a={"b": 1}), defaultdict(list, a={"b": 7})),
    ],
)
def test_dictionaries_keep_their_kind(data, expected):
    c = cursor(data)
    c["a"]["b"] = 7
    result = c.build()
    assert result == expected
    assert type(result) is type(data)
    assert data["a"]["b"] == 1


def test_new_keys_can_be_added_and_changed():
    c = cursor({"a": 1})
    c["new"] = {"deep": [1, 2]}
    c["new"]["deep"][0] = 5
    assert c.build() == {"a": 1, "new": {"deep": [5, 2]}}


def test_fields_of_dataclasses_and_named_tuples():
    c = cursor(Plain(Pair(1, 2), Frozen(3, 4)))
    c.x.x = 10
    c.y.y = "static fields too"
    assert c.build() == Plain(Pair(10, 2), Frozen(3, "static fields too"))


def test_a_named_tuple_is_one_place_by_index_and_by_name():
    c = cursor(Pair(Pair(0, 1), 2))
    c.x.x = 4
    c[0].y = 5
    c[-1] = 6
    assert c.build() == Pair(Pair(4, 5), 6)
    c[0][1] = -5
    assert c.build() == Pair(Pair(4, -5), 6)


def test_negative_indices_are_the_same_places():
    c = cursor([1, (2, 3)])
    c[-1][1] = 7
    c[1][-1] += 1
    assert c.build() == [1, (2, 8)]
    assert c[-1]._path == "[1]"


def test_later_changes_add_to_earlier_ones():
    c = cursor({"a": 1, "b": (2, 3)})
    c["b"][0] = 6
    c["b"][0] = 7
    first = c.build()
    c["a"] = (100, 200)
    c["a"][1] = -1
    assert first == {"a": 1, "b": (7, 3)}
    assert c.build() == {"a": (100, -1), "b": (7, 3)}


def test_set_builds_the_whole_with_all_changes():
    c = cursor({"a": [1, 2], "b": 3})
    c["b"] = 4
    assert c["a"][1].set(5) == {"a": [1, 5], "b": 4}
    assert cursor(Pair(1, 2)).x.set(9) == Pair(9, 2)
    assert cursor(3).set(4) == 4


def test_assigned_cursors_stand_for_their_values():
    c = cursor({"a": 1, "b": {"c": 5}})
    c["b"]["c"] = 6
    c["a"] = c["b"]
    assert c.build() == {"a": {"c": 6}, "b": {"c": 6}}
    assert c["a"].set(c["b"]["c"]) == {"a": 6, "b": {"c": 6}}


def test_paths_are_code():
    data = Pair([0, {("c", "d"): [4], "b": Plain(1)}])
    c = cursor(data)
    place = c.x[1]["b"].x
    assert place._path == ".x[1]['b'].x"
    assert eval("data" + c.x[1][("c", "d")][0]._path) == 4
    assert c._path == ""


def test_what_is_not_there_is_named_with_its_place():
    c = cursor({"a": [1, Plain(2)]})
    with pytest.raises(KeyError, match="'z' not found"):
        c["z"]
    with pytest.raises(AttributeError, match=r"Attribute zz not found in .* at \['a'\]\[1\]"):
        c["a"][1].zz  # noqa: B018
    with pytest.raises(IndexError, match="index 5 is out of range for a list of 2"):
        c["a"][5]
    with pytest.raises(IndexError, match="has no item 7; its fields are"):
        cursor(Pair(1))[7]
    with pytest.raises(TypeError, match="indices of a list are integers"):
        c["a"]["x"]
    with pytest.raises(TypeError, match=r"Cannot index into 1 at"):
        c["a"][0][0]


def test_changes_that_could_not_be_built_are_refused_at_once():
    c = cursor({"list": [1], "array": jnp.ones(2), "opaque": Opaque(), "plain": Plain(1)})
    with pytest.raises(IndexError):
        c["list"][1] = 2
    with pytest.raises(TypeError, match=r"cannot change items of a .* at \['array'\]"):
        c["array"][0] = 5.0
    with pytest.raises(TypeError, match="cannot change attributes of a Opaque"):
        c["opaque"].a = 5
    with pytest.raises(AttributeError, match="no field 'zz' that can be set"):
        c["plain"].zz = 1
    with pytest.raises(TypeError, match="not on a slice"):
        c["list"][0:1]
    assert c.build()["list"] == [1]


def test_a_change_below_something_that_is_not_rebuilt():
    opaque = Opaque()
    c = cursor([opaque])
    assert c[0].a["b"] == 1
    assert c.build()[0] is opaque, "looking inside is fine"
    c[0].a["b"] = 2
    with pytest.raises(TypeError, match=r"below Opaque at .* cannot be built"):
        c.build()
    assert opaque.a == {"b": 1}


def test_a_field_that_is_no_parameter_cannot_be_set():
    @dataclasses.dataclass
    class Derived:
        a: int
        b: int = dataclasses.field(init=False, default=3)

    c = cursor(Derived(1))
    c.a = 2
    assert c.b == 3
    with pytest.raises(AttributeError, match="its fields are"):
        c.b = 4


def test_find_wants_exactly_one_place():
    data = {"a": {"b": (2, 3)}, "c": {"b": (4,)}}
    c = cursor(data)
    with pytest.raises(CursorFindError, match=r"\['a'\]\['b'\] and \['c'\]\['b'\] "):
        c.find(lambda path, value: path.endswith("b"))
    with pytest.raises(CursorFindError, match="No object found"):
        c.find(lambda path, value: "z" in path)
    assert c.find(lambda path, value: path == "c/b").set(0) == {"a": {"b": (2, 3)}, "c": {"b": 0}}
    assert c["a"].find(lambda path, value: path == "b")._path == "['a']['b']"


def test_searching_stops_at_a_match_and_never_visits_the_root():
    seen = []
    c = cursor({"b": {"a": (1, [2])}, "c": 1})
    found = list(c.find_all(lambda path, value: bool(seen.append(path)) or path == "b/a"))
    assert [place._path for place in found] == ["['b']['a']"]
    assert seen == ["b", "b/a", "c"]
    assert list(cursor(3).find_all(lambda path, value: True)) == []


def test_updates_stop_where_something_else_is_returned():
    seen = []

    def update(path, value):
        seen.append(path)
        return [] if path == "a" else value

    assert cursor({"a": [1, 2], "b": Pair(1, Plain(2))}).apply_update(update).build() == {
        "a": [],
        "b": Pair(1, Plain(2)),
    }
    assert seen == ["a", "b", "b/x", "b/y", "b/y/x", "b/y/y"]


def test_classes_are_leaves():
    assert cursor({"a": Plain}).apply_update(lambda path, value: value).build() == {"a": Plain}


def test_the_walk_behind_it():
    tree = Pair([0, {"a": 4}], 3)
    walk = list(_traverse_tree((), tree, cond_fn=lambda path, value: value == 4))
    assert walk == [(("x", AccessType.ATTR), (1, AccessType.ITEM), ("a", AccessType.ITEM))]
    for functions in ({}, {"update_fn": max, "cond_fn": max}):
        with pytest.raises(TraverseTreeError):
            next(_traverse_tree((), tree, **functions))


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    divmod,
    pow,
    operator.lshift,
    operator.rshift,
    operator.and_,
    operator.xor,
    operator.or_,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
    operator.gt,
    operator.ge,
]


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
@given(a=st.integers(1, 9), b=st.integers(1, 9))
def test_a_cursor_computes_like_its_value(op, a, b):
    c = cursor([a])[0]
    assert op(c, b) == op(a, b)
    assert op(b, c) == op(b, a)
    assert op(c, cursor(b)) == op(a, b)
    assert np.array_equal(op(np.array([b]), c), op(np.array([b]), a))


@pytest.mark.parametrize("op", [operator.neg, operator.pos, abs, operator.invert, round, bool])
@pytest.mark.parametrize("value", [0, 5, -3])
def test_unary_operations(op, value):
    assert op(cursor(value)) == op(value)


def test_matrices_rounding_and_augmented_assignment():
    m = jnp.arange(4.0).reshape(2, 2)
    c = cursor({"m": m, "n": 1.2345})
    assert ((c["m"] @ m) == m @ m).all()
    assert ((m @ c["m"]) == m @ m).all()
    assert round(c["n"], 2) == 1.23
    c["m"] *= 2
    assert (c.build()["m"] == 2 * m).all()


def test_containers():
    c = cursor([(1, 2), (3, 4)])
    assert len(c) == 2 and (1, 2) in c and 9 not in c
    for i, child in enumerate(c):
        child[1] += i + 1
    for i, child in enumerate(reversed(c)):
        child[0] += 10 * i
    assert c.build() == [(11, 3), (3, 6)]
    assert "a" in cursor({"a": 1})
    assert not cursor({}) and not cursor(0)
    for fn in (iter, reversed):
        with pytest.raises(NotImplementedError, match="only implemented for tuples and lists"):
            fn(cursor({"a": 1}))


def test_a_cursor_has_no_hash():
    with pytest.raises(TypeError):
        hash(cursor(1))


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_cursors_can_be_copied_and_pickled(again):
    c = cursor({"a": {"b": 1}})
    c["a"]["b"] = 2
    assert again(c).build() == {"a": {"b": 2}}


def test_text_forms():
    c = cursor({"a": 1})
    assert str(c) == "{'a': 1}"
    c["a"] = freeze({"b": 2})
    assert repr(c) == (
        "Cursor(\n  _obj={'a': 1},\n  _changes={\n    'a': Cursor(\n"
        "           _obj=FrozenDict({\n               b: 2,\n           }),\n"
        "           _changes={}\n         )\n  }\n)"
    )


def test_named_tuples_are_recognised():
    assert is_named_tuple(Pair(1)) and not is_named_tuple((1, 2)) and not is_named_tuple(Pair)
    assert isinstance(cursor(1), Cursor)
