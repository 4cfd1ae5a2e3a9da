"""Models changed in place."""

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx


def _model():
    return nnx.Dict(
        a=nnx.Param(jnp.ones(2)),
        b=nnx.Dict(c=nnx.BatchStat(jnp.zeros(1)), d=3),
        l=nnx.List([nnx.Param(jnp.zeros(1)), "s"]),
        x=jnp.arange(3),
    )


def test_update_changes_in_place():
    model = _model()
    kept = model.a
    nnx.update(model, {"a": jnp.zeros(2), "b": {"c": jnp.ones(1)}}, {"l": {0: 7}, "x": jnp.ones(3)})
    assert model.a is kept and kept[...].sum() == 0 and model.b.c[...].sum() == 1
    assert model.l[0].get_value() == 7 and model.x.sum() == 3
    nnx.update(model, nnx.State({"b": {"d": 4, "new": nnx.Param(1)}}))
    assert model.b.d == 4 and isinstance(model.b.new, nnx.Param)
    nnx.update(model, nnx.to_flat_state(nnx.state(_model(), nnx.Param)))
    assert kept[...].sum() == 2
    nnx.update(model, nnx.State({"a": nnx.Param(jnp.ones(2), note=1)}))
    assert model.a is kept and kept.note == 1
    with pytest.raises(ValueError, match="entries of its own"):
        nnx.update(nnx.Dict(a=nnx.Dict(b=1)), 3)
    with pytest.raises(ValueError, match="cannot be changed"):
        nnx.update((1, 2), {0: 3})


def test_update_checks_the_trace_level():
    model = _model()

    @jax.jit
    def f(x):
        with pytest.raises(errors.TraceContextError):
            nnx.update(model, {"a": x})
        return x

    f(jnp.zeros(2))


def test_pop_removes_and_returns():
    model = _model()
    params = nnx.pop({"m": nnx.Dict(a=model.a, b=model.b)}, nnx.BatchStat)
    assert params.flat_state().paths == (("m", "b", "c"),) and "c" not in model.b
    with pytest.raises(ValueError, match="at least one filter"):
        nnx.pop(model)
    with pytest.raises(ValueError, match="Cannot pop key 0"):
        nnx.pop(model.l, nnx.Param)
