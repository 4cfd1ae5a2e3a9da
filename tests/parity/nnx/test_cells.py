"""Variables in array references and boxes: the same settings, kinds and values as in Flax."""

import jax
import jax.numpy as jnp
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402
from ramie.core.tracing.trace import has_boxes  # noqa: E402

BOTH = (ours, theirs)


def _program(nnx, kind):
    v = nnx.Param(jnp.array([1.0, 2.0]), note="mine", **kind)
    plain = nnx.BatchStat(jnp.zeros(2))

    def step(v, x):
        v[...] = v * x
        v[0] = 7.0
        return v + 1

    is_in_cell = "ref" in kind or has_boxes()  # else the same outside, see below
    results = [(jax.jit(step) if is_in_cell else step)(v, jnp.array(2.0)), v[...]]
    nnx.update({"v": v}, {"v": jnp.array([3.0, 4.0])})
    results += [v[...], v.copy()[...], nnx.to_pure_dict(nnx.state({"v": v}))["v"]]
    v.update_from_state(nnx.Param(jnp.ones(2), other=1))
    converted = nnx.with_vars([v, plain], **kind)
    facts = [
        (x.hijax, x.ref, x.type.__name__, type(x).__name__, sorted(x.get_metadata().items()))
        for x in (v, *converted)
    ]
    return [*results, v[...]], [*facts, *map(repr, converted[1:])]


@pytest.mark.parametrize("kind", [{"ref": True}, {"hijax": True}], ids=["ref", "hijax"])
def test_programs_give_the_same(kind):
    (mine, facts), (other, reference) = (_program(nnx, kind) for nnx in BOTH)
    for x, y in zip(mine, other, strict=True):
        assert_exact(x, y)
    assert facts == reference


def test_defaults_print_and_convert_the_same():
    def program(nnx):
        with nnx.var_defaults(hijax=True):
            names = [type(nnx.Variable(1)).__name__, type(nnx.Rngs(0).default.count).__name__]
            return [*names, repr(nnx.var_defaults()), dict(nnx.var_defaults())]

    assert program(ours) == program(theirs)


def _store(v):
    v[...] = v + 1.0


# JAX 0.10 has boxes for such variables, which any function may change; JAX 0.12 has none.
UPDATES = {
    "outside": lambda nnx, v: _store(v),
    "jit": lambda nnx, v: jax.jit(_store)(v),
    "jit, from around": lambda nnx, v: jax.jit(lambda: _store(v))(),
    "a model": lambda nnx, v: jax.jit(lambda model: _store(model.v))(nnx.Dict(v=v)),
    "grad": lambda nnx, v: jax.grad(lambda x: (_store(v), x)[1])(1.0),
    "scan": lambda nnx, v: jax.lax.scan(lambda c, _: (_store(v), None), None, None, length=2),
    "cond": lambda nnx, v: jax.lax.cond(True, lambda: _store(v), lambda: None),
    "set_value": lambda nnx, v: jax.jit(lambda v: v.set_value(v.get_value() + 1))(v),
}


@pytest.mark.parametrize("name", UPDATES)
def test_updates_are_made_or_refused_as_in_flax(name):
    def outcome(nnx):
        v = nnx.Param(jnp.array(3.0), hijax=True)
        try:
            UPDATES[name](nnx, v)
        except Exception as error:
            said = str(error)
            return type(error).__name__, said.partition(" inside")[0], "ref=True" in said, v[...]
        return v[...]

    mine = outcome(ours)
    assert mine == outcome(theirs)
    assert isinstance(mine, tuple) == (name != "outside" and not has_boxes())


READERS = {
    "jit": lambda nnx, v: jax.jit(lambda v: v[...] * 2)(v),
    "a model": lambda nnx, v: jax.jit(lambda model: model.v[...] * 2)(nnx.Dict(v=v)),
    "from around": lambda nnx, v: jax.grad(lambda x: v[...] * x)(2.0),
    "scan": lambda nnx, v: jax.lax.scan(lambda c, _: (c + v[...], None), 0.0, None, length=3)[0],
    "cond": lambda nnx, v: jax.lax.cond(True, lambda v: v[...], lambda v: -v[...], v),
    "while": lambda nnx, v: jax.lax.while_loop(lambda c: c < 10, lambda c: c + v[...], 0.0),
    "made inside": lambda nnx, v: jax.jit(lambda x: nnx.Param(x, hijax=True)[...] + 1)(1.0),
    "copy": lambda nnx, v: jax.jit(lambda v: v.copy()[...])(v),
    "plain": lambda nnx, v: jax.jit(lambda v: nnx.with_vars(v, hijax=False))(v)[...],
}


@pytest.mark.parametrize("name", READERS)
def test_values_are_read_under_the_same_transformations(name):
    mine, other = (READERS[name](nnx, nnx.Param(jnp.array(3.0), hijax=True)) for nnx in BOTH)
    assert_exact(mine, other)


# With boxes, Flax and Ramie refuse these alike.
WITHOUT_BOXES = {
    "grad": lambda nnx, v: jax.grad(lambda v: v[...] ** 2)(v),
    "jit of grad": lambda nnx, v: jax.jit(jax.grad(lambda v: v[...] ** 2))(v),
    "grad of a model": lambda nnx, v: nnx.grad(lambda m: m.v[...] ** 2)(nnx.Dict(v=v))["v"],
    "grad of a new one": lambda nnx, v: jax.grad(lambda x: nnx.Param(x, hijax=True)[...] ** 2)(3.0),
    "output": lambda nnx, v: jax.jit(lambda v: v)(v),
    "new output": lambda nnx, v: jax.jit(lambda x: nnx.Param(x, hijax=True))(1.0),
    "carry": lambda nnx, v: jax.lax.scan(lambda v, _: (v, None), v, None, length=2)[0],
}


@pytest.mark.parametrize("name", WITHOUT_BOXES)
def test_without_boxes_variables_are_differentiated_and_returned(name):
    def outcome(nnx):
        return WITHOUT_BOXES[name](nnx, nnx.Param(jnp.array(3.0), hijax=True, note="mine"))

    if has_boxes():
        for nnx in BOTH:
            with pytest.raises(Exception, match=r"\S"):  # each in its own words, or those of JAX
                outcome(nnx)
        return
    mine, other = outcome(ours), outcome(theirs)
    assert type(mine).__name__ == type(other).__name__
    if isinstance(mine, ours.Variable):
        assert mine.get_metadata() == other.get_metadata()
        mine, other = mine[...], other[...]
    assert_exact(mine, other)
