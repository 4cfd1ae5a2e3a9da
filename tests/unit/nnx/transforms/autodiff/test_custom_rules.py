"""custom_vjp: what the rules get and return, in all modes."""

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx

functional = pytest.mark.parametrize("graph", [True, False])


class Model(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array(2.0))
        self.b = nnx.BatchStat(jnp.array(3.0))
        self.n = nnx.Variable(jnp.array(1))


def rule(f, forward, backward, **options):
    made = nnx.custom_vjp(f, **options)
    made.defvjp(lambda *args: forward(made, *args), backward)
    return made


def test_rules_with_updates():
    got = {}

    def f(m, x, v):
        m.b[...] *= 2
        m.extra = nnx.Param(m.w * 1)
        return m.w * x * v, m

    def backward(kept, g):
        got["kept"], (got["inputs"], got["out"]) = kept, g
        m_g, _, v_g = got["inputs"]
        m_g["w"][...] = jnp.array(7.0)
        return m_g, jnp.array(8.0), v_g

    f = rule(f, lambda f, m, x, v: (f(m, x, v), (m, x)), backward)
    model = Model()

    def loss(m, x, v):
        y, same = f(m, x, v)
        assert same is m
        return y + m.b * 5

    grads = nnx.grad(loss, argnums=(0, 1, 2))(model, 3.0, nnx.Param(jnp.array(4.0)))
    assert float(grads[0].w[...]) == 7.0 and float(grads[1]) == 8.0 and float(grads[2][...]) == 0.0
    m_g, x_g, v_g = got["inputs"]
    assert sorted(m_g) == ["b", "n", "w"] and float(m_g["b"][...]) == 5.0 and x_g is None
    assert isinstance(v_g, nnx.Param) and float(got["out"][0]) == 1.0
    assert isinstance(got["kept"][0], Model) and float(got["kept"][1]) == 3.0
    assert float(model.b[...]) == 6.0 and float(model.extra[...]) == 2.0


@functional
def test_rules_without_updates(graph):
    got = {}

    def f(m, x):
        m.n[...] += 1
        return {"y": m.w * x, "p": nnx.Param(m.w * 2)}

    def backward(kept, g, *, updates_g):
        got["g"], got["updates"] = g, updates_g
        m_g = nnx.clone(kept)
        m_g.w[...] = g["y"] * 100 + g["p"]
        return m_g, None

    f = rule(f, lambda f, m, x: (f(m, x), m), backward, graph=graph, graph_updates=False)

    def loss(m, x):
        out = f(m, x)
        return out["y"] + out["p"] * 3

    model = Model()
    m_g, x_g = nnx.grad(loss, argnums=(0, 1), graph=graph, graph_updates=False, allow_int=True)(
        model, 5.0
    )
    assert float(m_g.w[...]) == 103.0 and float(x_g) == 0.0
    assert isinstance(got["g"]["p"], nnx.Param)
    m_up, x_up = got["updates"]
    assert m_up.w is None and isinstance(m_up.n, nnx.Variable) and x_up is None
    assert int(model.n[...]) == 2


def test_part_of_a_module():
    w = nnx.DiffState(0, nnx.PathContains("w"))

    def backward(kept, g):
        (m_g,), out_g = g
        del m_g["b"], m_g["n"]
        m_g["w"][...] = out_g * 9
        return (m_g,)

    f = rule(lambda m: m.w * m.b, lambda f, m: (f(m), ()), backward, nondiff_argnums=(w,))
    grads = nnx.grad(f, argnums=w)(Model())
    assert list(grads) == ["w"] and float(grads.w[...]) == 9.0
    with pytest.raises(ValueError, match="`nondiff_argnums` cannot contain `DiffState` objects"):
        nnx.custom_vjp(lambda m: m, nondiff_argnums=(w,), graph=False)


@pytest.mark.parametrize(("graph", "graph_updates"), [(True, True), (True, False), (False, False)])
def test_fixed_arguments(graph, graph_updates):
    def f(kind, m, scale, state):
        assert kind == "double"
        state[...] += 1
        return m.w * scale * 2

    def backward(kind, scale, state, kept, g):
        assert kind == "double" and isinstance(state, nnx.BatchStat)
        out_g = g[1] if graph_updates else g
        m_g = nnx.state(kept) if graph_updates else nnx.clone(kept)
        m_g.w[...] = out_g * scale
        return (m_g,)

    options = {"graph": graph, "graph_updates": graph_updates}
    f = rule(
        f,
        lambda f, kind, m, scale, state: (f(kind, m, scale, state), m),
        backward,
        nondiff_argnums=(0, 2, -1),
        **options,
    )
    state = nnx.BatchStat(jnp.array(0.0))

    @jax.jit
    def slope(scale):
        state = nnx.BatchStat(jnp.array(0.0))
        run = nnx.grad(lambda m, s: f("double", m, scale, s), allow_int=True, **options)
        return run(Model(), state).w[...], state[...]

    assert [float(x) for x in slope(3.0)] == [3.0, 1.0]
    assert float(f("double", Model(), state=state, scale=1.0)) == 4.0 and float(state[...]) == 1.0


def test_later_uses_of_what_was_not_changed_count():
    f = rule(
        lambda m: m.w * 1,
        lambda f, m: (f(m), m),
        lambda kept, g: (g[0][0],),  # the function itself has slope 0
    )

    def loss(m):
        return f(m) + m.w * 4

    assert float(nnx.grad(loss)(Model()).w[...]) == 4.0


def test_as_a_method_and_under_transformations():
    class Own(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array(2.0))

        @nnx.custom_vjp(graph=False)
        @nnx.remat(graph=False)
        def run(self, x):
            return self.w * x

    def backward(kept, g):
        m_g = nnx.clone(kept)
        m_g.w[...] = g * 11
        return m_g, g

    Own.run.defvjp(lambda m, x: (Own.run(m, x), m), backward)
    grads = nnx.grad(lambda m, x: m.run(x), graph=False)
    assert float(nnx.jit(grads, graph=False)(Own(), 3.0).w[...]) == 11.0
    assert Own.run.__name__ == "run"


def test_mistakes():
    with pytest.raises(AttributeError, match="using defvjp"):
        nnx.custom_vjp(lambda m: m.w)(Model())
    with pytest.raises(NotImplementedError, match="symbolic"):
        nnx.custom_vjp(lambda m: m.w).defvjp(None, None, symbolic_zeros=True)
    with pytest.raises(ValueError, match="bound methods"):
        nnx.custom_vjp(Model().__repr__)
    for forward, backward, match in (
        (lambda f, m: f(m), lambda kept, g: (None,), "fwd of .* must return a pair"),
        (lambda f, m: (f(m), 1), lambda kept, g: g, "bwd of .* must return a tuple"),
        (lambda f, m: (f(m), 1), lambda kept, g: (1, 2), "of 2"),
        (lambda f, m: (f(m), 1), lambda kept, g: (nnx.State({}),), r"nothing at path \('b',\)"),
    ):
        f = rule(lambda m: m.w * 1, forward, backward, graph=False)
        with pytest.raises(TypeError, match=match):
            nnx.grad(f, graph=False, allow_int=True)(Model())
    v = nnx.Param(jnp.array(1.0))
    for options in ({}, {"nondiff_argnums": (1,)}):
        f = rule(lambda a, b: a * b, None, len, graph_updates=False, **options)
        with pytest.raises(ValueError, match="Duplicate"):
            f(v, v)
