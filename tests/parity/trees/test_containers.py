"""Struct dataclasses, flat dictionaries, traversals and cursors against Flax's."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

import importlib
from collections import namedtuple
from typing import Any

import jax
from hypothesis import given
from hypothesis import strategies as st

LIBRARIES = ("ramie", "flax")
Pair = namedtuple("Pair", ["x", "y"])


def module(library, name):
    return importlib.import_module(f"{library}.{name}")


keys = st.text("ab/", min_size=1, max_size=2)
leaves = st.one_of(st.integers(-5, 5), st.none(), st.tuples(st.integers(), st.integers()))
nested = st.recursive(
    st.dictionaries(keys, leaves, max_size=3),
    lambda inner: st.dictionaries(keys, st.one_of(leaves, inner), max_size=3),
    max_leaves=10,
)
unjoined = st.recursive(
    st.dictionaries(st.sampled_from("abc"), leaves, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(leaves, inner), max_size=3),
    max_leaves=10,
)


def plain(value):
    """A result without the types of either library."""
    if type(value).__name__ == "_EmptyNode":
        return "empty node"
    if hasattr(value, "unfreeze"):
        return {"frozen": value.unfreeze()}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


@given(nested, st.booleans())
def test_flattening(xs, keep):
    ours, theirs = (
        module(lib, "traverse_util").flatten_dict(xs, keep_empty_nodes=keep) for lib in LIBRARIES
    )
    assert plain(ours) == plain(theirs)
    assert list(ours) == list(theirs)


@given(unjoined, st.booleans(), st.sampled_from(["/", ".", "::"]))
def test_flattening_and_unflattening_with_a_separator(xs, keep, sep):
    flat = [module(lib, "traverse_util").flatten_dict(xs, keep, None, sep) for lib in LIBRARIES]
    assert plain(flat[0]) == plain(flat[1])
    back = [
        module(lib, "traverse_util").unflatten_dict(f, sep)
        for lib, f in zip(LIBRARIES, flat, strict=True)
    ]
    assert back[0] == back[1]


@given(unjoined, st.sampled_from("abc"))
def test_is_leaf(xs, key):
    results, seen = [], []
    for lib in LIBRARIES:
        visited = []

        def is_leaf(path, node, visited=visited):
            visited.append(path)
            return bool(path) and path[-1] == key

        results.append(plain(module(lib, "traverse_util").flatten_dict(xs, is_leaf=is_leaf)))
        seen.append(visited)
    assert results[0] == results[1]
    assert seen[0] == seen[1]


@given(unjoined)
def test_maps_that_know_the_path(xs):
    ours, theirs = (
        module(lib, "traverse_util").path_aware_map(lambda path, x: (path, x), xs)
        for lib in LIBRARIES
    )
    assert ours == theirs


# Flax announces the end of its traversals.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(unjoined, st.sampled_from("abc"))
def test_parameter_traversals(xs, letter):
    results = []
    for lib in LIBRARIES:
        asked = []

        def select(path, value, asked=asked):
            asked.append((path, value))
            return letter in path

        traversal = module(lib, "traverse_util").ModelParamTraversal(select)
        frozen = module(lib, "core").freeze(xs)
        updated = traversal.update(lambda x: "new", xs)
        results.append(
            [
                list(traversal.iterate(xs)),
                asked[:],
                plain(updated),
                list(updated),
                plain(traversal.update(lambda x: "new", frozen)),
            ]
        )
    assert results[0] == results[1]


TRAVERSALS = {
    "items": (lambda t: t[0], [1, 2]),
    "slices of tuples": (lambda t: t[1:3], (1, 2, 3, 4)),
    "attributes": (lambda t: t.y, Pair(1, 2)),
    "each": (lambda t: t.each()["a"], [{"a": 1}, {"a": 2}]),
    "each of a dict": (lambda t: t.each(), {"a": 1, "b": 2}),
    "trees": (lambda t: t["a"].tree(), {"a": {"b": (1, [2])}}),
    "filters": (lambda t: t.each().filter(lambda x: x > 1), [1, 2, 3]),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", TRAVERSALS)
def test_traversals(name):
    build, data = TRAVERSALS[name]
    results = []
    for lib in LIBRARIES:
        traversal = build(module(lib, "traverse_util").t_identity)
        values = list(traversal.iterate(data))
        results.append(
            (
                values,
                traversal.update(lambda x: x * 10, data),
                traversal.set([0] * len(values), data),
            )
        )
    assert results[0] == results[1]


def make_struct(library):
    struct = module(library, "struct")

    class Inner(struct.PyTreeNode):
        a: Any
        note: str = struct.field(pytree_node=False, default="n", metadata={"unit": "m"})

    @struct.dataclass
    class Outer:
        inner: Inner
        items: Any
        last: Any = None

    return Outer(Inner(1), [2, {"k": 3}])


def test_struct_dataclasses_flatten_alike():
    ours, theirs = (make_struct(lib) for lib in LIBRARIES)
    assert repr(ours) == repr(theirs)
    assert repr(jax.tree.structure(ours)) == repr(jax.tree.structure(theirs))
    paths = [jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (ours, theirs)]
    assert paths[0] == paths[1]
    states = [
        module(lib, "serialization").to_state_dict(tree)
        for lib, tree in zip(LIBRARIES, (ours, theirs), strict=True)
    ]
    assert states[0] == states[1]


def test_libraries_read_each_others_frozen_dictionaries_and_structs():
    """A program that mixes both for a while gets sensible answers."""
    theirs = flax.core.freeze({"a": {"b": 1}})
    assert module("ramie", "traverse_util").flatten_dict(theirs) == {("a", "b"): 1}
    state = module("ramie", "serialization").to_state_dict(make_struct("flax"))
    assert state == module("flax", "serialization").to_state_dict(make_struct("flax"))


CURSOR_PROGRAMS = {
    "set deep": lambda c: c["a"][1].x.set(5),
    "several": lambda c: [c["a"].__setitem__(0, 9), c["b"].set(3)][-1],
    "update": lambda c: c.apply_update(lambda p, v: v * 2 if isinstance(v, int) else v).build(),
    "find": lambda c: c.find(lambda p, v: v == 2).set("found"),
    "find all": lambda c: [place._path for place in c.find_all(lambda p, v: isinstance(v, int))],
    "repr": lambda c: [c["a"][1].x.set(5), repr(c)][-1],
    "arithmetic": lambda c: (c["a"][0] + 1, 2 ** c["a"][0], -c["a"][0], c["b"] == (7, 8)),
    "path": lambda c: c["a"][1].y["q"]._path,
    "missing": lambda c: c["a"][1].y["zz"],
    "missing attribute": lambda c: c["a"][1].zz,
    "many": lambda c: c.find(lambda p, v: isinstance(v, tuple)),
    "none": lambda c: c.find(lambda p, v: v == "absent"),
}


@pytest.mark.parametrize("name", CURSOR_PROGRAMS)
def test_cursors(name):
    results = []
    for lib in LIBRARIES:
        data = {"a": [1, Pair(2, {"q": 4})], "b": (7, 8)}
        try:
            results.append(CURSOR_PROGRAMS[name](module(lib, "cursor").cursor(data)))
        except (KeyError, AttributeError) as error:
            results.append(type(error))
        except Exception as error:
            results.append(type(error).__name__)
    assert results[0] == results[1]
