"""Variables: values, metadata, hooks, operators, and the transformation they belong to."""

import copy
import operator
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx


def test_the_value_is_read_and_changed_through_an_ellipsis():
    v = nnx.Param(jnp.arange(3.0))
    v[...] = v + 1
    assert_exact(v[...], np.array([1, 2, 3], np.float32))
    v[0] = 7
    assert_exact(v[:2], np.array([7, 2], np.float32))
    v[...] = 5
    assert_exact(v[...], np.full(3, 5, np.float32))


def test_an_equal_array_is_stored_as_it_is():
    v, x = nnx.Param(jnp.zeros(2)), jnp.ones(2)
    v[...] = x
    assert v.get_raw_value() is x


def test_values_of_python_are_replaced_as_a_whole():
    v = nnx.Variable(1)
    v[...] = 2
    assert v.get_value() == 2 and v.shape == ()
    table = nnx.Variable({"a": 1})
    table["a"] = 3
    assert table.get_value() == {"a": 3}


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "mod", "floordiv", "lt"])
def test_operators_work_on_values_from_both_sides(name):
    op = getattr(operator, name)
    x, y = jnp.array([1.0, 5.0]), jnp.array([3.0, 2.0])
    v, w = nnx.Param(x), nnx.Param(y)
    for result in (op(v, w), op(v, y), op(x, w)):
        assert not isinstance(result, nnx.Variable)
        assert_exact(result, op(x, y))


def test_functions_of_jax_take_variables():
    v = nnx.Param(jnp.ones((2, 3)))
    assert jnp.dot(v, jnp.ones(3)).shape == (2,)
    assert v.T.shape == (3, 2)
    assert np.asarray(v).shape == (2, 3)
    assert v.dtype == jnp.float32


def test_in_place_operators_say_what_to_write():
    v = nnx.Param(jnp.ones(2))
    with pytest.raises(NotImplementedError, match=r"variable\[...\] \+= x"):
        v += 1


def test_metadata_is_read_as_attributes_and_changed_by_methods():
    v = nnx.Param(1, note="a")
    assert v.note == "a" and v.get_metadata("none", default=3) == 3
    v.set_metadata(note="b", other=2)
    v.set_metadata("third", 3)
    assert v.get_metadata(exclude_required=True) == {"note": "b", "other": 2, "third": 3}
    v.del_metadata("third")
    v.set_metadata({"only": 1})
    assert v.get_metadata() == {"only": 1, "hijax": False, "ref": False, "eager_sharding": True}
    with pytest.raises(AttributeError, match="set_metadata"):
        v.note = 1
    with pytest.raises(KeyError, match="missing"):
        v.get_metadata("missing")


def test_equal_metadata_is_one_object_and_types_count():
    a, b = nnx.Param(1, x=1), nnx.Param(2, x=1)
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert a._var_metadata is b._var_metadata
    assert nnx.Param(1, x=True)._var_metadata is not a._var_metadata


def test_metadata_without_a_hash_works_until_it_is_hashed():
    v = nnx.Param(jnp.ones(1), names=["a"])
    assert v.names == ["a"]
    assert jax.tree.map(lambda x: x + 1, v).names == ["a"]
    with pytest.raises(TypeError, match="names"):
        hash(nnx.graphdef(v))
    assert nnx.graphdef(v) == nnx.graphdef(nnx.Param(2, names=["a"]))


def test_hooks_as_entries_and_as_methods():
    class Doubled(nnx.Param):
        def on_get_value(self, value):
            return value * 2

        def on_set_value(self, value):
            return value + 1

        def on_create_value(self, value):
            return value + 10

    same = nnx.Param(
        jnp.array(1.0),
        on_get_value=lambda v, x: x * 2,
        on_set_value=lambda v, x: x + 1,
        on_create_value=lambda v, x: x + 10,
    )
    for v in (Doubled(jnp.array(1.0)), same):
        assert v.get_raw_value() == 11 and v[...] == 22
        v[...] = 5
        assert v.get_raw_value() == 6 and v + 0 == 12


def test_with_metadata_passes_hooks_and_entries_on():
    init = nnx.with_metadata(lambda key, shape: jnp.zeros(shape), on_get_value=[_add, _add], a=1)
    v = nnx.Param(init(None, (2,)), b=2)
    assert v.a == 1 and v.b == 2 and v[...].sum() == 4


def _add(variable, value):
    return value + 1


def test_copies_are_independent_and_keep_the_kind():
    v = nnx.BatchStat(jnp.ones(2), a=1)
    for other in (
        v.copy(),
        v.replace(),
        copy.copy(v),
        copy.deepcopy(v),
        pickle.loads(pickle.dumps(v)),
    ):
        assert type(other) is nnx.BatchStat and other is not v and other.a == 1
        other[...] = 0
        assert v[...].sum() == 2
    changed = v.replace(3, a=2)
    assert changed.get_value() == 3 and changed.a == 2 and v.a == 1


def test_copy_from_takes_value_and_metadata_of_the_same_kind_only():
    v = nnx.Param(1, a=1)
    v.copy_from(nnx.Param(2, b=2))
    assert v.get_value() == 2 and v.get_metadata(exclude_required=True) == {"b": 2}
    with pytest.raises(ValueError, match="expected Param, got BatchStat"):
        v.copy_from(nnx.BatchStat(1))


def test_a_variable_is_a_pytree_with_one_key():
    v = nnx.Param(jnp.ones(2), a=1)
    ((path, leaf),) = jax.tree_util.tree_leaves_with_path(v)
    assert jax.tree_util.keystr(path) == ".value" and leaf is v.get_raw_value()
    doubled = jax.jit(lambda v: v.replace(v * 2))(v)
    assert type(doubled) is nnx.Param and doubled.a == 1 and doubled[...].sum() == 4


def test_a_variable_changes_only_where_it_was_made():
    v, kept = nnx.Param(jnp.array(1.0)), []

    @jax.jit
    def f(x):
        inner = nnx.Param(x)
        inner[...] = x + v
        kept.append(inner)
        with pytest.raises(errors.TraceContextError, match="Cannot mutate Param from a different"):
            v[...] = x
        with pytest.raises(errors.TraceContextError):
            v.set_metadata(a=1)
        return inner[...]

    assert f(2.0) == 3
    with pytest.raises(errors.TraceContextError):
        kept[0][...] = 1.0
    v[...] = 2.0


def test_names_of_kinds():
    assert nnx.variable_type_from_name("batch_stats") is nnx.BatchStat
    assert nnx.variable_name_from_type(nnx.Param) == "params"
    with pytest.raises(ValueError, match="not registered"):
        nnx.variable_type_from_name("test_names_of_kinds")
    made = nnx.variable_type_from_name("test_kind", allow_register=True)
    assert issubclass(made, nnx.Variable) and nnx.variable_name_from_type(made) == "test_kind"
    with pytest.raises(ValueError, match="already registered"):
        nnx.register_variable_name("test_kind", nnx.Param)


def test_a_sharding_needs_a_mesh_unless_placing_is_off():
    with pytest.raises(ValueError, match="mesh"):
        nnx.Param(jnp.ones(2), out_sharding=("x",))
    assert nnx.Param(jnp.ones(2), sharding=("x",), eager_sharding=False).sharding_names == ("x",)
    with nnx.use_eager_sharding(False):
        nnx.Param(jnp.ones(2), out_sharding=("x",))
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    placed = nnx.Param(jnp.ones(2), out_sharding=("x",), mesh=mesh)
    assert placed[...].sharding.spec == jax.sharding.PartitionSpec("x")


def test_a_value_that_was_placed_does_not_change_with_its_numpy_array():
    memory = np.ones(64 + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4  # where JAX on a CPU takes memory over without a copy
    array = memory[start : start + 64]
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    variable = nnx.Param(array, out_sharding=device)
    memory[...] = 7
    assert_exact(variable[...], jnp.ones(64))


def test_repr_shows_size_value_and_metadata():
    text = repr(nnx.Param(jnp.ones((2, 3)), note="x"))
    assert text.startswith("Param( # 6 (24 B)\n  value=Array(") and "note='x'" in text


def test_the_former_name_warns():
    with pytest.warns(DeprecationWarning, match=r"former name of nnx\.Variable"):
        assert nnx.VariableState is nnx.Variable


def _change(variable):
    return lambda x: [variable.set_value(x), x.sum()][1]


@pytest.mark.parametrize(
    ("transform", "where"),
    [
        (jax.jit, "inside of jit, scan or another transformation that makes a program"),
        (jax.vmap, "inside of vmap"),
        (jax.grad, "inside of grad or"),
    ],
)
def test_both_levels_are_named_where_a_variable_of_a_closure_changes(transform, where):
    words = f"made outside of all JAX transformations, and is changed {where}"
    with pytest.raises(errors.TraceContextError, match=words):
        transform(_change(nnx.Param(jnp.ones(3))))(jnp.ones((3,)))


def test_a_level_that_is_over_and_two_of_a_kind_are_named():
    kept = []
    jax.jit(lambda x: [kept.append(nnx.Param(x)), x][1])(1.0)
    with pytest.raises(errors.TraceContextError, match="is changed outside of all"):
        kept[0].set_value(2.0)

    def outer(x):
        return jax.jit(_change(nnx.Param(x)))(x)

    with pytest.raises(errors.TraceContextError, match="and is changed inside of another one"):
        jax.jit(outer)(jnp.ones(3))
