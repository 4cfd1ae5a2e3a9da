"""Copies of models whose variables keep their values elsewhere."""

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx


def _model():
    return nnx.Dict(a=nnx.Param(jnp.array(1)), b=nnx.Dict(c=nnx.BatchStat(jnp.array(2))))


def test_chosen_variables_are_converted_and_others_stay():
    model = _model()
    refs = nnx.with_vars(model, ref=True, only=nnx.Param)
    assert refs is not model and refs.a.ref and refs.a is not model.a
    assert refs.b.c is model.b.c
    both = nnx.with_vars(refs, ref=True)
    assert both.a is refs.a and both.b.c.ref
    back = nnx.with_vars(both, ref=False)
    assert not isinstance(back.a.get_raw_value(), jax.Ref)


def test_containers_and_states_are_converted_too():
    items = nnx.with_vars([nnx.Variable(1.0), nnx.Variable(2.0)], ref=True, only=lambda p, x: p[0])
    assert [v.ref for v in items] == [False, True]
    state = nnx.with_vars(nnx.state(_model()), hijax=True)
    assert isinstance(state, nnx.State) and state.b.c.hijax
    assert nnx.with_vars(nnx.Param(1), hijax=True).hijax


def test_shared_variables_are_refused_unless_allowed():
    shared = nnx.Param(jnp.array(1))
    model = nnx.Dict(a=shared, b=nnx.Dict(c=shared))
    with pytest.raises(ValueError, match=r"Found duplicate at paths:\n  - a\n  - b/c\n"):
        nnx.with_vars(model, ref=True)
    block = nnx.Dict(x=nnx.Param(jnp.array(1)))
    with pytest.raises(ValueError, match=r"duplicate at paths:\n  - p\n  - q\n"):
        nnx.with_vars(nnx.Dict(p=block, q=block), ref=True)
    assert nnx.with_vars(model, ref=False).a is shared  # nothing to change
    both = nnx.with_vars(model, ref=True, allow_duplicates=True)
    assert both.a is both.b.c and both.a.ref


def test_former_names_and_settings():
    with pytest.warns(DeprecationWarning, match="use with_vars"):
        assert nnx.vars_as(_model(), ref=True).a.ref
    with pytest.raises(ValueError, match=r"No variable here has a setting `mutable`.*hijax=True"):
        nnx.with_vars(_model(), mutable=True)


def test_variables_of_high_level_types_become_fixed_and_back():
    model = nnx.with_vars(_model(), hijax=True, ref=True, only=nnx.Param)
    fixed = nnx.with_vars(model, mutable=False)
    assert fixed.b.c is model.b.c  # a plain one has no such setting
    assert fixed.a.hijax and not fixed.a.ref and not fixed.a.mutable and model.a.mutable
    assert isinstance(fixed.a.get_raw_value(), jax.Array)
    with pytest.raises(errors.ImmutableVariableError, match="mutable=True"):
        fixed.a[...] = jnp.array(3)
    back = nnx.with_vars(fixed, is_mutable=True)
    assert back.a.ref and back.a.mutable and back.a.get_metadata() == model.a.get_metadata()
    back.a[...] += 1
    assert (int(back.a[...]), int(model.a[...])) == (2, 1)
    plain = nnx.with_vars(fixed, hijax=False, ref=False)
    assert plain.a.get_metadata() == {"hijax": False, "ref": False, "eager_sharding": True}
    nnx.update(model, nnx.state(fixed))
    assert model.a.mutable and model.a.ref
