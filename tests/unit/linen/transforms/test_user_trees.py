"""Classes of users that look at their fields: no transformation makes them of anything but arrays.

In each row a function of a module meets such a class in one place: as an argument, mapped or whole,
as a result, as a carry, as a variable. What it returns is compared with the same done by hand.
"""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from tests.strict_trees import Strict, arrays
from tests.tolerance import assert_close, assert_exact
from tests.unit.linen.transforms.scaled_modules import KEY

from ramie import core, jax_utils
from ramie import linen as nn

X = arrays(2)
ROWS = arrays(3, 2)


class Call(nn.Module):
    function: object

    @nn.compact
    def __call__(self, *args):
        return self.function(self, *args)


def run(function, *args):
    rngs = {"params": KEY, "dropout": KEY}
    return Call(function).init_with_output(rngs, *args)[0]


def double(_, x):
    return jax.tree.map(lambda leaf: 2 * leaf, x)


def doubled(x):
    return double(None, x)


def held(module, like=X):
    """Make a variable of two arrays."""
    return module.variable("held", "x", lambda: doubled(like)).value


def drawn(module, x):
    """Use a parameter of two arrays."""
    w = module.param("w", lambda key: Strict(jax.random.normal(key, (2,)) * 0 + 3, X.b))
    return w.a * x.a + w.b


def scan(body, **options):
    return lambda module, carry, *xs: nn.scan(body, **options)(module, carry, *xs)


def count(module, carry, _):
    """Add to a variable that each step hands on."""
    state = module.variable("held", "x", lambda: X)
    state.value = jax.tree.map(lambda leaf: leaf + 1, state.value)
    return carry, ()


def counted(module, x):
    module.variable("held", "x", lambda: X)
    nn.scan(count, variable_carry="held", length=3)(module, 0.0, None)
    return module.get_variable("held", "x")


def with_own_derivative(module, x):
    fn = nn.custom_vjp(double, lambda m, x: (double(m, x), x), lambda x, y_t: ({}, y_t))
    return fn(module, x)


def pulled_back(module, x):
    y, pull_back = nn.vjp(double, module, x)
    return pull_back(y)[1]


ROWS_OF = {
    "scan over": (scan(lambda _, c, x: (c, x.a + x.b)), (0.0, ROWS), (0.0, ROWS.a + ROWS.b)),
    "scan over another axis": (
        scan(lambda _, c, x: (c, x.a + x.b), in_axes=1, out_axes=1),
        (0.0, ROWS),
        (0.0, ROWS.a + ROWS.b),
    ),
    "scan over a part": (
        scan(lambda _, c, x: (c, x[0].a + x[1].b), in_axes=((nn.broadcast, 0),)),
        (0.0, (X, ROWS)),
        (0.0, X.a[None] + ROWS.b),
    ),
    "scan broadcast": (
        scan(lambda _, c, x: (c + x.a, ()), in_axes=nn.broadcast, length=3),
        (X.a, X),
        (4 * X.a, ()),
    ),
    "scan stacked": (scan(lambda _, c, x: (c, doubled(x))), (0.0, ROWS), (0.0, doubled(ROWS))),
    "scan returned once": (
        scan(lambda _, c, x: (c, x), in_axes=nn.broadcast, out_axes=nn.broadcast, length=3),
        (0.0, X),
        (0.0, X),
    ),
    "scan carried": (
        scan(lambda _, c, x: (doubled(c), ()), length=3),
        (X, None),
        (doubled(doubled(doubled(X))), ()),
    ),
    "scan traced once": (
        scan(lambda _, c, x: (c, x), check_constancy_invariants=False),
        (X, ROWS),
        (X, ROWS),
    ),
    "scan, variables with an axis": (
        scan(lambda m, c, _: (c + held(m).a, ()), variable_axes={"held": 0}, length=3),
        (X.a, None),
        (7 * X.a, ()),
    ),
    "scan, variables shared": (
        scan(lambda m, c, _: (c + held(m).a, ()), variable_broadcast="held", length=3),
        (X.a, None),
        (7 * X.a, ()),
    ),
    "scan, variables carried": (counted, (X.a,), jax.tree.map(lambda leaf: leaf + 3, X)),
    "vmap": (lambda m, x: nn.vmap(double)(m, x), (ROWS,), doubled(ROWS)),
    "vmap over a part": (
        lambda m, x, y: nn.vmap(
            lambda _, x, y: (doubled(x), y), in_axes=(0, None), out_axes=(0, None)
        )(m, x, y),
        (ROWS, X),
        (doubled(ROWS), X),
    ),
    "vmap, variables with an axis": (
        lambda m, x: nn.vmap(lambda m, x: held(m, x), variable_axes={"held": 0})(m, x),
        (ROWS,),
        doubled(ROWS),
    ),
    "jit": (lambda m, x: nn.jit(double)(m, x), (X,), doubled(X)),
    "remat": (lambda m, x: nn.remat(double)(m, x), (X,), doubled(X)),
    "cond": (lambda m, x: nn.cond(True, double, lambda _, x: x, m, x), (X,), doubled(X)),
    "switch": (lambda m, x: nn.switch(1, [lambda _, x: x, double], m, x), (X,), doubled(X)),
    "while_loop": (
        lambda m, x: nn.while_loop(lambda _, x: x.a.sum() < 2, double, m, x),
        (X,),
        doubled(X),
    ),
    "vjp": (pulled_back, (X,), doubled(doubled(X))),
    "jvp": (lambda m, x: nn.jvp(double, m, (x,), (x,), {}), (X,), (doubled(X), doubled(X))),
    "custom_vjp": (with_own_derivative, (X,), doubled(X)),
    "map_variables": (
        lambda m, x: nn.map_variables(drawn, "params", init=True)(m, x),
        (X,),
        3 * X.a + X.b,
    ),
    "add_metadata_axis": (
        lambda m, x: nn.add_metadata_axis(drawn, {"params": 0})(m, x),
        (X,),
        3 * X.a + X.b,
    ),
}


@pytest.mark.parametrize("name", ROWS_OF)
def test_a_class_that_looks_at_its_fields_crosses(name):
    function, args, expected = ROWS_OF[name]
    found = run(function, *args)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(got, want, "model")


def test_layers_in_nested_loops_carry_it():
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x):
            return doubled(x)

    found, _ = nn.remat_scan(Layer, (2, 2))().init_with_output(KEY, X)
    assert_exact(found.b, 16 * X.b)


@pytest.mark.parametrize("by", ["argument", "variables"])
def test_a_derivative_of_ones_own_may_be_of_it_and_leave_parts_out(by):
    def backward(residuals, y_t):
        of_x, of_w = {"x": (y_t * residuals.a, None), "skipped": None}, Strict(5 * y_t, 7 * y_t)
        return {"params": {"w": of_w}}, of_x

    def product(module, tree):
        w = module.param("w", lambda key: Strict(X.a, X.b))
        return w.a * tree["x"][0] + tree["x"][1].sum()

    def forward(module, tree):
        return product(module, tree), module.get_variable("params", "w")

    def loss(params, a):
        function = nn.custom_vjp(product, forward, backward)
        tree = {"x": (a, jnp.ones(2)), "skipped": X}
        return Call(function).apply({"params": params}, tree).sum()

    of_params, of_a = jax.grad(loss, argnums=(0, 1))({"w": X}, jnp.ones(2))
    if by == "variables":
        assert_exact(of_params["w"].a, jnp.full(2, 5.0))
        assert_exact(of_params["w"].b, jnp.full(2, 7.0))
    else:
        assert_exact(of_a, X.a)


@pytest.mark.parametrize("given", [(jnp.ones(2),), [jnp.ones(2)], Strict(X.a, X.a)])
def test_cotangents_of_another_structure_are_refused(given):
    function = nn.custom_vjp(double, lambda m, x: (double(m, x), ()), lambda _, y_t: ({}, given))
    loss = lambda a: Call(function).apply({}, {"x": a})["x"].sum()
    with pytest.raises(TypeError, match=r"backward_fn returned cotangents of another structure"):
        jax.grad(loss)(jnp.ones(2))


def test_cotangents_are_counted():
    function = nn.custom_vjp(double, lambda m, x: (double(m, x), ()), lambda _, y_t: ({},))
    with pytest.raises(TypeError, match=r"each of the 1 differentiable arguments.* 1 values"):
        jax.grad(lambda a: Call(function).apply({}, a).sum())(jnp.ones(2))


@pytest.mark.parametrize("is_fast", [True, False])
def test_it_may_be_a_parameter(is_fast):
    model = Call(drawn)
    init = model.init if is_fast else jax.jit(model.init)
    variables = init(KEY, X)
    assert isinstance(variables["params"]["w"], Strict)
    assert_exact(model.apply(variables, X), 3 * X.a + X.b)
    assert_exact(jax.jit(model.apply)(variables, X), 3 * X.a + X.b)


def test_a_first_value_may_come_from_what_is_traced():
    model = Call(lambda m, x: m.variable("held", "x", lambda: Strict(x + 1, X.b)).value.a)
    assert_exact(model.init(KEY, X.a)["held"]["x"].a, X.a + 1)


@pytest.mark.parametrize("x", [X.a, jax.ShapeDtypeStruct((2,), jnp.float32)])
def test_lazy_init_makes_it(x):
    def call(module, x):
        return drawn(module, Strict(jnp.zeros(2), jnp.zeros(2))) + x

    variables = Call(call).lazy_init(KEY, x)
    assert_exact(variables["params"]["w"].a, jnp.full(2, 3.0))
    of_core = core.lazy_init(lambda scope, x: scope.param("w", lambda key: X))(KEY, x)
    assert_exact(of_core["params"]["w"].b, X.b)


def test_what_is_computed_without_values_may_be_it():
    found = jax_utils.partial_eval_by_shape(lambda x: doubled(X), [(3,)])
    assert_exact(found.a, 2 * X.a)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WithLayer:
    """A module and an array, and nothing else."""

    layer: nn.Module
    x: jax.Array

    def __post_init__(self):
        if not isinstance(self.layer, nn.Module) or not isinstance(self.x, jax.Array):
            raise TypeError(f"fields of WithLayer are {self.layer!r} and {self.x!r}")


def axes_of(layer, x):
    """Return axes for a `WithLayer`, which it would refuse."""
    axes = object.__new__(WithLayer)
    object.__setattr__(axes, "layer", layer)
    object.__setattr__(axes, "x", x)
    return axes


SHARED = {"variable_axes": {"params": None}, "split_rngs": {"params": False}}
LOOP = {"variable_broadcast": "params", "split_rngs": {"params": False}}
CALLS = {
    "jit": lambda m, held: nn.jit(lambda _, h: h.layer(h.x))(m, held),
    "remat": lambda m, held: nn.remat(lambda _, h: h.layer(h.x))(m, held),
    "by keyword": lambda m, held: nn.remat(lambda _, h: h["h"].layer(h["h"].x))(m, h={"h": held}),
    "cond": lambda m, held: nn.cond(
        True, lambda _, h: h.layer(h.x), lambda _, h: -h.layer(h.x), m, held
    ),
    "vmap": lambda m, held: nn.vmap(lambda _, h: h.layer(h.x), **SHARED)(m, held),
    "vmap, axes inside": lambda m, held: nn.vmap(
        lambda _, held, row: held["h"][0].layer(held["h"][0].x) + row,
        in_axes=({"h": [axes_of(None, 0)]}, None),
        **SHARED,
    )(m, {"h": [held]}, jnp.zeros(2)),
    "scan": lambda m, held: nn.scan(lambda _, c, h: (c, h.layer(h.x)), **LOOP)(m, 0.0, held)[1],
    "scan, axes inside": lambda m, held: nn.scan(
        lambda _, c, h, row: (c, h.layer(h.x) + row), in_axes=(axes_of(0, 0), nn.broadcast), **LOOP
    )(m, 0.0, held, jnp.zeros(2))[1],
    "vjp": lambda m, held: nn.vjp(lambda _, h: h.layer(h.x), m, held)[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_a_class_that_looks_at_its_fields_may_hold_layers(name):
    def call(module, x):
        layer = nn.Dense(2, name="layer")
        return CALLS[name](module, WithLayer(layer, x)), layer(x)

    found, expected = run(call, ROWS.a)
    assert_close(found, expected, "model")


def test_its_gradient_holds_the_layer_again():
    def call(module, x):
        layer = nn.Dense(2)
        held = WithLayer(layer, x)
        loss = lambda _, h: h.layer(h.x).sum()
        y, pull_back = nn.vjp(loss, module, held, vjp_variables="params")
        (of_held,) = nn.grad(loss, module, held)
        assert pull_back(jnp.ones_like(y))[1].layer is layer is of_held.layer
        return of_held.x, layer.variables["params"]["kernel"].sum(1)

    of_x, rows = run(call, X.a)
    assert_close(of_x, rows, "model")
