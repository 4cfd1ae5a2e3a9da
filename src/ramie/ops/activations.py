"""Activation functions: those of JAX under one roof, and parametric ReLU.

Differs from `jax.nn`: `softmax` and `log_softmax` still accept the argument ``initial``.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import celu as celu
from jax.nn import elu as elu
from jax.nn import gelu as gelu
from jax.nn import glu as glu
from jax.nn import hard_sigmoid as hard_sigmoid
from jax.nn import hard_silu as hard_silu
from jax.nn import hard_swish as hard_swish
from jax.nn import hard_tanh as hard_tanh
from jax.nn import leaky_relu as leaky_relu
from jax.nn import log_sigmoid as log_sigmoid
from jax.nn import logsumexp as logsumexp
from jax.nn import one_hot as one_hot
from jax.nn import relu as relu
from jax.nn import relu6 as relu6
from jax.nn import selu as selu
from jax.nn import sigmoid as sigmoid
from jax.nn import silu as silu
from jax.nn import soft_sign as soft_sign
from jax.nn import softplus as softplus
from jax.nn import standardize as standardize
from jax.nn import swish as swish
from jax.numpy import tanh as tanh

from ramie.ops.eager.dispatch import eager_compiled
from ramie.ops.eager.meshes import laid_out
from ramie.ops.eager.proofs import numbers
from ramie.ops.moments import as_array
from ramie.typing import Array

normalize = standardize
"""The name `standardize` had before."""

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "normalize",
    "one_hot",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "standardize",
    "swish",
    "tanh",
]


def softmax(x: Any, axis: Any = -1, where: Any = None, initial: Any = None) -> Array:
    r"""Exponentiate and divide by the sum: :math:`\exp(x_i) / \sum_j \exp(x_j)`.

    Args:
      x: the input.
      axis: axis or axes that sum to one.
      where: entries that take part; the others become 0.
      initial: accepted for older code. It bounded the maximum that is subtracted for stability,
        which needs no bound any more.

    Returns:
      An array like `x`.
    """
    return jax.nn.softmax(x, axis, where)


def log_softmax(x: Any, axis: Any = -1, where: Any = None, initial: Any = None) -> Array:
    r"""Take the logarithm of `softmax` without computing the latter.

    Args:
      x: the input.
      axis: axis or axes over which the probabilities sum to one.
      where: entries that take part; the others become minus infinity.
      initial: accepted for older code, see `softmax`.

    Returns:
      An array like `x`.
    """
    return jax.nn.log_softmax(x, axis, where)


def _prelu_sample(dtype: Any) -> Any:
    return (numbers((4, 6), dtype), numbers((), dtype, 3)), {}


@laid_out()
@eager_compiled(sample=_prelu_sample)
def _prelu(x: Array, negative_slope: Array) -> Array:
    slope = lax.convert_element_type(negative_slope, x.dtype)
    return lax.select(lax.ge(x, np.zeros((), x.dtype)), x, lax.mul(slope, x))


def prelu(x: Any, negative_slope: Any) -> Array:
    """Leave positive entries, and multiply the others by a slope that is learnt.

    Args:
      x: the input, of any shape.
      negative_slope: a scalar; it is cast to the dtype of `x`.

    Returns:
      An array like `x`.

    Reference:
      He et al., "Delving Deep into Rectifiers".
    """
    x = as_array(x)
    return _prelu(x, jnp.asarray(negative_slope))
