"""Pytrees: what is data, what is static, and what JAX sees of them."""

import copy
import dataclasses
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie import errors, nnx


class Node(nnx.Pytree):
    """Takes attributes as keywords."""

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


def test_values_decide_what_is_data():
    node = Node(
        array=jnp.ones(1),
        host=np.ones(1),
        variable=nnx.Param(2),
        node=Node(x=jnp.zeros(1)),
        number=3,
        name="n",
        function=jax.nn.relu,
        items=[1, 2],
        key=jax.random.key(0),
    )
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(node)]
    assert paths == [".array", ".host", ".key", ".node.x", ".variable.value"]
    mapped = jax.tree.map(lambda x: x, node)
    assert mapped.number == 3 and mapped.items == [1, 2] and mapped.function is jax.nn.relu


def test_marks_decide_before_values_and_attributes_keep_their_status():
    node = Node(a=nnx.data(1), b=nnx.static("x"))
    assert jax.tree.leaves(node) == [1]
    node.a = 5
    assert jax.tree.leaves(node) == [5]
    node.a = nnx.static(5)
    node.b = nnx.data(6)
    assert jax.tree.leaves(node) == [6]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([nnx.Param(1)], "Found data on value of type '<class 'list'>'"),
        ({"a": Node()}, "Found data on value of type '<class 'dict'>'"),
        ((1, jnp.ones(1)), "nnx.List"),
        (nnx.static(jnp.ones(1)), "Found data in value of type"),
        (nnx.static(nnx.data(1)), "unexpected tags"),
        ([nnx.data(1)], "unexpected tags"),
    ],
)
def test_data_in_static_attributes_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        Node(a=value)


def test_a_static_attribute_refuses_data_later():
    node = Node(a=1)
    with pytest.raises(ValueError, match="Cannot assign data value"):
        node.a = jnp.ones(1)
    node.a = 2
    node.a = nnx.data(jnp.ones(1))
    assert len(jax.tree.leaves(node)) == 1


def test_a_list_that_is_filled_with_data_in_init_is_found():
    class Late(nnx.Pytree):
        def __init__(self):
            self.items = []
            self.items.append(jnp.ones(1))

    with pytest.raises(ValueError, match="Found unexpected data on value of type"):
        Late()


def test_declarations_in_the_class():
    class Declared(nnx.Pytree):
        a: nnx.Data[int]
        b: "nnx.Static[int]"
        c: list = nnx.data()

        def __init__(self):
            self.a, self.b, self.c = 1, 2, [3]

    class Inherits(Declared):
        pass

    for cls in (Declared, Inherits):
        assert jax.tree.leaves(cls()) == [1, 3]


def test_dataclasses():
    @nnx.dataclass
    class Point(nnx.Pytree):
        x: int = nnx.data()
        label: str = nnx.static(default="p")
        tags: list = nnx.data(default_factory=list, kw_only=True)

    @dataclasses.dataclass
    class Plain(nnx.Module):
        x: nnx.Data[int]
        y: int = 2

    point = Point(1)
    assert jax.tree.leaves(point) == [1] and point.label == "p" and point.tags == []
    assert jax.tree.leaves(Plain(1)) == [1]
    assert repr(point).startswith("Point(")


def test_metadata_of_dataclass_fields_decide():
    @dataclasses.dataclass
    class Point(nnx.Module):
        x: list = dataclasses.field(metadata={"static": False})
        label: str = dataclasses.field(metadata={"static": True, "note": 1}, default="p")

    @dataclasses.dataclass
    class Derived(Point):
        more: int = 3

    for cls in (Point, Derived):
        point = cls([jnp.ones(2), 4])
        assert [np.shape(x) for x in jax.tree.leaves(point)] == [(2,), ()]
        with pytest.raises(ValueError, match="assigned to static attribute 'label'"):
            cls([], jnp.ones(1))
    (field,) = (x for x in dataclasses.fields(nnx.dataclass(_Declared)) if x.name == "a")
    assert field.metadata == {"static": False, "note": 2}


class _Declared(nnx.Pytree):
    a: int = nnx.data(metadata={"note": 2})


@pytest.mark.parametrize(
    ("annotation", "field", "message"),
    [
        (int, lambda: dataclasses.field(metadata={"static": 0}), "Invalid 'static' metadata"),
        (int, lambda: nnx.data(metadata={"static": True}), "Cannot use 'static' key in metadata"),
        (int, lambda: nnx.static(metadata={"static": True}), "Cannot use 'static' key"),
        (nnx.Data[int], nnx.static, "Conflicting pytree annotation for attribute 'A.x'"),
        (nnx.Static[int], nnx.data, "Conflicting pytree annotation for attribute 'A.x'"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(annotation, field, message):
    with pytest.raises(ValueError, match=message):
        type(nnx.Pytree)("A", (nnx.Pytree,), {"x": field(), "__annotations__": {"x": annotation}})


def test_deleting_and_missing_attributes():
    node = Node(a=jnp.ones(1), b=2)
    del node.a
    assert jax.tree.leaves(node) == [] and not hasattr(node, "a")
    with pytest.raises(AttributeError):
        del node.a
    with pytest.raises(AttributeError):
        node.a  # noqa: B018


def test_properties_and_class_attributes_work():
    class WithProperty(nnx.Pytree):
        def __init__(self):
            self.double = 4

        @property
        def double(self):
            return self.half * 2

        @double.setter
        def double(self, value):
            self.half = value // 2

    node = WithProperty()
    assert node.double == 4 and list(vars(node)) == ["half"]


def test_objects_change_only_where_they_were_made():
    node = Node(a=1)

    @jax.jit
    def f():
        with pytest.raises(errors.TraceContextError, match="Cannot mutate 'Node' from different"):
            node.a = 2
        with pytest.raises(errors.TraceContextError):
            del node.a
        return 0

    f()
    assert node.a == 1


def test_static_values_count_by_type_in_the_structure():
    structures = [jax.tree.structure(Node(a=value)) for value in (1, 1.0, True)]
    assert len(set(structures)) == 3


def test_classes_that_are_no_pytrees():
    class Opaque(nnx.Module, pytree=False):
        def __init__(self):
            self.items = [nnx.Param(1), 2]

    node = Opaque()
    assert jax.tree.leaves(node) == [node]
    assert nnx.state(node).flat_state().paths == (("items", 0),)


def test_objects_are_no_pytrees_and_check_nothing():
    class Points(nnx.Object):
        def __init__(self):
            self.rows, self.label = [jnp.array(1), jnp.array(2)], "a"
            self.label = jnp.array(3)

    class Derived(Points):
        pass

    @nnx.jit
    def double(points):
        points.rows = [2 * x for x in points.rows]
        points.label = "doubled"

    for cls in (Points, Derived, nnx.Object):
        points = cls()
        if cls is nnx.Object:
            points.rows = [jnp.array(1), jnp.array(2)]
        assert jax.tree.leaves(points) == [points] and isinstance(points, nnx.Pytree)
        double(points)
        assert [int(x) for x in points.rows] == [2, 4] and points.label == "doubled"
    assert not issubclass(nnx.Module, nnx.Object)
    with pytest.raises(ValueError, match="Object is not a pytree, but 'pytree' was explicitly"):
        type(nnx.Object)("Wrong", (Points,), {}, pytree=True)


def test_each_class_says_for_itself_that_it_is_no_pytree():
    class Base(nnx.Module, pytree=False):
        def __init__(self):
            self.x = jnp.ones(2)

    class Again(Base):
        pass

    class Neither(Base, pytree=False):
        pass

    assert [x.shape for x in jax.tree.leaves(Again())] == [(2,)]
    for cls in (Base, Neither):
        model = cls()
        assert jax.tree.leaves(model) == [model]


def test_copies_and_pickles_keep_the_status():
    node = Node(a=nnx.data(1), inner=Node(x=nnx.Param(2)), b=2)
    node.me = node
    for other in (copy.deepcopy(node), copy.copy(node)):
        assert other._pytree__nodes == node._pytree__nodes and other is not node
    assert copy.deepcopy(node).me is not node
    del node.me
    again = pickle.loads(pickle.dumps(node))
    assert jax.tree.leaves(again) == [1, 2] and again.b == 2


def test_users_can_declare_types_as_data():
    class Handle:
        pass

    assert not nnx.is_data(Handle())
    nnx.register_data_type(Handle)
    assert nnx.is_data(Handle())
    assert nnx.has_data([1, jnp.ones(1)]) and not nnx.has_data([1, 2])


def test_a_class_without_init_takes_no_arguments():
    with pytest.raises(TypeError, match="takes no arguments"):
        nnx.Module(1)


def test_repr_counts_kinds_and_cuts_cycles():
    node = Node(a=nnx.Param(jnp.ones((2, 3))), s=nnx.BatchStat(jnp.ones(4)))
    node.me = node
    first = repr(node).splitlines()[0]
    assert "Param: 6 (24 B)" in first and "BatchStat: 4 (16 B)" in first and "Total: 10" in first
    assert "me=Node(...)" in repr(node)


class Stored:
    """A data descriptor that its class itself does not have a value for."""

    def __set_name__(self, owner, name):
        self.name = f"_{name}"

    def __get__(self, node, owner=None):
        if node is None:
            raise AttributeError(self.name)
        return getattr(node, self.name)

    def __set__(self, node, value):
        setattr(node, self.name, value)

    def __delete__(self, node):
        delattr(node, self.name)


class Guarded(nnx.Pytree):
    """Has a property with a setter, one without, and another data descriptor."""

    stored = Stored()

    @property
    def doubled(self):
        return self._half * 2

    @doubled.setter
    def doubled(self, value):
        self._half = value / 2

    @property
    def fixed(self):
        return 1


class MoreGuarded(Guarded):
    """Inherits them."""


@pytest.mark.parametrize("cls", [Guarded, MoreGuarded])
def test_data_descriptors_of_a_class_store_in_their_own_way(cls):
    node = cls()
    node.doubled = jnp.array(6.0)
    node.stored = nnx.Variable(1)
    assert list(vars(node)) == ["_half", "_stored"]
    assert (float(node._half), float(node.doubled)) == (3.0, 6.0)
    node.stored = kept = nnx.Variable(2)
    assert node.stored is kept and list(nnx.state(node)) == ["_half", "_stored"]
    del node.stored
    assert list(vars(node)) == ["_half"]
    for value in (2, jnp.ones(1)):
        with pytest.raises(AttributeError, match="fixed"):
            node.fixed = value
    with pytest.raises(errors.TraceContextError):
        jax.jit(lambda: setattr(node, "doubled", 1.0))()


def test_marks_reach_the_attribute_behind_a_setter():
    node = Guarded()
    node.stored = nnx.data(3)
    assert node.stored == 3 and jax.tree.leaves(node) == [3]
    node = Guarded()
    node.stored = 3
    assert node.stored == 3 and jax.tree.leaves(node) == []


def test_attributes_of_all_modules_are_set_through_setters():
    class Layer(nnx.Module):
        def __init__(self):
            self._rate = 1

        @property
        def rate(self):
            return self._rate * 10

        @rate.setter
        def rate(self, value):
            self._rate = value

    model = nnx.List([Layer(), Layer()])
    model.set_attributes(rate=5)
    assert [layer.rate for layer in model] == [50, 50]
    assert list(vars(model[0])) == ["_rate"]


def test_the_signature_of_a_class_is_that_of_its_init():
    class Model(nnx.Module):
        def __init__(self, width: int, *, rngs=None):
            self.width = width

        def __call__(self, x):
            return x

    @nnx.dataclass
    class Point(nnx.Pytree):
        x: int
        y: int = 2

    class Told(nnx.Module):
        __signature__ = inspect.signature(lambda told: None)

    assert str(inspect.signature(Model)) == "(width: int, *, rngs=None)"
    assert str(inspect.signature(Model(2))) == "(x)"
    assert str(inspect.signature(Point)) == "(x: int, y: int = 2) -> None"
    assert str(inspect.signature(Told)) == "(told)"
    assert str(inspect.signature(nnx.Module)) == "()"
    assert next(iter(inspect.signature(type(nnx.Module)).parameters)) == "name"
    assert not hasattr(Model(2), "__signature__")


def test_attributes_are_in_order_of_their_names_wherever_an_object_is_made_again():
    class Model(nnx.Module):
        def __init__(self):
            self.weight, self.size = nnx.Param(jnp.ones(2)), 3
            self.inner, self.bias = nnx.Dict(b=nnx.Param(1), a="text"), nnx.Param(jnp.zeros(2))

    model, names = Model(), ["bias", "inner", "size", "weight"]
    for again in (
        nnx.merge(*nnx.split(model)),
        nnx.clone(model),
        nnx.eval_shape(Model),
        jax.tree.map(lambda x: x, model),
        nnx.jit(lambda: Model())(),
    ):
        assert list(vars(again)) == names and list(vars(again.inner)) == ["a", "b"]
    assert list(vars(model)) == ["weight", "size", "inner", "bias"]
    layers = nnx.List(nnx.Param(i) for i in range(12))
    assert list(vars(nnx.clone(layers))) == [str(i) for i in range(12)]
