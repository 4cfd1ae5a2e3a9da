"""Struct dataclasses: pytrees, replacement, options, inheritance and what is refused."""

import copy
import dataclasses
import pickle
from typing import Any, ClassVar, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import struct


@struct.dataclass
class Point:
    x: Any
    y: Any = 0.0
    name: str = struct.field(pytree_node=False, default="p")


class Node(struct.PyTreeNode):
    left: Any
    right: Any = None
    label: str = struct.field(pytree_node=False, default="")


leaves = st.one_of(st.integers(-9, 9), st.floats(-9, 9))
trees = st.recursive(leaves, lambda inner: st.builds(Node, inner, inner, st.text(max_size=3)))


@pytest.mark.parametrize("cls", [Point, Node])
def test_an_instance_is_frozen_and_changes_by_replace(cls):
    first, second, _ = (field.name for field in dataclasses.fields(cls))
    a = cls(1, 2)
    b = a.replace(**{second: 5})
    assert (getattr(a, second), getattr(b, first), getattr(b, second)) == (2, 1, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(a, first, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.fresh = 3
    with pytest.raises(TypeError, match="unknown"):
        a.replace(unknown=1)


@given(trees, st.integers(-3, 3))
def test_tree_functions_reach_every_child_and_no_static_field(tree, factor):
    result = jax.tree.map(lambda x: x * factor, tree)
    assert jax.tree.structure(result) == jax.tree.structure(tree)
    assert jax.tree.leaves(result) == [x * factor for x in jax.tree.leaves(tree)]
    rebuilt = jax.tree.unflatten(jax.tree.structure(tree), jax.tree.leaves(tree))
    assert rebuilt == tree


def test_paths_name_the_fields():
    paths = jax.tree_util.tree_flatten_with_path(Point(1, {"k": 2}))[0]
    assert [jax.tree_util.keystr(path) for path, _ in paths] == [".x", ".y['k']"]


def test_static_fields_are_part_of_the_structure():
    traces = []

    @jax.jit
    def f(p):
        traces.append(p.name)
        return p.x + p.y

    f(Point(1.0, 2.0, "a"))
    f(Point(3.0, 4.0, "a"))
    f(Point(1.0, 2.0, "b"))
    assert traces == ["a", "b"]


def test_gradients_have_the_type_of_the_parameters():
    grads = jax.grad(lambda p: (p.x * p.y).sum())(Point(jnp.ones(2), jnp.full(2, 3.0)))
    assert isinstance(grads, Point)
    assert grads.name == "p" and grads.x.tolist() == [3.0, 3.0]


def test_wrapping_twice_changes_nothing():
    assert struct.dataclass(Point) is Point
    assert struct.dataclass(Node) is Node


def test_the_decorator_takes_options():
    @struct.dataclass(kw_only=True, frozen=False)
    class Settings:
        rate: float
        steps: int = struct.field(pytree_node=False, default=3)

    with pytest.raises(TypeError):
        Settings(0.1)
    settings = Settings(rate=0.1)
    settings.rate = 0.2
    assert jax.tree.map(lambda x: x * 2, settings) == Settings(rate=0.4, steps=3)


def test_slots_save_the_dictionary():
    @struct.dataclass(slots=True)
    class Small:
        a: Any

    assert not hasattr(Small(1), "__dict__")
    assert jax.tree.map(lambda x: x + 1, Small(1)) == Small(2)
    assert Small(1).replace(a=4) == Small(4)


def test_slots_of_a_subclass_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"@struct\.dataclass\(slots=True\)"):

        class Small(struct.PyTreeNode, slots=True):
            a: Any


def test_options_of_a_class_statement_hold_for_that_class_only():
    class Base(struct.PyTreeNode):
        a: int = 1

    class Derived(Base, kw_only=True):
        b: int

    class Loose(struct.PyTreeNode, frozen=False):
        a: int = 1

    assert Derived(7, b=2) == Derived(a=7, b=2)
    loose = Loose()
    loose.a = 2
    assert loose.a == 2
    with pytest.raises(TypeError, match="non-default argument 'b' follows default argument"):

        class Wrong(Base):
            b: int


@pytest.mark.parametrize("value", [float("nan"), np.ones(3), jnp.ones(3)], ids=["nan", "np", "jnp"])
def test_a_copy_is_equal_whatever_a_field_holds(value):
    """Dataclasses compare so up to Python 3.12; those of 3.13 do not ask whether it is the same."""
    for made in (Point(value), Node(value, label="a"), Point(1, name=value)):
        assert copy.copy(made) == made
        assert {"a": [made]} == {"a": [copy.copy(made)]}
    assert Point(value, 1.0) != Point(value, 2.0)


def test_comparison_follows_the_options():
    class Named(struct.PyTreeNode):
        size: int
        note: str = struct.field(compare=False, default="")

    class Unlike(struct.PyTreeNode, eq=False):
        size: int

    class Own(struct.PyTreeNode):
        size: int

        def __eq__(self, other):
            return self.size == -other.size

    class Ordered(struct.PyTreeNode, order=True):
        size: int

    assert Named(1, "a") == Named(1, "b") and hash(Named(1, "a")) == hash(Named(1, "b"))
    assert Named(1) != Ordered(1) and Named(1) != 1
    assert Unlike(1) != Unlike(1)
    assert Own(1) == Own(-1)
    assert Ordered(1) < Ordered(2) and Ordered(1) == Ordered(1)


def test_other_keywords_reach_init_subclass():
    seen = []

    class Registered:
        def __init_subclass__(cls, tag=None, **kwargs):
            seen.append(tag)
            super().__init_subclass__(**kwargs)

    class Item(struct.PyTreeNode, Registered, tag="item", kw_only=True):
        a: int

    assert seen == ["item"]
    assert Item(a=1).a == 1


T = TypeVar("T")


@pytest.mark.parametrize("order", ["first", "last"])
def test_generic_classes(order):
    bases = (Generic[T], struct.PyTreeNode) if order == "first" else (struct.PyTreeNode, Generic[T])

    class Box(*bases):
        value: Any

    class Pair(Box[int]):
        other: Any = 1

    assert Box.__parameters__ == (T,)
    assert jax.tree.leaves(Pair(3, 4)) == [3, 4]


def test_class_variables_and_plain_defaults_are_no_children():
    class Counted(struct.PyTreeNode):
        limit: ClassVar[int] = 9
        value: Any = 1
        constant = 5

    assert jax.tree.leaves(Counted()) == [1]


def test_inherited_fields_stay_children_of_their_kind():
    class Named(Point):
        z: Any = 3

    named = struct.dataclass(Named)
    assert named is Named
    assert jax.tree.leaves(Named(1, 2, "q")) == [1, 2, 3]


def test_a_plain_subclass_is_no_pytree_of_its_own():
    class Plain(Point):
        pass

    assert jax.tree.leaves(Plain(1)) == [Plain(1)]


def test_post_init_runs_whenever_jax_rebuilds():
    runs = []

    @struct.dataclass
    class Watched:
        a: Any

        def __post_init__(self):
            runs.append(self.a)

    jax.tree.map(lambda x: x + 1, Watched(1))
    assert runs == [1, 2]


@pytest.mark.parametrize("static", [True, False])
def test_a_field_outside_the_constructor_is_refused(static):
    with pytest.raises(ValueError, match=r"'cached' of .*Late has init=False"):

        @struct.dataclass
        class Late:
            a: int
            cached: int = struct.field(pytree_node=not static, init=False, default=3)


def test_metadata_is_kept():
    field = struct.field(pytree_node=False, metadata={"unit": "m"}, default=1)
    assert dict(field.metadata) == {"unit": "m", "pytree_node": False}
    with pytest.raises(ValueError, match="both default and default_factory"):
        struct.field(default=1, default_factory=int)


def test_the_base_class_itself_cannot_be_constructed():
    with pytest.raises(NotImplementedError, match="define a subclass"):
        struct.PyTreeNode()


def test_pickling_and_copying():
    point = Point(1, {"a": 2}, "n")
    assert pickle.loads(pickle.dumps(point)) == point
    assert copy.deepcopy(point) == point


def test_state_dicts_know_struct_dataclasses():
    from ramie import serialization

    state = serialization.to_state_dict(Point(1, Node(2, 3)))
    assert state == {"x": 1, "y": {"left": 2, "right": 3}}
    restored = serialization.from_state_dict(Point(0, Node(0)), state)
    assert restored == Point(1, Node(2, 3))


def test_comparison_and_hash_follow_the_fields():
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
