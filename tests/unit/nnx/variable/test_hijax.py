"""Variables of high-level types, in a JAX without boxes for them and in trees."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import errors, nnx
from ramie.core.tracing import trace
from ramie.nnx.variable import HijaxVariable


@pytest.fixture
def no_boxes(monkeypatch):
    """As in JAX 0.12, whatever JAX this is."""
    monkeypatch.setattr(trace, "_Box", None)


def _param(value=3.0, **metadata):
    return nnx.Param(jnp.asarray(value), hijax=True, **metadata)


class _Model(nnx.Module):
    def __init__(self, **kind):
        self.w = nnx.Param(jnp.array([1.0, 2.0]), **kind)
        self.inner = nnx.Dict(n=nnx.BatchStat(jnp.array(1.0), **kind))

    def __call__(self, x):
        return x * self.w.sum() + self.inner.n


READERS = {
    "jit": lambda v: jax.jit(lambda v: v * 2)(v),
    "jit of nnx": lambda v: nnx.jit(lambda v: v * 2)(v),
    "nested": lambda v: nnx.jit(lambda v: nnx.jit(lambda v: v * 2)(v))(v),
    "from around": lambda v: jax.jit(lambda: v * 2)(),
    "vmap": lambda v: jax.vmap(lambda v, x: v * x, in_axes=(None, 0))(v, jnp.full(1, 2.0))[0],
    "vmap of nnx": lambda v: nnx.vmap(lambda v, x: v * x, in_axes=(None, 0))(v, jnp.full(1, 2))[0],
    "scan": lambda v: jax.lax.scan(lambda c, _: (c + v, None), 0.0, None, length=2)[0],
    "cond": lambda v: jax.lax.cond(True, lambda v: v * 2, lambda v: v * 3, v),
    "cond of nnx": lambda v: nnx.cond(True, lambda v: v * 2, lambda v: v * 3, v),
    "while": lambda v: jax.lax.while_loop(lambda c: c < 5, lambda c: c + v, 0.0),
    "remat": lambda v: jax.checkpoint(lambda v: v * 2)(v),
    "made inside": lambda v: jax.jit(lambda x: nnx.Param(x, hijax=True) * 2)(v[...]),
}


@pytest.mark.parametrize("name", READERS)
def test_without_boxes_values_are_read_everywhere(name, no_boxes):
    v = _param(note="mine")
    assert_exact(READERS[name](v), np.float32(6))
    assert_exact(v[...], np.float32(3))


def test_without_boxes_variables_go_in_and_come_out(no_boxes):
    v = _param(note="mine")
    for out in (
        jax.jit(lambda v: v)(v),
        nnx.jit(lambda v: v.copy())(v),
        jax.lax.scan(lambda v, _: (v, None), v, None, length=2)[0],
        jax.lax.while_loop(lambda c: c[1] < 1, lambda c: (c[0], c[1] + 1), (v, 0))[0],
        jax.jit(lambda x: nnx.Param(x, hijax=True, note="mine"))(3.0),
    ):
        assert type(out) is HijaxVariable and isinstance(out, nnx.Param) and out.note == "mine"
        assert out.mutable
        assert_exact(out[...], np.float32(3))
        out[...] += 1  # outside again
        assert_exact(out[...], np.float32(4))
    stacked = _param([1.0, 2.0])
    assert_exact(jax.vmap(lambda v: v * 2)(stacked), np.float32([2, 4]))
    assert_exact(jax.lax.scan(lambda c, v: (c + v, None), 0.0, stacked)[0], np.float32(3))
    assert nnx.jit(lambda v: v)(v) is v


def test_without_boxes_gradients_are_variables_of_the_same_kind(no_boxes):
    v, model = _param(), _Model(hijax=True)
    for grad in (
        jax.grad(lambda v: v[...] ** 2)(v),
        jax.jit(jax.grad(lambda v: jnp.sum(v * v)))(v),
        nnx.grad(lambda v: v**2)(v),
    ):
        assert type(grad) is HijaxVariable and isinstance(grad, nnx.Param)
        assert_exact(grad[...], np.float32(6))
    assert_exact(jax.grad(lambda x: v * x)(2.0), np.float32(3))
    assert_exact(jax.grad(lambda x: nnx.Param(x, hijax=True) ** 2)(3.0), np.float32(6))
    table = nnx.Variable({"a": jnp.array(2.0)}, hijax=True)
    assert_exact(jax.grad(lambda t: t["a"] ** 2)(table)["a"], np.float32(4))
    grads = nnx.grad(lambda model: model(3.0))(model)
    assert_exact(grads.w[...], np.full(2, 3, np.float32))


def _delete(v):
    del v["a"]


UPDATES = {
    "an index": lambda v: operator.setitem(v, ..., {"a": 0}),
    "a value": lambda v: setattr(v, "value", {"a": 0}),
    "a raw value": lambda v: setattr(v, "raw_value", {"a": 0}),
    "set_value": lambda v: v.set_value({"a": 0}),
    "a part": lambda v: operator.setitem(v, "a", 0),
    "a deletion": _delete,
    "metadata": lambda v: v.set_metadata(note="mine"),
    "another variable": lambda v: v.update_from_state(nnx.Variable({"a": 0})),
    "update": lambda v: nnx.update(nnx.Dict(v=v), {"v": nnx.Variable({"a": 0})}),
    "update with a value": lambda v: nnx.update(nnx.Dict(v=v), {"v": 0}),
}


@pytest.mark.parametrize("name", UPDATES)
def test_without_boxes_updates_are_made_outside_only(name, no_boxes):
    update = UPDATES[name]
    v = nnx.Variable({"a": jnp.array(1)}, hijax=True)

    def inside(v):
        update(v)

    for transformed in (jax.jit(inside), nnx.jit(inside), lambda v: jax.jit(lambda: update(v))()):
        with pytest.raises(errors.ImmutableVariableError, match=r"^Cannot update a non-ref.*ref=T"):
            transformed(v)
        assert sorted(v[...]) == ["a"] and int(v["a"]) == 1 and not v.has_metadata("note")
    update(v)
    assert v.has_metadata("note") or v[...] in ({"a": 0}, {}, 0)


def _store(v):
    v[...] = v + 1.0


MUTATING = {
    "jit": lambda v: jax.jit(_store)(v),
    "grad": lambda v: jax.grad(lambda x: _store(v) or x)(1.0),
    "a gradient": lambda v: jax.grad(lambda x: v.set_value(x) or x)(1.0),
    "scan": lambda v: jax.lax.scan(lambda c, _: (_store(v), None), None, None, length=2),
    "cond": lambda v: jax.lax.cond(True, lambda: _store(v), lambda: None),
    "vmap": lambda v: jax.vmap(lambda x: _store(v) or x)(jnp.ones(2)),
    "jit of nnx": lambda v: nnx.jit(lambda d: _store(d["v"]))({"v": v}),
    "a tree": lambda v: nnx.jit(lambda d: _store(d["v"]), graph=False)({"v": v}),
    "scan of nnx": lambda v: nnx.scan(
        lambda v: _store(v) or v, in_axes=nnx.Carry, out_axes=nnx.Carry, length=2
    )(v),
    "made inside": lambda v: jax.jit(lambda: _store(_param()))(),
}


@pytest.mark.parametrize("name", MUTATING)
def test_without_boxes_no_transformation_stores_a_value(name, no_boxes):
    v = _param()
    with pytest.raises(errors.ImmutableVariableError, match=r"Param\(x, hijax=True, ref=True\)"):
        MUTATING[name](v)
    assert_exact(v[...], np.float32(3))


def test_without_boxes_references_do_what_the_message_promises(no_boxes):
    v = nnx.with_vars(_param(), ref=True)
    jax.jit(_store)(v)
    jax.lax.scan(lambda c, _: (_store(v), None), None, None, length=2)
    assert type(v) is HijaxVariable and v.hijax and v.ref
    assert_exact(v[...], np.float32(6))


@pytest.mark.parametrize("ref", [False, True], ids=["plain", "ref"])
def test_without_boxes_a_model_is_trained_with_new_values_or_references(no_boxes, ref):
    def train(**kind):
        model = _Model(**kind)
        optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)
        fixed = nnx.with_vars(params, mutable=False) if kind else params

        def loss(params, x):
            return nnx.merge(graphdef, params, rest)(x) ** 2

        optimizer.update(model, jax.jit(jax.grad(loss))(fixed, 2.0))
        return model.w[...]

    assert_exact(train(hijax=True, ref=ref), train())


class _Momentum(nnx.Variable):
    pass


def _sgd(params, momentum, grads):
    def update(param, momentum, grad):
        momentum[...] = 0.9 * momentum + (1 - 0.9) * grad
        param[...] -= 0.5 * momentum

    jax.tree.map(update, params, momentum, grads)


def test_trees_of_variables_are_mapped_over():
    """As optimizers in examples of the peer do: what is made takes the place of the variable."""
    model = _Model(hijax=True)
    params = nnx.state(model, nnx.Param)
    zeros = jax.tree.map(jnp.zeros_like, params)
    assert_exact(zeros.w[...], np.zeros(2, np.float32))
    momentum = jax.tree.map(lambda x: _Momentum(jnp.zeros_like(x), hijax=True), params)
    assert isinstance(momentum.w[...] if not trace.has_boxes() else momentum.w, _Momentum)
    if not trace.has_boxes():
        return  # a variable is a tree of its own there: kinds have to agree

    @jax.jit
    def step(model, momentum, x):
        graphdef, params, rest = nnx.split(model, nnx.Param, ...)

        def loss(params):
            model = nnx.merge(graphdef, params, rest)
            model.inner.n[...] += 1
            return (model(x) ** 2).sum()

        grads = jax.grad(loss)(nnx.with_vars(params, mutable=False))
        _sgd(params, momentum, grads)

    step(model, momentum, jnp.array(1.0))
    # y = 1 + 2 + 2, and its square has the gradient 10.
    assert_close(momentum.w[...], np.full(2, 1.0, np.float32))
    assert_close(model.w[...], np.array([0.5, 1.5], np.float32))
    assert_exact(model.inner.n[...], np.float32(2))


@pytest.mark.parametrize("is_leaf", [None, lambda x: isinstance(x, nnx.Variable)])
def test_what_trees_hand_out_has_the_operators_of_the_variable(is_leaf):
    def used(v):
        doubled = [2 * v, v + v, 3 * v - v, v / 0.5, jnp.multiply(v, 2), jnp.ones(2) * v + v]
        return doubled, [v[0] + 0, abs(-v)[1]], (v > 1) & (v < 3), v @ jnp.ones(2)

    def on_tree(tree):
        return jax.tree.map(used, tree, is_leaf=is_leaf)["v"]

    tree = {"v": _param([1.0, 2.0], note="mine")}
    for run in (on_tree, jax.jit(on_tree)):
        result = run(tree)
        if isinstance(result, nnx.Variable):  # without boxes it stands around all that was made
            result = result.get_value()
        doubled, single, between, product = result
        for value in doubled:
            assert_exact(value, np.float32([2, 4]))
        assert_exact(jnp.stack(single), np.float32([1, 2]))
        assert_exact(between, np.array([False, True]))
        assert_exact(product, np.float32(3))


def test_boxes_have_the_methods_of_their_variable():
    v = _param([1.0, 2.0], note="mine")

    def ask(x):
        assert x.get_metadata()["note"] == "mine" and x.has_metadata("note")
        assert x.type is nnx.Param and x.hijax and not x.ref
        assert len(x) == 2 and len([*x]) == 2
        x.set_value(x.get_value() + x.value)
        x[0] = 7.0
        return x.copy()[...], x.replace(x + 1)[...]

    for run in (lambda v: ask(v._raw_value), jax.jit(lambda v: ask(v._raw_value))):
        if not trace.has_boxes():
            assert not trace.is_box(v._raw_value)
            v._raw_value = jnp.array([7.0, 8.0])
            continue
        copied, following = run(v)
        assert_exact(following, copied + 1)
    assert_exact(v[...], np.float32([7, 8]))


def test_trees_keep_variables_and_tell_kinds_apart():
    v = _param(note="mine")
    again = jax.tree.map(lambda x: x, v)
    assert type(again) is HijaxVariable and again.note == "mine" and again.type is nnx.Param
    leaves, structure = jax.tree.flatten(v)
    assert jax.tree.unflatten(structure, leaves).note == "mine"
    assert jax.tree_util.keystr(jax.tree_util.tree_leaves_with_path(v)[0][0]) == ".value"
    traces = []
    read = jax.jit(lambda v: traces.append((v.type, v.get_metadata("note", None))) or v + 0)
    for made in (v, v, _param(note="other"), nnx.BatchStat(jnp.array(3.0), hijax=True)):
        assert_exact(read(made), np.float32(3))
    assert traces == [(nnx.Param, "mine"), (nnx.Param, "other"), (nnx.BatchStat, None)]


def test_a_box_that_two_variables_share_belongs_to_one():
    v = _param(note="mine")
    other = v.replace(_copy_ref=False, note="other")
    for variable, note in ((v, "mine"), (other, "other")):
        assert jax.tree.map(lambda x: x, variable).note == note
        jax.jit(lambda x, note: pytest.fail() if x.note != note else None, static_argnums=1)(
            variable, note
        )
    v.set_metadata(note="changed")
    assert jax.tree.map(lambda x: x, v).note == "changed"


def test_metadata_without_a_hash_works_outside():
    v = _param(note=["no hash"])
    v[...] += 1
    assert_exact(v[...], np.float32(4))
    assert jax.tree.map(lambda x: x, v).note == ["no hash"]
    assert_exact(jax.jit(lambda v: v + 1)(v), np.float32(5))


def test_fixed_variables_are_differentiated_and_never_change():
    v = _param(note="mine")
    fixed = nnx.with_vars(v, mutable=False)
    grad = jax.grad(lambda v: v**2)(fixed)
    assert type(grad) is HijaxVariable and grad.note == "mine" and not grad.mutable
    assert_exact(grad[...], np.float32(6))
    for update in (_store, jax.jit(_store), lambda v: v.set_metadata(note="other")):
        with pytest.raises(errors.ImmutableVariableError, match="mutable=True"):
            update(fixed)
    stacked = nnx.with_vars(_param([3.0]), mutable=False)
    assert_exact(jax.vmap(lambda v: v * 2)(stacked), np.float32([6]))
    stated = nnx.Param(jnp.array(3.0), hijax=True, mutable=False)
    assert not stated.mutable and stated.copy().mutable is False
    assert nnx.Param(jnp.array(3.0), mutable=False).get_metadata("mutable") is False  # just data


def test_what_boxes_cannot_do_is_explained():
    v = _param(note="mine")
    if not trace.has_boxes():
        assert_exact(jax.jit(lambda v: v)(v)[...], np.float32(3))
        assert_exact(jax.grad(lambda v: v**2)(v)[...], np.float32(6))
        return
    with pytest.raises(TypeError, match=r"VariableDef\(Param.*mutable=False"):
        jax.grad(lambda v: v**2)(v)
    with pytest.raises(TypeError, match=r"cannot return a box.*VariableDef\(Param.*hijax=False"):
        jax.jit(lambda v: v)(v)
    assert_exact(jax.grad(lambda x, v: v * x)(2.0, v), np.float32(3))


def test_printing_counts_elements_by_kind():
    assert repr(_Model(hijax=True)).startswith(
        "_Model( # Param: 2 (8 B), BatchStat: 1 (4 B), Total"
    )
