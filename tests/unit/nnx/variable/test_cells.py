"""Variables in array references and in boxes: what any function may change."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors, nnx
from ramie.core.tracing.trace import has_boxes
from ramie.nnx.variable import HijaxVariable

KINDS = [
    pytest.param({"ref": True}, id="ref"),
    pytest.param({"hijax": True}, id="hijax"),
    pytest.param({"hijax": True, "ref": True}, id="both"),
]


def _is_in_cell(kind):
    """Tell whether variables of a kind are in a cell, in the JAX that is there."""
    return has_boxes() or "ref" in kind


def _refused():
    """Expect that an update inside of a transformation is refused."""
    return pytest.raises(errors.ImmutableVariableError, match=r"^Cannot update.*ref=True")


class _Counter(nnx.Variable):
    """A kind of variable with methods and a hook."""

    def __init__(self, start, **metadata):
        super().__init__(jnp.array(start), **metadata)

    @property
    def next(self):
        return self[...] + 1

    def step(self):
        self[...] += 1

    def on_set_value(self, value):
        return jnp.minimum(value, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_read_and_changed_as_in_other_variables(kind):
    v = nnx.Param(jnp.arange(3.0), note="mine", **kind)
    assert v.get_metadata() == {"note": "mine", "hijax": False, "ref": False, **kind} | {
        "eager_sharding": True
    }
    v[...] = v + 1
    v[0] = 7
    assert_exact(v[...], np.array([7, 2, 3], np.float32))
    v.set_value(jnp.zeros(3))
    v.raw_value = jnp.ones(3)
    assert_exact(v[1:], np.ones(2, np.float32))
    assert v.shape == (3,) and v.dtype == jnp.float32 and v.sum() == 3
    assert isinstance(v.get_raw_value(), jax.Ref) == v.ref
    assert isinstance(v, nnx.Param) and v.type is nnx.Param and not isinstance(v, nnx.BatchStat)
    assert (type(v) is HijaxVariable) == v.hijax == isinstance(v, HijaxVariable)
    assert repr(v).startswith("Param( # 3 (12 B)\n") and all(f"{k}=True" in repr(v) for k in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_functions_under_jit_change_what_they_get_and_what_they_see(kind):
    v = nnx.BatchStat(jnp.array(1.0), note="mine", **kind)
    seen = nnx.Variable(jnp.array(0), **kind)

    @jax.jit
    def step(v, x):
        assert isinstance(v, nnx.BatchStat) and v.note == "mine" and v.hijax == seen.hijax
        v[...] = v * x
        seen[...] += 1
        return v + 1

    if not _is_in_cell(kind):
        with _refused():
            step(v, 2.0)
        assert_exact(v[...], np.float32(1))
        assert_exact(seen[...], np.int32(0))
        return
    for wanted in (2.0, 4.0):
        assert_exact(step(v, 2.0), np.float32(wanted + 1))
        assert_exact(v[...], np.float32(wanted))
    assert_exact(seen[...], np.int32(2))


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_them_change_under_jit(kind):
    class Net(nnx.Module):
        def __init__(self):
            self.w, self.calls = nnx.Param(jnp.array(3.0)), nnx.Variable(jnp.array(0))

        def __call__(self, x):
            self.calls[...] += 1
            return x * self.w

    plain = Net()
    net = nnx.with_vars(plain, **kind)
    if _is_in_cell(kind):
        assert_exact(jax.jit(lambda net, x: net(x))(net, 2.0), np.float32(6))
    else:
        with _refused():
            jax.jit(lambda net, x: net(x))(net, 2.0)
        assert_exact(net(2.0), np.float32(6))
    assert_exact(net.calls[...], np.int32(1))
    assert_exact(plain.calls[...], np.int32(0))
    graphdef, state = nnx.split(net)
    assert state.w is net.w and nnx.merge(graphdef, state).w is net.w
    assert_exact(nnx.pure(state).w, np.float32(3))
    assert_exact(nnx.to_pure_dict(state)["w"], np.float32(3))


@pytest.mark.parametrize("kind", KINDS)
def test_copies_have_cells_of_their_own(kind):
    v = nnx.Param(jnp.array(1.0), note="mine", **kind)
    others = [
        v.copy(),
        v.replace(note="other"),
        copy.copy(v),
        copy.deepcopy(v),
        pickle.loads(pickle.dumps(v)),
        nnx.clone({"v": v})["v"],
    ]
    shared = v.replace(_copy_ref=False)
    v[...] = 5.0
    for other in others:
        assert_exact(other[...], np.float32(1))
        assert (other.hijax, other.ref, type(other)) == (v.hijax, v.ref, type(v))
        assert other.type is nnx.Param and other.note in ("mine", "other")
    assert_exact(shared[...], np.float32(5 if _is_in_cell(kind) else 1))
    assert_exact(v.replace(jnp.array(2.0))[...], np.float32(2))


@pytest.mark.parametrize("kind", KINDS)
def test_updates_fill_the_cell(kind):
    v, plain = nnx.Param(jnp.zeros(2), **kind), nnx.Param(jnp.zeros(2))
    held = v._raw_value
    nnx.update({"v": v}, {"v": jnp.ones(2)})
    assert_exact(v[...], np.ones(2, np.float32))
    v.update_from_state(nnx.Param(jnp.full(2, 2.0), note="new"))
    assert_exact(v[...], np.full(2, 2, np.float32))
    assert v.note == "new" and (v._raw_value is held) == _is_in_cell(kind)
    nnx.update({"p": plain}, nnx.State({"p": v}))
    assert_exact(plain[...], np.full(2, 2, np.float32))
    assert plain.note == "new" and not plain.ref and not plain.hijax
    v[...] = jnp.zeros(2)
    assert_exact(plain[...], np.full(2, 2, np.float32))


def test_settings_are_converted_into_one_another():
    v = nnx.Param(jnp.array(1.0), note="mine")
    for hijax in (False, True):
        for ref in (False, True):
            w = v.copy(hijax=hijax, ref=ref)
            assert (w.hijax, w.ref, w.note) == (hijax, ref, "mine")
            assert_exact(w[...], np.float32(1))
            assert_exact(w.copy(hijax=False, ref=False).get_raw_value(), np.float32(1))


def test_an_array_reference_keeps_its_form_unless_another_replaces_it():
    v = nnx.Param(jnp.ones(2), ref=True)
    held = v.get_raw_value()
    with pytest.raises(ValueError, match="shape"):
        v.set_value(jnp.ones(3))
    v.set_raw_value(jnp.zeros(2))
    assert v.get_raw_value() is held
    v.set_raw_value(jnp.ones(3))
    assert v.get_raw_value() is not held and v.shape == (3,)
    v.set_raw_value(held)
    assert v.get_raw_value() is held


def test_values_for_array_references_are_arrays():
    with pytest.raises(TypeError, match=r"ref=True.*dict"):
        nnx.Param({"a": 1}, ref=True)
    with pytest.raises(ValueError, match=r"Cannot pass a Ref directly.*ref=True"):
        nnx.Param(jax.new_ref(jnp.ones(1)))


def test_a_box_takes_any_pytree_and_another_one_later():
    table = nnx.Variable({"a": jnp.array(0)}, hijax=True)

    @jax.jit
    def add(table, x):
        table["b"] = x
        table["a"] += 1

    if has_boxes():
        add(table, jnp.array(2.0))
    else:
        with _refused():
            add(table, jnp.array(2.0))
        add.__wrapped__(table, jnp.array(2.0))
    assert sorted(table[...]) == ["a", "b"] and "b" in table
    assert_exact(table["a"], np.int32(1))
    del table["a"]
    assert sorted(table[...]) == ["b"]


def test_a_box_is_changed_inside_of_loops_and_beside_gradients():
    v = nnx.Variable(jnp.array(0.0), hijax=True)

    def loss(x):
        v[...] = jax.lax.stop_gradient(x * 3)
        return x**2 + v[...]

    def loop():
        jax.lax.scan(lambda carry, _: (v.set_value(v + 1.0), None), None, None, length=2)

    if has_boxes():
        assert_exact(jax.grad(loss)(4.0), np.float32(8))
        loop()
        assert_exact(v[...], np.float32(14))
        return
    for function in (lambda: jax.grad(loss)(4.0), loop):
        with _refused():
            function()
    assert_exact(v[...], np.float32(0))


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_keep_their_methods_and_hooks(kind):
    v = _Counter(1, **kind)
    for _ in range(3):
        v.step()
    assert_exact(v[...], np.int32(3))
    assert_exact(v.next, np.int32(4))
    assert isinstance(v, _Counter)


@nnx.var_defaults(hijax=True)
def test_streams_of_keys_in_boxes_count_on_everywhere():
    rngs = nnx.Rngs(0)
    if has_boxes():
        keys = [rngs(), jax.jit(lambda: rngs())(), jax.jit(lambda rngs: rngs())(rngs)]
    else:
        keys = [rngs()]
        for function in (lambda: jax.jit(lambda: rngs())(), lambda: jax.jit(lambda r: r())(rngs)):
            with _refused():
                function()
        keys.append(rngs())
    plain = nnx.with_vars(nnx.Rngs(0), hijax=False)
    for key in keys:
        assert_exact(jax.random.key_data(key), jax.random.key_data(plain()))


def test_metadata_belongs_to_its_transformation():
    v = nnx.Variable(jnp.array(0), hijax=True)

    @jax.jit
    def f():
        v.set_metadata(note="mine")

    with pytest.raises(errors.TraceContextError) if has_boxes() else _refused():
        f()
    v.set_metadata(note="mine")
    assert v.note == "mine"


def test_a_box_is_not_made_by_its_own_class():
    with pytest.raises(TypeError, match=r"nnx.Param\(x, hijax=True\)"):
        HijaxVariable(1)


SHAPE = jax.ShapeDtypeStruct((2,), jnp.float32)
ONES = jnp.ones(2)
FIRST_VALUES = {
    "an index": lambda v: v.__setitem__(..., ONES),
    "a value": lambda v: setattr(v, "value", ONES),
    "a raw value": lambda v: v.set_raw_value(ONES),
    "another variable": lambda v: v.update_from_state(nnx.Param(ONES, ref=True)),
    "update": lambda v: nnx.update({"v": v}, {"v": ONES}),
    "update with a variable": lambda v: nnx.update({"v": v}, {"v": nnx.Param(ONES, ref=True)}),
}


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_a_shape_in_place_of_a_value_gets_its_reference_with_the_first_value(name):
    v = nnx.Param(SHAPE, ref=True)
    assert v.ref and v[...] == SHAPE and v.shape == (2,) and v.dtype == jnp.float32
    FIRST_VALUES[name](v)
    assert v.ref and isinstance(v.get_raw_value(), jax.Ref)
    assert_exact(v[...], np.ones(2, np.float32))


def test_abstract_models_of_references():
    with nnx.var_defaults(ref=True):
        assert nnx.Param(SHAPE).ref
    assert nnx.with_vars(nnx.Dict(a=nnx.Param(SHAPE)), ref=True).a.ref
    made = nnx.Param(SHAPE, ref=True).replace(ONES)
    assert made.ref and isinstance(made.get_raw_value(), jax.Ref)
    copied = nnx.Param(SHAPE, ref=True).copy()
    assert copied.ref and copied[...] == SHAPE
