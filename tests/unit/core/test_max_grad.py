"""The element type whose gradients are joined by maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tests.tolerance import assert_exact

from ramie.core.max_grad import MAX_GRAD_FLOAT32, MaxGradDType, MaxGradRules, MaxGradScalar


def _there(x):
    return lax.convert_element_type(x, MAX_GRAD_FLOAT32)


def _back(x):
    return lax.convert_element_type(x, jnp.float32)


def test_conversions_are_exact_and_go_through_the_stored_dtype_only():
    x = jnp.array([1.5, -2.0])
    assert_exact(_back(_there(x)), x)
    assert_exact(jax.jit(lambda x: _back(_there(x)))(x), x)
    with pytest.raises(ValueError, match="bfloat16"):
        _there(x.astype(jnp.bfloat16))


def test_filling_and_joining():
    joined = MaxGradRules.add(MAX_GRAD_FLOAT32, _there(jnp.array([1.0, 5.0])), _there(jnp.ones(2)))
    assert_exact(_back(joined), np.float32([1, 5]))
    assert_exact(_back(MaxGradRules.full((2,), 3.0, MAX_GRAD_FLOAT32)), np.float32([3, 3]))
    assert_exact(_back(MaxGradRules.zero(MAX_GRAD_FLOAT32)), np.float32(-np.inf))
    assert MaxGradRules.tangent_dtype(MAX_GRAD_FLOAT32) is MAX_GRAD_FLOAT32


def test_gradients_of_several_uses():
    @jax.custom_vjp
    def use(x, meta):
        return x

    # The "gradient" for the second argument is the first one.
    use.defvjp(lambda x, meta: (x, x), lambda x, g: (g, _there(x[None])))

    def thrice(meta):
        meta = _there(meta)
        return sum(use(jnp.float32(value), meta) for value in (2.0, 7.0, 3.0))

    grad = jax.jit(jax.grad(thrice))
    assert_exact(grad(jnp.zeros(1)), np.float32([7]))


def test_identity():
    assert MaxGradDType(jnp.float32) == MAX_GRAD_FLOAT32
    assert hash(MaxGradDType(jnp.float32)) == hash(MAX_GRAD_FLOAT32)
    assert repr(MAX_GRAD_FLOAT32) == "fp8_meta32"
    assert jnp.issubdtype(MAX_GRAD_FLOAT32, MaxGradScalar)
