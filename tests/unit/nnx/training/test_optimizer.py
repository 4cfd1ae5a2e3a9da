"""Optimizers: steps against optax itself, filters, errors, structure, saving."""

import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.tolerance import assert_close, assert_exact

from ramie import checkpoint, nnx


def _model():
    return nnx.Dict(
        a=nnx.Param(jnp.array([1.0, -2.0]), note="first"),
        b=nnx.Dict(c=nnx.Param(jnp.array([[3.0]])), n=nnx.BatchStat(jnp.array(5.0))),
    )


def _gradients(model):
    return jax.tree.map(lambda x: x * 2 + 1, nnx.state(model, nnx.Param))


def test_a_step_is_that_of_optax():
    model, tx = _model(), optax.adamw(0.1, weight_decay=0.5)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    opt_state = tx.init(params)
    for step in range(3):
        grads = _gradients(model)
        updates = optimizer.update(model, grads)
        wanted, opt_state = tx.update(nnx.to_pure_dict(grads), opt_state, params)
        params = optax.apply_updates(params, wanted)
        jax.tree.map(assert_exact, updates.to_pure_dict(), wanted)
        jax.tree.map(assert_exact, nnx.to_pure_dict(nnx.state(model, nnx.Param)), params)
        assert_exact(optimizer.step[...], np.uint32(step + 1))
    assert_exact(optimizer.opt_state[0].mu["b"]["c"][...], opt_state[0].mu["b"]["c"])
    assert_exact(model.b.n[...], np.float32(5))


def test_model_and_gradients_may_be_given_by_name():
    models = _model(), _model(), _model()
    one, two = (nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param) for model in models[:2])
    both = nnx.ModelAndOptimizer(models[2], optax.sgd(0.1), wrt=nnx.Param)
    one.update(models[0], _gradients(models[0]))
    two.update(grads=_gradients(models[1]), model=models[1])
    both.update(grads=_gradients(models[2]))
    for model in models[1:]:
        jax.tree.map(assert_exact, nnx.state(model), nnx.state(models[0]))


def test_what_it_remembers_are_variables_with_the_metadata_of_the_parameters():
    optimizer = nnx.Optimizer(_model(), optax.adam(0.1), wrt=nnx.Param)
    moments = optimizer.opt_state[0]
    assert type(moments.mu["a"]) is nnx.OptVariable and moments.mu["a"].note == "first"
    assert type(moments.count) is nnx.OptArray and type(optimizer.step) is nnx.OptState
    assert nnx.to_flat_state(nnx.state(optimizer)).paths == (
        ("opt_state", 0, "count"),
        ("opt_state", 0, "mu", "a"),
        ("opt_state", 0, "mu", "b", "c"),
        ("opt_state", 0, "nu", "a"),
        ("opt_state", 0, "nu", "b", "c"),
        ("step",),
    )


def test_parameters_stay_the_same_variables_and_element_type():
    model = nnx.Dict(a=nnx.Param(jnp.ones(2, jnp.bfloat16)))
    variable = model.a
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)
    optimizer.update(model, nnx.State({"a": jnp.ones(2, jnp.float32)}))
    assert model.a is variable
    assert_exact(variable[...], jnp.full(2, 0.5, jnp.bfloat16))


def test_arrays_that_are_attributes_are_replaced():
    class Net(nnx.Module):
        def __init__(self):
            self.w, self.other = jnp.ones(2), jnp.ones(2)

    net = Net()
    optimizer = nnx.Optimizer(net, optax.sgd(0.5), wrt=nnx.PathContains("w"))
    optimizer.update(net, nnx.State({"w": jnp.ones(2)}))
    assert_exact(net.w, np.array([0.5, 0.5], np.float32))
    assert_exact(net.other, np.ones(2, np.float32))


def test_a_model_or_a_dictionary_can_be_the_gradients():
    model = _model()
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    optimizer.update(model, model)
    assert_exact(model.a[...], np.zeros(2, np.float32))
    optimizer.update(model, {"a": jnp.ones(2), "b": {"c": jnp.ones((1, 1))}})
    assert_exact(model.b.c[...], -np.ones((1, 1), np.float32))


def test_a_single_variable_can_be_the_model():
    model = nnx.Param(jnp.array(2.0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)
    optimizer.update(model, nnx.Param(jnp.array(1.0)))
    assert_exact(model[...], np.float32(1.5))


def test_further_arguments_reach_the_transformation():
    seen = {}

    def update(grads, state, params, *, value, value_fn, other):
        seen.update(value=value, at=value_fn(params), other=other)
        return grads, state

    tx = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    model = nnx.Dict(a=nnx.Param(jnp.array(2.0)))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    optimizer.update(
        model,
        nnx.state(model),
        value=1.5,
        value_fn=lambda params: params["a"] * 3,
        other=nnx.Variable(jnp.array(7)),
    )
    assert seen["value"] == 1.5
    assert_exact(seen["at"], np.float32(6))
    assert_exact(seen["other"], np.int32(7))


def test_masked_and_injected_states_have_their_own_structure():
    def large(params):
        return jax.tree.map(lambda x: x.ndim > 1, params)

    tx = optax.inject_hyperparams(lambda rate: optax.masked(optax.sgd(rate, momentum=0.9), large))
    model = _model()
    optimizer = nnx.Optimizer(model, tx(rate=0.5), wrt=nnx.Param)
    rate = optimizer.opt_state.hyperparams["rate"]
    assert type(rate) is nnx.OptArray
    before = model.b.c[...]
    rate[...] = jnp.array(0.25)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    assert_exact(model.b.c[...], before - 0.25)
    assert_exact(model.a[...], np.array([2.0, -1.0], np.float32))  # unmasked: the gradient itself


def test_steps_work_under_jit_on_the_functional_form():
    model = _model()
    both = nnx.ModelAndOptimizer(model, optax.adam(0.1))
    eager = nnx.clone(both)
    grads = _gradients(model)
    eager.update(grads)

    @jax.jit
    def step(graphdef, state, grads):
        both = nnx.merge(graphdef, state)
        both.update(grads)
        return nnx.state(both)

    nnx.update(both, step(*nnx.split(both), grads))
    jax.tree.map(assert_close, nnx.state(both), nnx.state(eager))
    assert both.model is model and int(both.step[...]) == 1


def test_what_is_missing_is_said():
    model = _model()
    with pytest.raises(TypeError, match=r"`wrt`.*wrt=nnx.Param.*ModelAndOptimizer"):
        nnx.Optimizer(model, optax.sgd(1.0))
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    with pytest.raises(TypeError, match=r"`grads`: Optimizer got only State, .*model, grads"):
        optimizer.update(nnx.state(model))
    with pytest.raises(AttributeError, match=r"'model': it does not hold.*ModelAndOptimizer"):
        optimizer.model  # noqa: B018
    with pytest.raises(AttributeError, match="'modle'"):
        optimizer.modle  # noqa: B018


def test_gradients_that_do_not_fit_are_listed():
    model = _model()
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    with pytest.raises(ValueError, match=r"Without gradient: b/c; gradients of.*: none"):
        optimizer.update(model, {"a": jnp.ones(2)})
    grads = nnx.state(nnx.Dict(a=model.a, b=model.b, x=nnx.Param(jnp.ones(1))), nnx.Param)
    with pytest.raises(ValueError, match=r"Without gradient: none; gradients of.*: x\."):
        optimizer.update(model, grads)
    with pytest.raises(ValueError, match=r"at b/c has shape \(2,\).*shape \(1, 1\)"):
        optimizer.update(model, {"a": jnp.ones(2), "b": {"c": jnp.ones(2)}})
    assert int(optimizer.step[...]) == 0


def _sum(model):
    leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
    return sum((jnp.sum(x) for x in leaves), jnp.zeros(()))


@pytest.mark.parametrize("graph", [True, False])
def test_arguments_the_wrong_way_round_are_refused(graph):
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param, graph=graph)
    grads = nnx.grad(lambda m: m(jnp.ones((1, 2))).sum(), graph=graph)(model)
    before = model.kernel[...]
    with pytest.raises(TypeError, match=r"write update\(model, grads\)"):
        optimizer.update(grads, model)
    assert model.kernel[...] is before and int(optimizer.step[...]) == 0
    optimizer.update(model, grads)
    assert int(optimizer.step[...]) == 1


def test_arguments_the_wrong_way_round_are_refused_under_jit():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(nnx.grad(_sum)(model), model)

    with pytest.raises(TypeError, match=r"write update\(model, grads\)"):
        step(model, optimizer)


@pytest.mark.parametrize("wrt", [nnx.LoRAParam, "kernel", nnx.PathContains("typo"), ()])
def test_a_filter_that_takes_nothing_is_refused(wrt):
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"nothing to optimize: wrt=.*the Linear, which has Param"):
        nnx.Optimizer(model, optax.sgd(0.1), wrt=wrt)
    with pytest.raises(ValueError, match="ModelAndOptimizer has nothing"):
        nnx.ModelAndOptimizer(model, optax.adam(0.1), wrt=wrt)
    with pytest.raises(ValueError, match="nothing at all"):
        nnx.Optimizer(nnx.Dict(), optax.sgd(0.1), wrt=nnx.Param)


def test_parameters_that_are_gone_are_missed():
    model = nnx.Dict(w=nnx.Param(jnp.ones(2)))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    model.w = model.w * 0.5
    with pytest.raises(ValueError, match="nothing to optimize"):
        optimizer.update(model, nnx.grad(_sum)(model))


@pytest.mark.parametrize("grads", [nnx.State({}), {}, None, ()])
def test_gradients_that_are_empty_are_refused(grads):
    model = _model()
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    with pytest.raises(ValueError, match="Without gradient: a, b/c"):
        optimizer.update(model, grads)


def test_a_state_of_another_structure_is_refused():
    tx = optax.GradientTransformation(lambda params: (1,), lambda grads, state, params: (grads, ()))
    model = _model()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    with pytest.raises(ValueError, match=r"another structure.*Before:\n.*\nafter:\n"):
        optimizer.update(model, _gradients(model))


def test_tree_mode_refuses_shared_parameters():
    shared = nnx.Param(jnp.ones(1))
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.Optimizer(nnx.Dict(a=shared, b=shared), optax.sgd(1.0), wrt=nnx.Param, graph=False)
    model = nnx.Dict(a=shared, b=shared)
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    optimizer.update(model, nnx.state(model))
    assert_exact(shared[...], np.zeros(1, np.float32))


class _Plain(NamedTuple):
    """A transformation made of functions that can be pickled."""

    init: object
    update: object


def _init(params):
    return jax.tree.map(jnp.zeros_like, params)


def _update(grads, state, params=None):
    moved = jax.tree.map(jnp.add, state, grads)
    return jax.tree.map(jnp.negative, moved), moved


def test_optimizers_are_copied_pickled_and_restored():
    model = _model()
    optimizer = nnx.Optimizer(model, _Plain(_init, _update), wrt=nnx.Param)
    optimizer.update(model, _gradients(model))
    for other in (nnx.clone(optimizer), pickle.loads(pickle.dumps(optimizer))):
        jax.tree.map(assert_exact, nnx.state(other), nnx.state(optimizer))
        assert other.step is not optimizer.step
    saved = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(optimizer)))
    fresh = nnx.Optimizer(model, _Plain(_init, _update), wrt=nnx.Param)
    state = nnx.state(fresh)
    nnx.replace_by_pure_dict(state, saved)
    nnx.update(fresh, state)
    jax.tree.map(assert_exact, nnx.state(fresh), nnx.state(optimizer))


def _trained(steps, path=None):
    """Train, and in the middle move over to new objects by way of a checkpoint."""
    tx = optax.adam(optax.exponential_decay(0.1, 1, 0.5))

    @nnx.jit
    def step(model, optimizer):
        grads = nnx.grad(lambda model: (model.a.sum() + model.b.c.sum()) ** 2)(model)
        optimizer.update(model, grads)

    model = _model()
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for number in range(steps):
        if path is not None and number == 1:
            checkpoint.save(path, nnx.state((model, optimizer)), number)
            model = nnx.map(lambda _, x: x.replace(x * 0), _model())
            optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
            restored = checkpoint.restore(path, nnx.state((model, optimizer)))
            nnx.update((model, optimizer), restored)
        step(model, optimizer)
    return nnx.state((model, optimizer))


def test_a_step_under_nnx_jit_goes_on_after_a_checkpoint(tmp_path):
    through = _trained(3)
    jax.tree.map(assert_exact, _trained(3, tmp_path), through)
    assert int(through[1].step[...]) == 3
