"""One program, one result: the same save and restore through every format, strict and not."""

import random
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("orbax.checkpoint")

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from ramie import checkpoint, errors, struct
from ramie.training import checkpoints
from ramie.trees.frozen import FrozenDict


class Pair(NamedTuple):
    left: object
    right: object


@struct.dataclass
class Point:
    x: object
    y: object


SAVED = {
    "an int": 7,
    "a float": 0.93,
    "a large int": 70_000,
    "a truth value": True,
    "a string": "text",
    "nothing": None,
    "float32": np.float32(0.71),
    "int16": np.int16(-3),
    "0-d": np.asarray(0.93),
    "0-d jax": jnp.float32(0.93),
    "0-d int32": jnp.int32(5),
    "(1,)": np.asarray([0.93]),
    "int64": np.asarray([70_000, 3]),
    "jax": jnp.asarray([0.3, 0.6]),
    "bfloat16": jnp.asarray([0.3, 0.6], jnp.bfloat16),
    "bool": np.asarray([True, False]),
    "(4, 2)": np.arange(8.0, dtype=np.float32).reshape(4, 2),
    "a dict": {"value": np.ones(2, np.float32)},
    "a list": [1, np.ones(2, np.float32)],
    "a named tuple": Pair(1.5, np.ones(2, np.float32)),
    "a dataclass": Point(1.5, {"deep": np.zeros((2, 2))}),
    "a frozen dict": FrozenDict({"a": 1, "b": np.ones(1)}),
    "an empty dict": {},
}

DEVICE = SingleDeviceSharding(jax.devices()[0])
ROWS = NamedSharding(Mesh(np.array(jax.devices()), ("x",)), PartitionSpec("x"))

WANTED = {
    "an int": 0,
    "a float": 0.0,
    "a truth value": False,
    "a complex number": 0j,
    "a string": "",
    "nothing": None,
    "float32": np.float32(0),
    "0-d": np.asarray(0.0),
    "0-d jax": jnp.float32(0),
    "int16": np.zeros(2, np.int16),
    "jax": jnp.zeros(2),
    "shape": jax.ShapeDtypeStruct((2,), jnp.int16),
    "shape of int64": jax.ShapeDtypeStruct((2,), np.int64),
    "shape on a device": jax.ShapeDtypeStruct((2,), np.int64, sharding=DEVICE),
    "shape on several devices": jax.ShapeDtypeStruct((4, 2), jnp.float32, sharding=ROWS),
    "other shape on several devices": jax.ShapeDtypeStruct((8,), jnp.bfloat16, sharding=ROWS),
    "a dict": {"value": np.zeros(2, np.float32)},
    "another dict": {"other": 0},
    "a list": [0, jnp.zeros(2)],
    "a shorter list": [0],
    "a named tuple": Pair(0.0, None),
    "a dataclass": Point(0.0, {"deep": np.zeros((2, 2))}),
    "a frozen dict": FrozenDict({"a": 0, "b": np.zeros(1)}),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same tree, saved in every format."""
    return save(tmp_path_factory.mktemp("same"), SAVED)


def save(folder, tree):
    by_orbax = ocp.PyTreeCheckpointer()
    return [
        checkpoint.save(folder / "msgpack", tree, 1),
        checkpoints.save_checkpoint(folder / "orbax", tree, 1, orbax_checkpointer=by_orbax),
        checkpoint.save_safetensors(folder / "safe.safetensors", tree),
    ]


def outcome(place, target, strict):
    """Return what a restore gives or raises, in a form that can be compared."""
    try:
        found = checkpoint.restore(place, target, strict=strict)
    except errors.CheckpointMismatchError as error:
        lists = (error.missing, error.shapes, error.dtypes, error.types, error.kinds)
        return ("refused", *map(sorted, lists))
    leaves, treedef = jax.tree.flatten(found, is_leaf=lambda leaf: leaf is None)
    return treedef, [described(leaf) for leaf in leaves]


def described(leaf):
    # To safetensors a number of numpy is an array without axes.
    if isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
        return leaf.dtype, leaf.shape, np.asarray(leaf).tolist()
    return type(leaf), leaf


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED)
def test_every_value_into_one_target(places, wanted, strict):
    target = dict.fromkeys(SAVED, wanted)
    first, *others = [outcome(place, target, strict) for place in places]
    for other in others:
        assert other == first
    for name in random.Random(0).sample(sorted(SAVED), 3):
        first, *others = [outcome(place, {name: wanted}, strict) for place in places]
        for other in others:
            assert other == first


@pytest.mark.parametrize("seed", range(20))
def test_any_tree_into_any_target(places, seed):
    chance = random.Random(seed)
    names = chance.sample(sorted(SAVED), chance.randint(1, len(SAVED)))
    target = {}
    for name in names:
        fits = chance.random() < 0.9
        target[name] = SAVED[name] if fits else chance.choice(list(WANTED.values()))
    for strict in (True, False):
        first, *others = [outcome(place, target, strict) for place in places]
        for other in others:
            assert other == first


def test_what_was_saved_is_what_comes_back(places):
    for place in places:
        treedef, leaves = outcome(place, SAVED, True)
        assert treedef == jax.tree.structure(SAVED, is_leaf=lambda leaf: leaf is None)
        kept = jax.tree.leaves(SAVED, is_leaf=lambda leaf: leaf is None)
        assert leaves == [described(leaf) for leaf in kept]
    for place in places[:2]:
        assert type(checkpoint.restore(place, SAVED)["int16"]) is np.int16


DTYPES = [np.dtype(name) for name in ("float32", "float64", "int16", "int64", "bool", "bfloat16")]


@st.composite
def arrays(draw):
    shape = draw(st.sampled_from([(), (1,), (2,), (4, 2)]))
    dtype = draw(st.sampled_from(DTYPES))
    return np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2, dtype)


LEAVES = st.one_of(
    arrays(),
    arrays().map(jnp.asarray),
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-100, 100),
    st.sampled_from(["", "text", None, np.float32(0.5), np.int16(3)]),
)
NAMES = st.sampled_from(["a", "b", "0", "1", "value"])
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, inner, min_size=1, max_size=3)
        | st.lists(inner, min_size=1, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Point, inner, inner)
        | st.dictionaries(NAMES, inner, min_size=1, max_size=2).map(FrozenDict)
    ),
    max_leaves=8,
)


def with_another(tree, place, other):
    """Return a tree with another one in the place of a leaf, by its number."""
    leaves, treedef = jax.tree.flatten(tree, is_leaf=lambda leaf: leaf is None)
    leaves[place % len(leaves)] = other
    return jax.tree.unflatten(treedef, leaves)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=3), TREES, st.integers(0, 20))
def test_any_tree_saved_and_restored_in_any_format(tree, other, number):
    tree["leaf"] = np.ones(1)
    with tempfile.TemporaryDirectory() as folder:
        made = save(Path(folder), tree)
        for target in (tree, with_another(tree, number, other), {"leaf": other}):
            for strict in (True, False):
                first, *others = [outcome(place, target, strict) for place in made]
                assert others == [first] * len(others)
