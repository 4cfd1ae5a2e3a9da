"""eval_shape, make_jaxpr and checkify of functions of modules."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import checkify

from ramie import nnx

modes = pytest.mark.parametrize(
    ("graph", "graph_updates"), [(True, True), (True, False), (False, False)]
)


class Scale(nnx.Module):
    def __init__(self, size=3):
        self.w = nnx.Param(jnp.ones((size,)))
        self.calls = nnx.Variable(jnp.array(0))
        self.array = jnp.zeros(2)

    def __call__(self, x, *, shift=0.0):
        self.calls[...] += 1
        return self.w * x + shift


@modes
def test_eval_shape(graph, graph_updates):
    options = {"graph": graph, "graph_updates": graph_updates}
    model = nnx.eval_shape(lambda: Scale(4), **options)
    assert isinstance(model, Scale) and isinstance(model.w, nnx.Param)
    assert model.w.get_value() == jax.ShapeDtypeStruct((4,), jnp.float32)
    assert model.array == jax.ShapeDtypeStruct((2,), jnp.float32)
    x = jax.ShapeDtypeStruct((1,), jnp.float32)
    run = nnx.eval_shape(lambda m, x, shift: {"y": m(x, shift=shift)}, model, x, shift=1, **options)
    assert run == {"y": jax.ShapeDtypeStruct((4,), jnp.float32)}
    real = Scale()
    nnx.eval_shape(lambda m: m(1.0), real, **options)
    assert int(real.calls[...]) == 0


def test_eval_shape_of_objects_that_were_passed_in():
    shared = nnx.Param(jnp.ones(2))

    def swap(m, v):
        m.new = nnx.Param(v * 2)
        return {"m": m, "v": v}

    real = nnx.Dict(a=shared)
    out = nnx.eval_shape(swap, real, shared)
    assert out["m"].a is out["v"] and out["v"].get_value().shape == (2,)
    assert out["m"].new.get_value().shape == (2,) and not hasattr(real, "new")
    for graph in (True, False):
        with pytest.raises(ValueError, match="Duplicate"):
            nnx.eval_shape(lambda m: m, real, graph=graph, graph_updates=False)
        with pytest.raises(ValueError, match="Duplicate"):
            nnx.eval_shape(lambda a, b: 1, shared, shared, graph=graph, graph_updates=False)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.eval_shape(Scale().__call__, 1.0)


@pytest.mark.parametrize("graph", [True, False])
def test_make_jaxpr(graph):
    model = Scale()

    @nnx.make_jaxpr(static_argnums=(1,), graph=graph, graph_updates=False)
    def program(m, is_scaled, x):
        return m(x) if is_scaled else x

    assert "mul" in str(program(model, True, 2.0)) and "mul" not in str(program(model, False, 2.0))
    assert len(program(model, True, 2.0).out_avals) == 1 and int(model.calls[...]) == 0


def test_make_jaxpr_refuses():
    with pytest.raises(ValueError, match=r"graph_updates=True\. The program of <lambda> has"):
        nnx.make_jaxpr(lambda x: x, graph=True, graph_updates=True)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.make_jaxpr(Scale().__call__, graph=False)


@modes
def test_checkify(graph, graph_updates):
    def f(m, x):
        checkify.check(x > 0, "x must be positive")
        return m(x)

    model = Scale()
    run = nnx.checkify(f, graph=graph, graph_updates=graph_updates)
    error, out = run(model, 2.0)
    error.throw()
    assert out.shape == (3,) and int(model.calls[...]) == 1
    error, _ = run(model, -2.0)
    with pytest.raises(checkify.JaxRuntimeError, match="x must be positive"):
        error.throw()
    with pytest.raises(ValueError, match="bound methods"):
        nnx.checkify(model.__call__)


@modes
def test_of_array_references_shapes_come_out(graph, graph_updates):
    def make():
        return nnx.Linear(1, 2, rngs=nnx.Rngs(0))

    with nnx.var_defaults(ref=True):
        model = nnx.eval_shape(make, graph=graph, graph_updates=graph_updates)
        assert isinstance(make().kernel.get_raw_value(), jax.Ref)
    assert model.kernel.get_value() == jax.ShapeDtypeStruct((1, 2), jnp.float32)
    assert model.kernel.ref and isinstance(model.bias.get_value(), jax.ShapeDtypeStruct)
