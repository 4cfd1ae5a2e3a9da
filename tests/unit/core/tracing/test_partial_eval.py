"""Functions with arguments given by shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact

from ramie import errors
from ramie.core.tracing import partial_eval

UNKNOWN = jax.ShapeDtypeStruct((4, 3), jnp.float32)


def test_what_does_not_need_the_values_is_computed():
    lazy = partial_eval.lazy_init(lambda x, scale: {"w": jnp.ones(x.shape[-1]) * scale})
    assert_exact(lazy(UNKNOWN, scale=jnp.float32(2))["w"], np.full(3, 2, np.float32))


def test_what_needs_them_is_refused():
    with pytest.raises(errors.LazyInitError):
        partial_eval.lazy_init(jnp.sum)(UNKNOWN)
