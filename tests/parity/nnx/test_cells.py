"""Variables in array references and boxes: the same settings, kinds and values as in Flax."""

import jax
import jax.numpy as jnp
import pytest

flax = pytest.importorskip("flax")

from flax import nnx as theirs  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402

from ramie import nnx as ours  # noqa: E402

BOTH = (ours, theirs)


def _program(nnx, kind):
    v = nnx.Param(jnp.array([1.0, 2.0]), note="mine", **kind)
    plain = nnx.BatchStat(jnp.zeros(2))

    @jax.jit
    def step(v, x):
        v[...] = v * x
        v[0] = 7.0
        return v + 1

    results = [step(v, jnp.array(2.0)), v[...]]
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
