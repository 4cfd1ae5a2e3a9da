"""Optimizers, averages and metrics: the same bits, paths and kinds as in Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

BOTH = (ours, theirs)
RNG = np.random.default_rng(0)
VALUES = {name: RNG.normal(size=shape).astype("f") for name, shape in [("w", (2, 3)), ("b", (3,))]}
GRADIENTS = [{k: RNG.normal(size=v.shape).astype("f") for k, v in VALUES.items()} for _ in range(3)]

TRANSFORMATIONS = {
    "sgd": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(optax.linear_schedule(0.1, 0.0, 4)),
    "adamw": lambda: optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(
            0.1, mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params), weight_decay=0.1
        ),
    ),
    "injected": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
}


def _model(nnx):
    class Net(nnx.Module):
        def __init__(self):
            self.inner = nnx.Dict(w=nnx.Param(jnp.asarray(VALUES["w"]), note="mine"))
            self.b = nnx.Param(jnp.asarray(VALUES["b"]))
            self.scale = nnx.BatchStat(jnp.ones(()))

    return Net()


def _gradients(nnx, values):
    inner = {"w": nnx.Param(jnp.asarray(values["w"]))}
    return nnx.State({"inner": inner, "b": nnx.Param(jnp.asarray(values["b"]))})


def _flat(nnx, node):
    return [
        (path, type(leaf).__name__, np.asarray(leaf.get_raw_value()))
        for path, leaf in nnx.to_flat_state(nnx.state(node))
    ]


def _assert_same(mine, other):
    assert [entry[:2] for entry in mine] == [entry[:2] for entry in other]
    for (*_, x), (*_, y) in zip(mine, other, strict=True):
        assert_exact(x, y)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_steps_have_the_same_bits(name):
    results = []
    for nnx in BOTH:
        model = _model(nnx)
        optimizer = nnx.Optimizer(model, TRANSFORMATIONS[name](), wrt=nnx.Param)
        updates = [optimizer.update(model, _gradients(nnx, values)) for values in GRADIENTS]
        results.append((_flat(nnx, model), _flat(nnx, optimizer), jax.tree.leaves(updates)))
    (model, state, updates), (other_model, other_state, other_updates) = results
    _assert_same(model, other_model)
    _assert_same(state, other_state)
    for x, y in zip(updates, other_updates, strict=True):
        assert_exact(x, y)


def test_a_filter_by_path_and_further_arguments():
    results = []
    for nnx in BOTH:
        model = _model(nnx)
        tx = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(4))
        optimizer = nnx.ModelAndOptimizer(model, tx, wrt=nnx.PathContains("w"))
        for values in GRADIENTS[:2]:
            grads = nnx.filter_state(_gradients(nnx, values), nnx.PathContains("w"))
            optimizer.update(
                grads,
                value=jnp.sum(model.inner.w[...] ** 2),
                grad=grads,
                value_fn=lambda params: sum(jnp.sum(x**2) for x in jax.tree.leaves(params)),
            )
        results.append(_flat(nnx, optimizer))
    _assert_same(*results)


def test_averages_have_the_same_bits():
    results = []
    for nnx in BOTH:
        model = _model(nnx)
        ema = nnx.EMA(model, decay=0.97, only=nnx.Param)
        for values in GRADIENTS:
            ema.update(_gradients(nnx, values))
        results.append((_flat(nnx, ema), _flat(nnx, ema.apply_to(model))))
    _assert_same(results[0][0], results[1][0])
    _assert_same(results[0][1], results[1][1])


def test_metrics_have_the_same_bits():
    results = []
    for nnx in BOTH:
        metrics = nnx.MultiMetric(
            mean=nnx.metrics.Average("x"),
            both=nnx.metrics.Welford("x"),
            right=nnx.metrics.Accuracy(threshold=0.1),
        )
        for values in (*GRADIENTS, {"w": VALUES["w"]}):
            x = jnp.asarray(values["w"])
            mask = {"mean": x > 0}
            metrics.update(x=x, logits=x, labels=(x > 0).astype(jnp.int32), mask=mask)
        results.append((_flat(nnx, metrics), jax.tree.leaves(metrics.compute())))
    _assert_same(results[0][0], results[1][0])
    for x, y in zip(results[0][1], results[1][1], strict=True):
        assert_exact(x, y)
