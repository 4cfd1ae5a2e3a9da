"""Derivatives, branches and loops: values, changed states and kinds of errors as in Flax."""

import inspect

import jax
import jax.numpy as jnp
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

MODES = {
    "updates": {"graph": True, "graph_updates": True},
    "graph": {"graph": True, "graph_updates": False},
    "tree": {"graph": False, "graph_updates": False},
}
FUNCTIONAL = ("graph", "tree")


def _model(nnx):
    class Model(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(jnp.array([0.5, 2.0]))
            self.b = nnx.BatchStat(jnp.array(3.0))
            self.n = nnx.Variable(jnp.array(1.0))
            self.name = "model"

    return Model()


def _plain(nnx, x):
    """Return kinds and values in a result, the same for both libraries."""
    if isinstance(x, nnx.Variable):
        return (type(x).__name__, _plain(nnx, x.get_value()))
    if isinstance(x, nnx.Module):
        return (type(x).__name__, _plain(nnx, nnx.state(x)))
    if isinstance(x, nnx.State):
        return ("State", {k: _plain(nnx, v) for k, v in sorted(nnx.to_flat_state(x))})
    if isinstance(x, dict):
        return {k: _plain(nnx, v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(nnx, y) for y in x]
    return jax.random.key_data(x) if hasattr(x, "dtype") and x.dtype.name == "key<fry>" else x


def _loss(m, x):
    m.b[...] = m.b * 2 + x
    return jnp.sum(jnp.sin(m.w * x)) * m.n


def _grad(nnx, options):
    m = _model(nnx)
    return nnx.grad(_loss, argnums=(1, 0), **options)(m, 0.3), m


def _grad_by_name(nnx, options):
    """Flax resolves names in this mode only."""
    return [
        nnx.grad(lambda m, x: jnp.sum(m.w * x), argnums=argnums, **options)(
            x=jnp.array(0.3), m=_model(nnx)
        )
        for argnums in (0, 1, (0, 1), (1,), -1)
    ]


def _value_and_grad_aux(nnx, options):
    m = _model(nnx)
    run = nnx.value_and_grad(lambda m: (_loss(m, 2.0), {"b": m.b + 1}), has_aux=True, **options)
    return run(m), m


def _grad_containers(nnx, options):
    def f(pair):
        return pair["m"].w.sum() * pair["v"][0] * pair["x"]

    tree = {"m": _model(nnx), "v": [nnx.BatchStat(jnp.array(4.0))], "x": 2.0}
    return nnx.grad(f, **options)(tree)


def _grad_shared(nnx, options):
    p = nnx.Param(jnp.array(3.0))
    return nnx.grad(lambda a, b: a * b[0], argnums=(0, 1), **options)(p, [p])


def _diff_state(nnx, options):
    wrt = nnx.DiffState(0, (nnx.BatchStat, nnx.PathContains("w")))
    return nnx.grad(lambda m: m.w.sum() * m.b, argnums=wrt, **options)(_model(nnx))


def _vjp(nnx, options):
    m = _model(nnx)
    out, pull, aux = nnx.vjp(lambda m, x: (_loss(m, x), x), m, 0.7, has_aux=True, **options)
    return out, pull(jnp.array(2.0)), aux, m


def _jvp(nnx, options):
    m = _model(nnx)
    tangents = (jax.tree.map(jnp.ones_like, m), 1.0)
    return nnx.jvp(lambda m, x: nnx.Param(_loss(m, x)), (m, 0.7), tangents, **options), m


def _remat(nnx, options):
    @nnx.remat(static_argnums=(2,), **options)
    def f(m, x, is_loss):
        return _loss(m, x) if is_loss else x

    m = _model(nnx)
    return nnx.value_and_grad(lambda m: f(m, 0.3, True), **options)(m), m


def _custom_vjp(nnx, options):
    @nnx.custom_vjp(**options)
    def f(m, x):
        m.b[...] *= 2
        return m.w.sum() * x

    def bwd(kept, g):
        m, x = kept
        if options["graph_updates"]:
            (m_g, _), g = g
        else:
            m_g = nnx.clone(m)
        m_g.w[...] = jnp.full(2, g * x)
        return m_g, g * 10

    f.defvjp(lambda m, x: (f(m, x), (m, x)), bwd)
    m = _model(nnx)
    return nnx.grad(lambda m, x: f(m, x) * 3, argnums=(0, 1), **options)(m, 5.0), m


def _cond(nnx, options):
    def first(m, x):
        m.b[...] += x
        return {"out": nnx.Param(m.w + x)}

    def second(m, x):
        m.w[...] = m.w * x
        return {"out": nnx.Param(m.w - x)}

    m = _model(nnx)
    return [nnx.cond(pred, first, second, m, 0.3, **options) for pred in (True, False)], m


def _switch(nnx, options):
    m = _model(nnx)
    branches = [lambda m: m.b.set_value(m.b * 3), lambda m: m.n.set_value(m.n + m.b)]
    return [nnx.switch(i, branches, m, **options) for i in (-1, 0, 1, 5)], m


def _while_loop(nnx, options):
    def body(carry):
        m, x, i = carry
        m.w[...] = jnp.cos(m.w) * x
        return m, x + m.b, i + 1

    m = _model(nnx)
    return nnx.while_loop(lambda carry: carry[2] < 3, body, (m, 0.1, 0), **options), m


def _fori_loop_of_new_objects(nnx, options):
    def body(i, carry):
        m, v, state = carry
        other = nnx.clone(m)
        other.b[...] = other.b * 2
        return other, nnx.Param(v + m.b), jax.tree.map(lambda x: x * 3, state)

    m, v, state = _model(nnx), nnx.Param(jnp.array(0.0)), nnx.state(_model(nnx))
    return nnx.fori_loop(0, 3, body, (m, v, state), **options), m, v, state


def _fori_loop(nnx, options):
    def body(i, m):
        m.b[...] = m.b * i
        return m

    m = _model(nnx)
    return nnx.fori_loop(1, 4, body, m, **options), m


CASES = [
    *((_, "updates") for _ in (_diff_state, _grad_by_name, _fori_loop_of_new_objects)),
    *((_, mode) for _ in (_grad_shared,) for mode in ("updates", "graph")),
    *((_, mode) for _ in (_vjp, _jvp) for mode in FUNCTIONAL),
    *(
        (_, mode)
        for _ in (
            _grad,
            _value_and_grad_aux,
            _grad_containers,
            _remat,
            _custom_vjp,
            _cond,
            _switch,
            _while_loop,
            _fori_loop,
        )
        for mode in MODES
    ),
]


@pytest.mark.parametrize(("run", "mode"), CASES, ids=lambda x: getattr(x, "__name__", x))
def test_values_and_states(run, mode):
    mine, other = (_plain(nnx, run(nnx, MODES[mode])) for nnx in (ours, theirs))
    jax.tree.map(lambda x, y: x == y if isinstance(x, str) else assert_exact(x, y), mine, other)
    strings = [x for x in jax.tree.leaves(mine) if isinstance(x, str)]
    assert strings == [x for x in jax.tree.leaves(other) if isinstance(x, str)]


def _aliased(nnx, options):
    p = nnx.Param(jnp.array(3.0))
    nnx.grad(lambda a, b: a * b, **options)(p, p)


def _bad_carry(nnx, options):
    def body(carry):
        return carry[0] + 1, nnx.clone(carry[1])

    nnx.while_loop(lambda carry: carry[0] < 2, body, (0, _model(nnx)), **options)


def _bad_branches(nnx, options):
    nnx.cond(True, lambda m: (1, 2), lambda m: 1, _model(nnx), **options)


MISTAKES = {
    "aliased": _aliased,
    "carry": _bad_carry,
    "branches": _bad_branches,
    "few": lambda nnx, options: nnx.grad(lambda x: x, argnums=1, **options)(1.0),
    "integer": lambda nnx, options: nnx.grad(lambda x: x * 1.0, **options)(1),
    "vector": lambda nnx, options: nnx.grad(lambda x: x, **options)(jnp.ones(2)),
    "bound": lambda nnx, options: nnx.remat(_model(nnx).__repr__, **options),
    "tangents": lambda nnx, options: nnx.jvp(jnp.sin, (1.0,), (), **options),
    "reduce_axes": lambda nnx, options: nnx.grad(jnp.sin, reduce_axes=("a",), **options),
    "jaxpr": lambda nnx, options: nnx.make_jaxpr(jnp.sin, **options)("text"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_classes_of_errors(mistake, mode):
    raised = []
    for nnx in (ours, theirs):
        with pytest.raises(Exception) as caught:
            MISTAKES[mistake](nnx, MODES[mode])
        raised.append(caught.type.__name__)
    assert raised[0] == raised[1]


@pytest.mark.parametrize(
    "name",
    [
        "grad",
        "value_and_grad",
        "vjp",
        "jvp",
        "custom_vjp",
        "remat",
        "cond",
        "switch",
        "while_loop",
        "fori_loop",
        "checkify",
        "eval_shape",
        "make_jaxpr",
        "DiffState",
    ],
)
def test_signatures(name):
    def parameters(nnx):
        found = inspect.signature(getattr(nnx, name)).parameters.values()
        return [(p.name, p.kind, p.default is p.empty) for p in found]

    assert parameters(ours) == parameters(theirs)
