"""Gradients, cotangents and tangents of functions of modules, in all modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close

from ramie import nnx

MODES = [(True, True), (True, False), (False, False)]
modes = pytest.mark.parametrize(("graph", "graph_updates"), MODES)
functional = pytest.mark.parametrize("graph", [True, False])


class Model(nnx.Module):
    def __init__(self, w=2.0):
        self.w = nnx.Param(jnp.array(w))
        self.b = nnx.BatchStat(jnp.array(3.0))
        self.name = "model"


@modes
def test_gradient_of_a_module(graph, graph_updates):
    model = Model()
    grads = nnx.grad(lambda m, x: m.w**2 * m.b * x, graph=graph, graph_updates=graph_updates)(
        model, 5.0
    )
    assert float(grads.w[...]) == 60.0 and isinstance(grads.w, nnx.Param)
    if graph_updates:
        assert isinstance(grads, nnx.State) and list(grads) == ["w"]
    else:
        assert isinstance(grads, Model) and float(grads.b[...]) == 20.0
    assert float(model.w[...]) == 2.0


@modes
def test_changes_and_auxiliary_output_come_back(graph, graph_updates):
    def loss(m, x):
        m.b[...] += m.w
        return m.w * x, {"seen": x + 1}

    model = Model()
    run = nnx.value_and_grad(loss, has_aux=True, graph=graph, graph_updates=graph_updates)
    (value, aux), grads = run(model, 4.0)
    assert (float(value), float(aux["seen"]), float(grads.w[...])) == (8.0, 5.0, 4.0)
    assert float(model.b[...]) == 5.0 and not isinstance(model.b[...], jax.core.Tracer)


def test_changed_structure_and_returned_objects_come_back_with_updates():
    def loss(m):
        m.extra = nnx.Param(m.w * 3)
        return m.w * 1, m

    model = Model()
    _, same = nnx.grad(loss, has_aux=True)(model)
    assert same is model and float(model.extra[...]) == 6.0
    other = Model()
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.grad(loss, has_aux=True, graph_updates=False)(other)
    assert not hasattr(other, "extra")


@modes
def test_argnums(graph, graph_updates):
    def f(x, m, y):
        return x**2 * m.w * y

    options = {"graph": graph, "graph_updates": graph_updates}
    two = nnx.grad(f, argnums=(-1, 0), **options)(3.0, Model(), 5.0)
    assert [float(x) for x in two] == [18.0, 60.0]
    (one,) = nnx.grad(f, argnums=(1,), **options)(3.0, Model(), 5.0)
    assert float(one.w[...]) == 45.0
    in_list = nnx.grad(lambda pair: pair[0] * pair[1].w, **options)([3.0, Model()])
    assert float(in_list[0]) == 2.0 and float(in_list[1].w[...]) == 3.0
    with pytest.raises(TypeError, match="requires at least 4 positional arguments"):
        nnx.grad(f, argnums=3, **options)(3.0, Model(), 5.0)
    with pytest.raises(ValueError, match="repeated"):
        nnx.grad(f, argnums=(0, -3), **options)(3.0, Model(), 5.0)


def test_diff_state_selects_inside_of_modules_only():
    run = nnx.grad(
        lambda m, v: m.w * m.b * v, argnums=(nnx.DiffState(0, nnx.BatchStat), nnx.DiffState(1, str))
    )
    state, slope = run(Model(), nnx.Param(jnp.array(4.0)))
    assert list(state) == ["b"] and float(state.b[...]) == 8.0 and float(slope[...]) == 6.0
    first = nnx.DiffState(0, nnx.Param)
    assert first == nnx.DiffState(0, nnx.Param) and len({first, nnx.DiffState(0, nnx.Param)}) == 1
    assert repr(first).startswith("DiffState(argnum=0, filter=")
    assert first.map_prefix(("w",), nnx.Param(1)) is True
    assert first.map_prefix(("w",), nnx.BatchStat(1)) is False
    with pytest.raises(ValueError, match="cannot contain `DiffState` objects"):
        nnx.grad(lambda m: m.w, argnums=first, graph=False)
    with pytest.raises(ValueError, match="Graph nodes are not allowed as prefixes"):
        nnx.grad(lambda m: m.w, argnums=Model())


def test_shared_variables():
    shared = nnx.Param(jnp.array(2.0))
    pair = nnx.Dict(a=shared, b=shared)
    state = nnx.grad(lambda m: m.a * m.b)(pair)
    assert list(state) == ["a"] and float(state.a[...]) == 4.0
    module = nnx.grad(lambda m: m.a * m.b, graph_updates=False)(pair)
    assert module.a is module.b and float(module.a[...]) == 4.0
    both = nnx.grad(lambda a, b: a * b, argnums=(0, 1))(shared, shared)
    assert float(both[0][...]) == 4.0 and not both[1]
    with pytest.raises(ValueError, match=r"Inconsistent aliasing(.|\n)*\[0\]\[1\]: False"):
        nnx.grad(lambda a, b: a * b)(shared, shared)
    with pytest.raises(ValueError, match="Duplicate"):
        nnx.grad(lambda m: m.a * m.b, graph=False)(pair)


@modes
def test_what_cannot_be_differentiated(graph, graph_updates):
    options = {"graph": graph, "graph_updates": graph_updates}
    with pytest.raises(TypeError, match=r"real- or complex-valued.*\[0\]\['n'\] of dtype int32"):
        nnx.grad(lambda m: m["n"] * 1.0, **options)({"n": nnx.Param(jnp.array(3))})
    trivial = nnx.grad(lambda n: n * 1.0, allow_int=True, **options)(3)
    assert trivial.dtype == jax.dtypes.float0
    with pytest.raises(TypeError, match="scalar-output"):
        nnx.grad(lambda x: x, **options)(jnp.ones(2))
    with pytest.raises(TypeError, match="must return a pair"):
        nnx.grad(lambda x: x, has_aux=True, **options)(1.0)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.grad(Model().__repr__, **options)
    with pytest.raises(NotImplementedError, match="reduce_axes"):
        nnx.grad(lambda x: x, reduce_axes=("a",), **options)


def test_options_and_forms():
    assert complex(nnx.grad(lambda x: x * 2j, holomorphic=True)(1.0 + 0j)) == 2j

    class Own(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array(3.0))

        @nnx.value_and_grad(argnums=(0, 1))
        def loss(self, x, *, scale, text):
            assert text == "passed on"
            return self.w**2 * x * scale

    value, (state, slope) = Own().loss(2.0, scale=nnx.Param(jnp.array(10.0)), text="passed on")
    assert (float(value), float(state.w[...]), float(slope)) == (180.0, 120.0, 90.0)
    assert Own.loss.__name__ == "loss"


@functional
def test_vjp(graph):
    def f(m, x, *, scale=2.0):
        m.b[...] += 1
        return {"y": nnx.Param(m.w * x), "z": x * scale}, x + 1

    model = Model()
    out, pull_back, aux = nnx.vjp(f, model, 5.0, has_aux=True, graph=graph, graph_updates=False)
    assert (float(out["y"][...]), float(aux), float(model.b[...])) == (10.0, 6.0, 4.0)
    m_grad, x_grad = pull_back({"y": nnx.Param(jnp.array(1.0)), "z": jnp.array(10.0)})
    assert isinstance(m_grad, Model)
    assert (float(m_grad.w[...]), float(m_grad.b[...]), float(x_grad)) == (5.0, 0.0, 22.0)
    with pytest.raises(TypeError, match="cotangents must have the same tree structure"):
        pull_back(jnp.array(1.0))


@functional
def test_jvp(graph):
    def f(m, x):
        m.b[...] += x
        return nnx.Param(m.w * x)

    model = Model()
    tangent = jax.tree.map(jnp.ones_like, model)
    run = nnx.jvp(graph=graph, graph_updates=False)(f)
    out, moved = run((model, 5.0), (tangent, 1.0))
    assert (float(out[...]), float(moved[...]), float(model.b[...])) == (10.0, 7.0, 8.0)
    state = nnx.state(tangent)
    again, _ = nnx.jvp(f, (model, 5.0), (state, 1.0), graph=graph, graph_updates=False)
    assert float(again[...]) == 10.0
    for wrong in ((tangent,), (tangent, None), (nnx.State({}), 1.0)):
        with pytest.raises(TypeError, match="tangents must have the same tree structure"):
            nnx.jvp(f, (model, 5.0), wrong, graph=graph, graph_updates=False)


def test_vjp_and_jvp_of_shared_variables_and_integers():
    v = nnx.Param(jnp.array(3.0))
    out, pull_back = nnx.vjp(lambda a, b, n: a * b * n, v, v, 2, graph_updates=False)
    first, second, trivial = pull_back(jnp.array(1.0))
    assert first is second and float(first[...]) == 12.0 and trivial.dtype == jax.dtypes.float0
    _, moved = nnx.jvp(lambda a, n: a * n, (v, 2), (v, 1), graph_updates=False)
    assert float(out) == 18.0 and float(moved) == 6.0


def test_vjp_and_jvp_refuse_what_they_cannot_do():
    for call in (lambda f: nnx.vjp(f, 1.0), lambda f: nnx.jvp(f, (1.0,), (1.0,))):
        with pytest.raises(NotImplementedError, match="graph_updates=False"):
            call(jnp.sin)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.vjp(Model().__repr__, graph=False)
    with pytest.raises(ValueError, match="Duplicate"):
        v = nnx.Param(1.0)
        nnx.vjp(lambda a, b: a * b, v, v, graph=False)


@modes
def test_remat(graph, graph_updates):
    runs = []

    @nnx.remat(static_argnums=1, graph=graph, graph_updates=graph_updates)
    def f(m, negate, x, *, shift):
        runs.append(negate)
        m.b[...] += 1
        return jnp.sin(-m.w * x if negate else m.w * x) + shift

    model = Model()

    def loss(m):
        return f(m, True, 0.5, shift=jnp.array(1.0))

    value, grads = nnx.value_and_grad(loss, graph=graph, graph_updates=graph_updates)(model)
    assert_close(value, 1 - np.sin(np.float32(1.0)), "op")
    assert_close(grads.w[...], -0.5 * np.cos(np.float32(1.0)), "op")
    assert float(model.b[...]) == 4.0 and runs[0] is True
    assert "remat" in str(jax.make_jaxpr(lambda x: f(Model(), False, x, shift=0.0))(1.0))
    with pytest.raises(ValueError, match="bound methods"):
        nnx.remat(model.__repr__)
