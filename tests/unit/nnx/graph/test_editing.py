"""Models changed in place."""

import jax.numpy as jnp
import pytest

from ramie import nnx


def _model():
    return nnx.Dict(
        a=nnx.Param(jnp.ones(2)),
        b=nnx.Dict(c=nnx.BatchStat(jnp.zeros(1)), d=3),
        l=nnx.List([nnx.Param(jnp.zeros(1)), "s"]),
        x=jnp.arange(3),
    )


def test_pop_removes_and_returns():
    model = _model()
    params = nnx.pop({"m": nnx.Dict(a=model.a, b=model.b)}, nnx.BatchStat)
    assert params.flat_state().paths == (("m", "b", "c"),) and "c" not in model.b
    with pytest.raises(ValueError, match="at least one filter"):
        nnx.pop(model)
    with pytest.raises(ValueError, match="Cannot pop key 0"):
        nnx.pop(model.l, nnx.Param)
