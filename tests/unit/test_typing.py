"""The small classes among the types; the aliases are checked by the type checker."""

import typing as std_typing
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import typing


def test_every_listed_name_exists():
    for name in typing.__all__:
        assert getattr(typing, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="NoSuchType"):
        typing.NoSuchType  # noqa: B018


def test_aliases_of_frozen_dicts_are_resolved_on_use():
    from ramie.core import FrozenDict

    assert typing.FrozenDict is FrozenDict
    assert std_typing.get_origin(typing.FrozenVariableDict) is FrozenDict


def test_annotations_of_user_classes_resolve():
    class Layer:
        dtype: typing.Dtype | None
        shape: typing.Shape
        init: typing.Initializer
        precision: typing.PrecisionLike
        padding: typing.PaddingLike
        axis: typing.InOutAxis

    assert len(std_typing.get_type_hints(Layer)) == 6


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((3, 4), np.float32), (12, 48)),
        (jnp.zeros((3,), jnp.bfloat16), (3, 6)),
        (jax.ShapeDtypeStruct((2, 2), jnp.int8), (4, 4)),
        (jax.random.key(0), (1, 8)),
        (jax.random.PRNGKey(0), (2, 8)),
        (np.zeros(()), (1, 8)),
        (np.zeros((0, 5)), (0, 0)),
        (3.5, (0, 0)),
        (None, (0, 0)),
        ("text", (0, 0)),
    ],
)
def test_sizes_are_counted(array, expected):
    size = typing.SizeBytes.from_any(array)
    assert (size.size, size.bytes) == expected
    assert bool(size) == (expected[0] > 0)


sizes = st.builds(typing.SizeBytes, st.integers(0, 10**15), st.integers(0, 10**15))


@given(sizes, sizes)
def test_sizes_add_up_and_compare_by_value(a, b):
    total = a + b
    assert (total.size, total.bytes) == (a.size + b.size, a.bytes + b.bytes)
    assert total == b + a and hash(total) == hash(b + a)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1000, "1,000 B"),
        (1001, "1.0 KB"),
        (1_000_000, "1,000.0 KB"),
        (123_456_789, "123.5 MB"),
        (2**40, "1,099.5 GB"),
    ],
)
def test_bytes_are_written_for_people(count, text):
    assert repr(typing.SizeBytes(1234, count)) == f"1,234 ({text})"


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=5), st.randoms())
def test_hashable_mappings_ignore_the_order_of_items(items, random):
    pairs = list(items.items())
    random.shuffle(pairs)
    a, b = typing.HashableMapping(items), typing.HashableMapping(dict(pairs))
    assert a == b and hash(a) == hash(b)
    assert dict(a) == items and len(a) == len(items)
    assert a.update({"zzzz": 1}) != a
    assert all(key in a and a[key] == value for key, value in items.items())


def test_a_hashable_mapping_owns_its_items_unless_told_otherwise():
    source = {"a": 1}
    owned, shared = typing.HashableMapping(source), typing.HashableMapping(source, copy=False)
    source["a"] = 2
    assert (owned["a"], shared["a"]) == (1, 2)
    assert repr(owned) == "{'a': 1}"
    assert owned != {"a": 1}


def test_a_deque_is_a_pytree():
    deque = typing.PytreeDeque([1, (2, 3)])
    doubled = jax.tree.map(lambda x: 2 * x, deque)
    assert type(doubled) is typing.PytreeDeque
    assert list(doubled) == [2, (4, 6)]
    paths = jax.tree_util.tree_flatten_with_path(deque)[0]
    assert [jax.tree_util.keystr(path) for path, _ in paths] == ["[0]", "[1][0]", "[1][1]"]


class Setting(typing.BaseConfigContext):
    stack: ClassVar[list[Any]] = []

    @classmethod
    def get_default(cls):
        return "default"

    @classmethod
    def get_stack(cls):
        return cls.stack


@pytest.fixture
def setting():
    Setting.stack.clear()
    yield Setting
    Setting.stack.clear()


def test_a_setting_holds_for_a_block(setting):
    with setting("a"):
        with setting("b"):
            assert setting.current_value() == "b"
        assert setting.current_value() == "a"
    assert setting.current_value() == "default"
    with pytest.raises(ZeroDivisionError), setting("a"):
        1 / 0  # noqa: B018
    assert setting.stack == []


def test_a_setting_is_made_for_good_by_constructing_it(setting):
    setting("a")
    assert setting.current_value() == "a"
    setting("b")
    assert setting.stack == ["b"]
    with setting("c"):
        assert setting.stack == ["b", "c"]
    assert setting.current_value() == "b"


def test_a_setting_holds_inside_a_decorated_function(setting):
    @setting("inside")
    def f(x, *, y=0):
        """Say what is set."""
        return setting.current_value(), x, y

    assert setting.current_value() == "default"
    assert f(1, y=2) == ("inside", 1, 2)
    assert setting.current_value() == "default"
    assert (f.__name__, f.__doc__) == ("f", "Say what is set.")


def test_keys_and_shapes_are_recognised():
    assert typing.is_key_like("a") and typing.is_key_like((1, 2))
    assert typing.has_shape_dtype(jnp.ones(2)) and not typing.has_shape_dtype(3)
    assert typing.In(1) == typing.In(1) != typing.Out(1)
    assert len({typing.In(1), typing.In(1), typing.Out(None)}) == 2
