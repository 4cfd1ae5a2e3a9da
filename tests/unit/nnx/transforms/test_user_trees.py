"""Classes of users that look at their fields: no transformation makes them of anything but arrays.

In each row a transformation meets such a class among arguments and outputs, beside a module. What
it returns is compared with the same done by hand.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.strict_trees import Strict, arrays
from tests.tolerance import assert_close, assert_exact

from ramie import nnx

X = arrays(2)
ROWS = arrays(3, 2)
MODES = {"graph": {}, "no updates": {"graph_updates": False}, "tree": {"graph": False}}
FUNCTIONAL = ("no updates", "tree")  # vjp, jvp and make_jaxpr are for these


class Scale(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array(3.0))

    def __call__(self, x):
        return self.w * x


def double(x):
    return jax.tree.map(lambda leaf: 2 * leaf, x)


def scaled(model, x):
    return Strict(model(x.a), x.b)


def loss(model, x):
    return (model(x.a) * x.b).sum()


def carried(carry, model, x):
    return double(carry), scaled(model, x)


THREES = Strict(3 * X.a, X.b)
AXES = {"in_axes": (nnx.Carry, None, 0), "out_axes": (nnx.Carry, 0)}
SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])

ROWS_OF = {
    "grad": (lambda o: nnx.grad(lambda x: (x.a * x.b).sum(), **o)(X), Strict(X.b, X.a)),
    "grad by another": (
        lambda o: jax.tree.leaves(nnx.grad(loss, **o)(Scale(), X)),
        [(X.a * X.b).sum()],
    ),
    "grad by both": (
        lambda o: nnx.grad(loss, argnums=(0, 1), **o)(Scale(), X)[1],
        Strict(3 * X.b, 3 * X.a),
    ),
    "grad, aux": (
        lambda o: nnx.grad(lambda m, x: (loss(m, x), x), has_aux=True, **o)(Scale(), X)[1],
        X,
    ),
    "jit": (lambda o: nnx.jit(scaled, **o)(Scale(), X), THREES),
    "jit by name": (lambda o: nnx.jit(scaled, **o)(Scale(), x=X), THREES),
    "jit, shardings": (
        lambda o: nnx.jit(scaled, in_shardings=(None, SHARDING), out_shardings=SHARDING, **o)(
            Scale(), X
        ),
        THREES,
    ),
    "remat": (lambda o: nnx.remat(scaled, **o)(Scale(), X), THREES),
    "vmap": (
        lambda o: nnx.vmap(scaled, in_axes=(None, 0), **o)(Scale(), ROWS),
        Strict(3 * ROWS.a, ROWS.b),
    ),
    "vmap over a part": (
        lambda o: nnx.vmap(lambda x, y: (x, y), in_axes=(0, None), out_axes=(0, None), **o)(
            ROWS, X
        ),
        (ROWS, X),
    ),
    "scan": (
        lambda o: nnx.scan(carried, **AXES, **o)(X, Scale(), ROWS),
        (double(double(double(X))), Strict(3 * ROWS.a, ROWS.b)),
    ),
    "scan without carry": (
        lambda o: nnx.scan(double, in_axes=0, out_axes=0, **o)(ROWS),
        double(ROWS),
    ),
    "while_loop": (lambda o: nnx.while_loop(lambda x: x.a.sum() < 2, double, X, **o), double(X)),
    "fori_loop": (lambda o: nnx.fori_loop(0, 2, lambda i, x: double(x), X, **o), double(double(X))),
    "cond": (lambda o: nnx.cond(True, double, lambda x: x, X, **o), double(X)),
    "switch": (lambda o: nnx.switch(1, [lambda x: x, double], X, **o), double(X)),
    "checkify": (lambda o: nnx.checkify(double, **o)(X)[1], double(X)),
    "pmap": (lambda o: nnx.pmap(double, **o)(arrays(1, 2)), double(arrays(1, 2))),
}


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(got, want, "model")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ROWS_OF)
def test_a_class_that_looks_at_its_fields_crosses(name, mode):
    call, expected = ROWS_OF[name]
    assert_same(call(MODES[mode]), expected)


@pytest.mark.parametrize("mode", FUNCTIONAL)
def test_vjp_and_jvp_take_it(mode):
    options = MODES[mode]
    out, pull_back = nnx.vjp(scaled, Scale(), X, **options)
    assert_same((out, pull_back(X)[1]), (THREES, THREES))
    both = lambda x: (double(x), x)
    found = nnx.jvp(both, (X,), (X,), has_aux=True, **options)
    assert_same(found, (double(X), double(X), X))
    assert "mul" in str(nnx.make_jaxpr(double, **options)(X))


@pytest.mark.parametrize("mode", MODES)
def test_it_may_hold_variables(mode):
    options = MODES[mode]
    x = Strict(nnx.Param(X.a), X.b)
    found = nnx.grad(lambda x: (x.a[...] * x.b).sum(), **options)(x)
    assert_exact(found.a.get_value(), X.b)
    assert_exact(nnx.jit(lambda x: x.a * x.b, **options)(x), X.a * X.b)
    rows = Strict(nnx.Param(ROWS.a), ROWS.b)
    assert_exact(nnx.vmap(lambda x: x.a * x.b, **options)(rows), ROWS.a * ROWS.b)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_fixed", [False, True])
def test_a_derivative_of_ones_own_may_be_of_it(mode, is_fixed):
    """Beside an array, an argument that is not differentiated holds one that is of NumPy."""
    options = MODES[mode]
    extra = Strict(X.a, np.ones(2, np.float32))
    fixed = {"nondiff_argnums": (2,)} if is_fixed else {}
    rule = nnx.custom_vjp(lambda model, x, extra: loss(model, x), **fixed, **options)

    def forward(model, x, extra):
        return loss(model, x), (x, extra)

    def backward(*given):
        x, extra = given[-2]
        assert isinstance(given[0], Strict) or not is_fixed
        found = None, Strict(5 * x.b, 7 * extra.a)
        return found if is_fixed else (*found, None)

    rule.defvjp(forward, backward)
    assert_close(rule(Scale(), X, extra), loss(Scale(), X), "model")
    found = nnx.grad(rule, argnums=1, **options)(Scale(), X, extra)
    assert_same(found, Strict(5 * X.b, 7 * X.a))


@pytest.mark.parametrize("mode", MODES)
def test_a_model_may_hold_it(mode):
    options = MODES[mode]

    class Model(nnx.Module):
        def __init__(self):
            self.held = nnx.data(arrays(2))
            self.variables = nnx.data(Strict(nnx.Param(X.a), X.b))
            self.w = nnx.Param(arrays(2))

        def __call__(self, x):
            return (self.held.a * x * self.variables.b * self.w[...].b).sum()

    model = Model()
    expected = (X.a * X.b * X.b).sum()
    one = jnp.ones(2)
    assert_close(nnx.jit(lambda m, x: m(x), **options)(model, one), expected, "model")
    grads = nnx.grad(lambda m, x: m(x), **options)(model, one)
    assert_close(grads.w.get_value().b, X.a * X.b, "model")
    stepped = nnx.fori_loop(0, 2, lambda i, m: m, model, **options)
    assert_close(stepped(one), expected, "model")
    assert_close(nnx.clone(model)(one), expected, "model")
    assert nnx.merge(*nnx.split(model)).held.a.shape == (2,)
