import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramie.ops.dtypes import canonicalize_dtype, promote_dtype

HALF = jnp.ones(2, jnp.bfloat16)
SINGLE = jnp.ones(2, jnp.float32)
INTEGER = jnp.ones(2, jnp.int8)
WEAK = jnp.asarray(2.0)


@pytest.mark.parametrize(
    ("args", "inexact", "expected"),
    [
        ((SINGLE,), True, jnp.float32),
        ((HALF, HALF), True, jnp.bfloat16),
        ((HALF, None, SINGLE), True, jnp.float32),
        ((INTEGER,), True, jnp.float32),
        ((INTEGER,), False, jnp.int8),
        ((INTEGER, HALF), True, jnp.bfloat16),
        ((1.0, HALF), True, jnp.bfloat16),
        ((WEAK, HALF), True, jnp.bfloat16),
        ((WEAK,), True, jnp.float32),
        ((True,), False, jnp.bool_),
        ((1j,), True, jnp.complex64),
        ((np.ones(2), SINGLE), True, jnp.float32),
        (([1, 2], HALF), True, jnp.bfloat16),
    ],
)
def test_arguments_are_brought_to_their_common_dtype(args, inexact, expected):
    assert canonicalize_dtype(*args, inexact=inexact) == expected
    promoted = promote_dtype(*args, inexact=inexact)
    assert len(promoted) == len(args)
    for before, after in zip(args, promoted, strict=True):
        if before is None:
            assert after is None
        else:
            assert after.dtype == expected
            assert not after.weak_type


@pytest.mark.parametrize("dtype", [jnp.float16, "float16", np.dtype("float16")])
def test_a_given_dtype_is_used_as_it_is_spelled(dtype):
    assert canonicalize_dtype(SINGLE, dtype=dtype) is dtype
    assert promote_dtype(SINGLE, 1.0, dtype=dtype)[1].dtype == jnp.float16


def test_arrays_that_need_nothing_are_not_touched():
    x, nothing, y = promote_dtype(SINGLE, None, SINGLE, dtype=jnp.float32)
    assert x is SINGLE and y is SINGLE and nothing is None


def test_tracers_that_need_nothing_add_no_equation():
    jaxpr = jax.make_jaxpr(lambda x, y: promote_dtype(x, y, dtype=jnp.float32))(SINGLE, SINGLE)
    assert not jaxpr.eqns


def test_wide_arrays_stay_wide_where_jax_has_them():
    with jax.enable_x64(True):
        assert promote_dtype(jnp.ones(2, jnp.float64))[0].dtype == jnp.float64
        assert canonicalize_dtype(jnp.ones(2, jnp.int64)) == jnp.float32


def test_integers_are_refused_where_fractions_are_needed():
    with pytest.raises(ValueError, match=r"int32.*floating"):
        promote_dtype(SINGLE, dtype=jnp.int32)
    assert promote_dtype(SINGLE, dtype=jnp.int32, inexact=False)[0].dtype == jnp.int32


def test_nothing_has_no_dtype():
    with pytest.raises(ValueError, match="at least one"):
        canonicalize_dtype(None)
