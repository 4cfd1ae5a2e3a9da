"""Lifted functions of scopes give Flax's numbers, variables and counts of random draws."""

# ruff: noqa: E402

import pytest

flax = pytest.importorskip("flax")

import jax
import jax.numpy as jnp
from flax import core as flax_core
from flax.core import lift as flax_lift
from tests.tolerance import assert_exact

from ramie import core
from ramie.core import lift

RNGS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
SPLITS = [{"params": p, "dropout": d} for p in (True, False) for d in (True, False)]


def counts_by_name(counters):
    """Counters of a scope, those of the scopes below under their names."""
    found = {}
    for key, count in counters.items():
        name = key if isinstance(key, str) else next(k for k in key if isinstance(k, str))
        count = counts_by_name(count) if isinstance(count, dict) else count
        if count:
            found[name] = count
    return found


def assert_same_trees(ours, theirs):
    ours, theirs = core.unfreeze(ours), flax_core.unfreeze(theirs)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_exact(a, b)


def draws(scope, *_):
    keys = (
        scope.make_rng("params"),
        scope.make_rng("dropout"),
        scope.push("kid", reuse=True).make_rng("params"),
    )
    return [jax.random.key_data(key) for key in keys]


def three_places(scope):
    return scope, scope.parent.push("b", reuse=True), scope.push("c", reuse=True)


def scanned_draws(scope, carry, x):
    return carry, draws(scope)


def weakly_typed_draws(scope, carry, x):
    return carry * 1.5, draws(scope)


LIFTERS = {
    "plain": lambda lift, s: draws(s),
    "jit": lambda lift, s: lift.jit(draws)(s, "key"),
    "fold_rngs": lambda lift, s: lift.fold_rngs(draws)(s, "key"),
    "remat": lambda lift, s: lift.remat(draws)(s),
    "map_variables": lambda lift, s: lift.map_variables(draws, "params")(s),
    "cond": lambda lift, s: lift.cond(True, draws, draws, s),
    "switch": lambda lift, s: lift.switch(2, [draws] * 3, s),
    "jit of several": lambda lift, s: lift.jit(lambda ss, key: [draws(x) for x in ss])(
        three_places(s), "key"
    ),
    "scan of several": lambda lift, s: lift.scan(
        lambda ss, c, x: (c, [draws(x) for x in ss]), split_rngs={True: True}, length=2
    )(three_places(s), (), None),
}
for number, splits in enumerate(SPLITS):
    LIFTERS |= {
        f"vmap {number}": lambda lift, s, splits=splits: lift.vmap(
            draws, variable_axes={}, split_rngs=splits, axis_size=2
        )(s),
        f"scan {number}": lambda lift, s, splits=splits: lift.scan(
            scanned_draws, split_rngs=splits, length=2
        )(s, (), None),
        f"scan in one trace {number}": lambda lift, s, splits=splits: lift.scan(
            scanned_draws, split_rngs=splits, length=2, check_constancy_invariants=False
        )(s, (), None),
        f"scan of a weak type {number}": lambda lift, s, splits=splits: lift.scan(
            weakly_typed_draws, split_rngs=splits, length=2
        )(s, 1, None),
    }


@pytest.mark.parametrize("name", LIFTERS)
def test_random_keys(name):
    results = []
    for library_core, library_lift in ((core, lift), (flax_core, flax_lift)):

        def twice(scope, library_lift=library_lift):
            place = scope.push("a")
            place.make_rng("params")
            keys = LIFTERS[name](library_lift, place), LIFTERS[name](library_lift, place)
            return keys, counts_by_name(place.rng_counters)

        results.append(library_core.apply(twice)({"params": {}}, rngs=RNGS))
    (ours, our_counts), (theirs, their_counts) = results
    assert_same_trees(ours, theirs)
    assert our_counts == their_counts


def layer(scope, carry, x):
    w = scope.param("w", lambda key: jax.random.normal(key, (2,)))
    u = scope.push("kid", reuse=True).param("u", lambda key: jax.random.normal(key, (2,)))
    seen = scope.variable("cache", "seen", lambda: jnp.zeros(()))
    return carry + w.sum() + u.sum() + x + seen.value, w * x


VARIABLES = {
    "axis 0": {"variable_axes": {"params": 0, "cache": 0}, "split_rngs": {"params": True}},
    "axis 1": {"variable_axes": {"params": 1, "cache": 0}, "split_rngs": {"params": True}},
    "axis -1": {"variable_axes": {"params": -1, "cache": -1}, "split_rngs": {"params": True}},
}
SCANS = VARIABLES | {
    "shared": {
        "variable_broadcast": "params",
        "variable_axes": {"cache": 0},
        "split_rngs": {"params": False},
    },
    "backwards": {**VARIABLES["axis 0"], "reverse": True, "unroll": 2},
}


def init_and_apply(library_core, fn):
    result, variables = library_core.init(fn)(jax.random.key(7))
    again = library_core.apply(fn, mutable=["cache"])(variables, rngs={"params": jax.random.key(8)})
    return result, variables, again


@pytest.mark.parametrize("name", SCANS)
def test_scanned_variables(name):
    xs = jnp.arange(3.0)
    ours, theirs = (
        init_and_apply(c, lambda s, library=library: library.scan(layer, **SCANS[name])(s, 1.0, xs))
        for c, library in ((core, lift), (flax_core, flax_lift))
    )
    assert_same_trees(ours, theirs)


@pytest.mark.parametrize("name", VARIABLES)
def test_mapped_variables(name):
    xs = jnp.arange(3.0)
    ours, theirs = (
        init_and_apply(
            c,
            lambda s, library=library: library.vmap(
                lambda s, x: layer(s, 0.0, x), **VARIABLES[name]
            )(s, xs),
        )
        for c, library in ((core, lift), (flax_core, flax_lift))
    )
    assert_same_trees(ours, theirs)


def product(scope, x, y):
    p = scope.param("p", lambda key: jax.random.normal(key, ()))
    calls = scope.variable("stats", "calls", lambda: jnp.zeros(()))
    if scope.is_mutable_collection("stats"):
        calls.value += 1
    return p * x * y


def with_aux(scope, x, y):
    return product(scope, x, y), 7


def backwards(lift, scope, fn, **options):
    y, pullback, *aux = lift.vjp(fn, scope, 2.0, 5.0, **options)
    return y, pullback(1.0), aux


def tangents(scope):
    return {"params": {"p": 1.0} if scope.has_variable("params", "p") else {}}


CALLS = {
    "vjp": lambda lift, s: backwards(lift, s, product),
    "vjp by everything": lambda lift, s: backwards(lift, s, product, vjp_variables=True),
    "vjp with aux": lambda lift, s: backwards(lift, s, with_aux, has_aux=True),
    "jvp": lambda lift, s: lift.jvp(product, s, (2.0, 5.0), (1.0, 1.0), tangents(s)),
    "jvp by arguments": lambda lift, s: lift.jvp(product, s, (2.0, 5.0), (1.0, 1.0), {}),
    "value_and_grad": lambda lift, s: lift.value_and_grad(product, s, 2.0, 5.0),
    "value_and_grad with aux": lambda lift, s: lift.value_and_grad(
        with_aux, s, 2.0, 5.0, has_aux=True
    ),
    "custom_vjp": lambda lift, s: lift.custom_vjp(
        product, lambda s, x, y: lift.vjp(product, s, x, y), lambda pullback, t: pullback(t)
    )(s, 2.0, 5.0),
    "cond": lambda lift, s: lift.cond(
        False, product, lambda s, x, y: product(s, x, y) + 1, s, 2.0, 5.0
    ),
    "switch": lambda lift, s: lift.switch(
        1, [product, lambda s, x, y: product(s, x, y) + 1], s, 2.0, 5.0
    ),
    "map_variables": lambda lift, s: lift.map_variables(
        lambda s: product(s, 2.0, 5.0), "params", lambda v: jax.tree.map(jnp.sin, v), init=True
    )(s),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name):
    known = {"params": {"p": 3.0}, "stats": {"calls": 1.0}}
    ours, theirs = (
        (
            c.init(lambda s, library=library: CALLS[name](library, s))(jax.random.key(3)),
            c.apply(lambda s, library=library: CALLS[name](library, s))(known),
            c.apply(lambda s, library=library: CALLS[name](library, s), mutable=["stats"])(known)
            if name != "map_variables"
            else (),
            jax.grad(
                lambda params, c=c, library=library: jnp.sum(
                    jnp.asarray(
                        jax.tree.leaves(
                            c.apply(lambda s: CALLS[name](library, s))({**known, "params": params})
                        )[0]
                    )
                )
            )(known["params"]),
        )
        for c, library in ((core, lift), (flax_core, flax_lift))
    )
    assert_same_trees(ours, theirs)


def test_remat_scan_creates_the_same_variables():
    ours, theirs = (
        c.init(
            lambda s, library=library: library.remat_scan(
                lambda s, carry: product(s, carry, 2.0),
                (2, 3),
                variable_axes={"params": 0, "stats": 0},
            )(s, 1.0)
        )(jax.random.key(0))
        for c, library in ((core, lift), (flax_core, flax_lift))
    )
    assert_same_trees(ours, theirs)


def test_while_loop_draws_the_same_keys():
    def keys_of_steps(library, splits):
        def step(scope, carry):
            number, keys = carry
            key = jax.random.key_data(scope.make_rng("params"))
            return number + 1, keys.at[number].set(key)

        start = (0, jnp.zeros((3, 2), jnp.uint32))
        return lambda scope: library.while_loop(
            lambda scope, carry: carry[0] < 3, step, scope, start, split_rngs={"params": splits}
        )

    for splits in (True, False):
        ours = core.apply(keys_of_steps(lift, splits))({}, rngs=RNGS)
        theirs = flax_core.apply(keys_of_steps(flax_lift, splits))({}, rngs=RNGS)
        assert_same_trees(ours, theirs)
