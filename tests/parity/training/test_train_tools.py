"""The training tools give the numbers, trees and bytes that Flax gives."""

# ruff: noqa: E402
import pytest

flax = pytest.importorskip("flax")

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training import common_utils as flax_common_utils
from flax.training import dynamic_scale as flax_dynamic_scale
from flax.training import early_stopping as flax_early_stopping
from flax.training import lr_schedule as flax_lr_schedule
from flax.training import train_state as flax_train_state
from tests.tolerance import assert_exact

from ramie import serialization
from ramie.training import common_utils, dynamic_scale, early_stopping, lr_schedule, train_state

PAIRS = [
    (train_state.TrainState, flax_train_state.TrainState),
    (train_state.TrainState.create, flax_train_state.TrainState.create),
    (train_state.TrainState.apply_gradients, flax_train_state.TrainState.apply_gradients),
    (early_stopping.EarlyStopping, flax_early_stopping.EarlyStopping),
    (dynamic_scale.DynamicScale, flax_dynamic_scale.DynamicScale),
    (dynamic_scale.DynamicScale.value_and_grad, flax_dynamic_scale.DynamicScale.value_and_grad),
    *(
        (getattr(ours, name), getattr(theirs, name))
        for ours, theirs in ((lr_schedule, flax_lr_schedule), (common_utils, flax_common_utils))
        for name in ours.__all__
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda fn: fn.__qualname__)
def test_signatures(ours, theirs):
    def shape_of(fn):
        return [(p.name, p.kind, p.default) for p in inspect.signature(fn).parameters.values()]

    assert shape_of(ours) == shape_of(theirs)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("constant", (0.1, 10)),
        ("constant", (0.3, 7, 2.5)),
        ("stepped", (0.1, 10, [[1, 0.1], [2, 0.01]])),
        ("stepped", (0.3, 10, [[0.45, 0.7], [0.55, 0.5], [2.5, 0.3]], 0.5)),
        ("stepped", (0.3, 10, [])),
        ("cosine", (0.1, 10, 3)),
        ("cosine", (0.3, 7, 2.5, 1.3)),
    ],
)
def test_learning_rates_bit_for_bit(name, args):
    function = f"create_{name}_learning_rate_schedule"
    ours = getattr(lr_schedule, function)(*args)
    theirs = getattr(flax_lr_schedule, function)(*args)
    compiled_ours, compiled_theirs = jax.jit(ours), jax.jit(theirs)
    # Flax's cosine rises again after its end; ours stays there.
    for step in range(int(args[1] * args[2]) if name == "cosine" else 40):
        assert_exact(ours(step), theirs(step))
        assert_exact(compiled_ours(step), compiled_theirs(step))
        assert_exact(ours(jnp.int32(step)), theirs(jnp.int32(step)))
        assert_exact(ours(step + 0.5), theirs(step + 0.5))


@pytest.mark.parametrize(
    "metrics",
    [
        [1.0, 1.0, 0.2, 0.9],
        [1.0, 0.9, 0.95, 0.7, 0.7],
        [1.0, math.nan, 0.5],
        [math.inf, math.inf, 1.0],
        [-math.inf, 1.0, -5.0],
        [3, 2, 2, 2, 1, 1, 1, 1, 0],
    ],
)
@pytest.mark.parametrize(("min_delta", "patience"), [(0, 0), (0.1, 0), (0.1, 2)])
def test_early_stopping(metrics, min_delta, patience):
    ours = early_stopping.EarlyStopping(min_delta=min_delta, patience=patience)
    theirs = flax_early_stopping.EarlyStopping(min_delta=min_delta, patience=patience)
    for metric in metrics:
        ours, theirs = ours.update(metric), theirs.update(metric)
        assert repr(ours) == repr(theirs)
    assert repr(ours.reset()) == repr(theirs.reset())


def test_early_stopping_goes_on_after_a_first_nan_and_flax_does_not():
    stops = []
    for module in (early_stopping, flax_early_stopping):
        rule = module.EarlyStopping()
        for metric in (math.nan, 1.0, 0.5):
            rule = rule.update(metric)
        stops.append(rule.should_stop)
    assert stops == [False, True]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"growth_interval": 1, "growth_factor": 3.0},
        {"growth_interval": 0, "scale": 2e38},
        {"minimum_scale": 50000.0, "backoff_factor": 0.3},
        {"minimum_scale": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("compiled", [False, True])
def test_dynamic_scale(settings, compiled):
    def run(module):
        def step(scale, w):
            return scale.value_and_grad(loss, has_aux=True)(w)

        def loss(w):
            return jnp.sum(w**2) * 0.1, {"w": w}

        step = jax.jit(step) if compiled else step
        scale, seen = module.DynamicScale(**settings), []
        for x in (1.0, 2.0, jnp.inf, 0.5, 0.25, jnp.nan, 1.0):
            scale, finite, (value, aux), grad = step(scale, jnp.array([0.3, x]))
            seen += [finite, value, aux["w"], grad, scale.scale, scale.fin_steps]
            assert scale.scale.weak_type is False
        return seen

    for ours, theirs in zip(run(dynamic_scale), run(flax_dynamic_scale), strict=True):
        assert_exact(ours, theirs)


def test_dynamic_scale_over_an_axis():
    def run(module):
        fn = module.DynamicScale().value_and_grad(lambda w: jnp.sum(w**3), axis_name="i")
        return jax.tree.leaves(jax.vmap(fn, axis_name="i")(jnp.array([[0.1], [0.7], [3.3]])))

    for ours, theirs in zip(run(dynamic_scale), run(flax_dynamic_scale), strict=True):
        assert_exact(ours, theirs)


@pytest.mark.parametrize("overwrite", [False, True])
def test_train_state(overwrite):
    key = train_state.OVERWRITE_WITH_GRADIENT
    assert key == flax_train_state.OVERWRITE_WITH_GRADIENT
    inner = {"b": jnp.array([0.5]), "a": jnp.array([1.0, 2.0])}
    params = {key: {"scale": jnp.ones(2)}, "params": inner} if overwrite else inner

    def run(module):
        state = module.TrainState.create(
            apply_fn=len, params=params, tx=optax.adamw(0.1, weight_decay=0.01)
        )
        for factor in (0.3, -0.7):
            grads = jax.tree.map(lambda p, f=factor: p * f, state.params)
            state = state.apply_gradients(grads=grads)
        return state

    ours, theirs = run(train_state), run(flax_train_state)
    assert serialization.to_bytes(ours) == flax.serialization.to_bytes(theirs)
    assert jax.tree_util.tree_flatten_with_path(ours)[0].__repr__() == (
        jax.tree_util.tree_flatten_with_path(theirs)[0].__repr__()
    )
    back = serialization.from_bytes(ours, flax.serialization.to_bytes(theirs))
    assert back.step == 2


def test_common_utils():
    n = jax.local_device_count()
    tree = {"a": np.arange(6 * n, dtype=np.float32).reshape(2 * n, 3), "b": jnp.arange(n)}
    forest = [{"x": jnp.float32(i)} for i in range(3)]
    replicated = [flax.jax_utils.replicate(item) for item in forest]
    calls = [
        ("shard", (tree,)),
        ("shard_prng_key", (jax.random.PRNGKey(1),)),
        ("stack_forest", (forest,)),
        ("get_metrics", (replicated,)),
        ("onehot", (jnp.array([[0, 2], [7, -1]]), 3, 0.9, 0.05)),
        ("onehot", (jnp.array([1]), 3, 5, 1)),
    ]
    for name, args in calls:
        ours = getattr(common_utils, name)(*args)
        theirs = getattr(flax_common_utils, name)(*args)
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert isinstance(one, np.ndarray) == isinstance(other, np.ndarray)
            assert_exact(one, other)
