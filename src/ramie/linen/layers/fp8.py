"""Products in fp8, as layers that hold scales and histories: for ``dot_general_cls``."""

import warnings
from functools import partial
from typing import Any

import jax.numpy as jnp

from ramie.linen.layers.linear import place
from ramie.linen.module import Module
from ramie.ops import fp8
from ramie.typing import Array, Dtype

__all__ = [
    "Fp8DirectDotGeneralOp",
    "Fp8DotGeneral",
    "Fp8DotGeneralBase",
    "Fp8DotGeneralOp",
    "Fp8Einsum",
    "NANOOFp8DotGeneralOp",
]


def _scale() -> Array:
    return jnp.ones((1,), jnp.float32)


class Fp8DotGeneralBase(Module):
    """A scale and a history of maxima for input, kernel and gradient of the output.

    They are float32 variables of the collection ``_overwrite_with_gradient``: a training loop
    replaces them by their gradients, as `ramie.training.train_state.TrainState` does.

    Attributes:
      amax_history_length: how many steps a history remembers.
      e4m3_dtype: the format for input and kernel.
      e5m2_dtype: the format for gradients.
    """

    amax_history_length: int = 1024
    e4m3_dtype: Dtype = jnp.float8_e4m3fn
    e5m2_dtype: Dtype = jnp.float8_e5m2

    def setup(self) -> None:
        """Define scales and histories.

        Raises:
          ValueError: if a history would hold nothing.
        """
        length = self.amax_history_length
        if length < 1:
            raise ValueError(
                f"{place(self)}: a history of amax_history_length={length} steps remembers no "
                "maximum; it takes one step or more."
            )
        history = partial(jnp.zeros, (length,), jnp.float32)
        collection = fp8.OVERWRITE_WITH_GRADIENT
        self.input_amax_history = self.variable(collection, "input_amax_history", history)
        self.kernel_amax_history = self.variable(collection, "kernel_amax_history", history)
        self.output_grad_amax_history = self.variable(
            collection, "output_grad_amax_history", history
        )
        self.input_scale = self.variable(collection, "input_scale", _scale)
        self.kernel_scale = self.variable(collection, "kernel_scale", _scale)
        self.output_grad_scale = self.variable(collection, "output_grad_scale", _scale)


def _factors(module: Module, args: tuple[Any, ...]) -> tuple[Array, Array, Any]:
    """Return both factors in the dtype of the second, and the dimension numbers."""
    if len(args) != 3:
        raise ValueError(
            f"{place(module)} is called like jax.lax.dot_general, with two arrays and their "
            f"dimension numbers by position, but got {len(args)} positional arguments."
        )
    inputs, kernel, dimension_numbers = args
    kernel = jnp.asarray(kernel)
    return jnp.asarray(inputs, kernel.dtype), kernel, dimension_numbers


def _meta(module: Any) -> dict[str, Array]:
    return {
        "lhs_scale": module.input_scale.value,
        "rhs_scale": module.kernel_scale.value,
        "grad_scale": module.output_grad_scale.value,
        "lhs_amax_history": module.input_amax_history.value,
        "rhs_amax_history": module.kernel_amax_history.value,
        "grad_amax_history": module.output_grad_amax_history.value,
    }


class Fp8DirectDotGeneralOp(Fp8DotGeneralBase):
    """A `jax.lax.dot_general` on factors in fp8; also called ``Fp8DotGeneral``.

    Variables: see `Fp8DotGeneralBase`. The formats are always e4m3fn and e5m2, whatever the fields
    say, as in Flax.

    Attributes:
      amax_history_length: how many steps a history remembers.
      e4m3_dtype: of no effect.
      e5m2_dtype: of no effect.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Dense(16, dot_general_cls=nn.Fp8DotGeneral)
      >>> variables = layer.init(jax.random.key(0), jax.numpy.ones((2, 8)))
      >>> sorted(variables), sorted(variables["_overwrite_with_gradient"])
      (['_overwrite_with_gradient', 'params'], ['Fp8DirectDotGeneralOp_0'])
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Array:
        """Multiply.

        Args:
          *args: both factors and their dimension numbers. The first factor and the result take the
            dtype of the second.
          **kwargs: of no effect; there so that this can be called like `jax.lax.dot_general`.

        Raises:
          ValueError: if the arguments are not these three.
        """
        inputs, kernel, dimension_numbers = _factors(self, args)
        return fp8.fp8_scaled_dot_general(
            inputs,
            kernel,
            dimension_numbers,
            preferred_element_type=inputs.dtype,
            **_meta(self),
        )


Fp8DotGeneral = Fp8DirectDotGeneralOp


class Fp8DotGeneralOp(Fp8DotGeneralBase):
    """A `jax.lax.dot_general` on factors that are rounded to fp8 and back.

    XLA turns the pattern into a product on fp8 hardware where there is any. Constructing one warns
    that `Fp8DirectDotGeneralOp`, which does not depend on that, replaces it.

    Variables: see `Fp8DotGeneralBase`.

    Attributes:
      amax_history_length: how many steps a history remembers.
      e4m3_dtype: the format for input and kernel.
      e5m2_dtype: the format for gradients.
    """

    def __post_init__(self) -> None:
        """Warn that there is something better, except in subclasses."""
        super().__post_init__()
        if type(self) is Fp8DotGeneralOp:
            warnings.warn(
                "The Fp8DotGeneralOp is deprecated. Use Fp8DirectDotGeneralOp or Fp8Einsum "
                "instead.",
                DeprecationWarning,
                stacklevel=2,
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Array:
        """Multiply; arguments, result and errors are those of `Fp8DirectDotGeneralOp`."""
        inputs, kernel, dimension_numbers = _factors(self, args)
        dtype = kernel.dtype
        meta = _meta(self)
        inputs = fp8.in_qdq(
            dtype, self.e4m3_dtype, inputs, meta["lhs_scale"], meta["lhs_amax_history"]
        )
        kernel = fp8.in_qdq(
            dtype, self.e4m3_dtype, kernel, meta["rhs_scale"], meta["rhs_amax_history"]
        )
        out = fp8.dot_general_with_precision(inputs, kernel, dimension_numbers)
        return fp8.out_qdq(
            dtype, self.e5m2_dtype, out, meta["grad_scale"], meta["grad_amax_history"]
        )


class NANOOFp8DotGeneralOp(Fp8DotGeneralOp):
    """`Fp8DotGeneralOp` in the formats of AMD's MI300: no infinity, no negative zero.

    Attributes:
      amax_history_length: how many steps a history remembers.
      e4m3_dtype: the format for input and kernel.
      e5m2_dtype: the format for gradients.
    """

    e4m3_dtype: Dtype = jnp.float8_e4m3fnuz
    e5m2_dtype: Dtype = jnp.float8_e5m2fnuz


class Fp8Einsum(Fp8DotGeneralBase):
    """A `jax.numpy.einsum` of two operands in fp8.

    Variables: see `Fp8DotGeneralBase`. The formats are always e4m3fn and e5m2, whatever the fields
    say, as in Flax.

    Attributes:
      amax_history_length: how many steps a history remembers.
      e4m3_dtype: of no effect.
      e5m2_dtype: of no effect.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x, kernel = jax.numpy.ones((2, 16)), jax.numpy.ones((16, 32))
      >>> y, _ = nn.Fp8Einsum().init_with_output(jax.random.key(0), "bi,io->bo", x, kernel)
      >>> y.shape, float(y[0, 0])
      ((2, 32), 16.0)
    """

    def __call__(
        self,
        eqn: str,
        lhs: Array,
        rhs: Array,
        precision: Any = None,
        preferred_element_type: Dtype | None = None,
    ) -> Array:
        """Evaluate the einsum.

        Args:
          eqn: the equation.
          lhs: the first operand; it takes the dtype of the second.
          rhs: the second operand.
          precision: of no effect; given one, this warns.
          preferred_element_type: the dtype of the result; by default that of the operands.
        """
        rhs = jnp.asarray(rhs)
        lhs = jnp.asarray(lhs, rhs.dtype)
        if preferred_element_type is None:
            preferred_element_type = rhs.dtype
        return fp8.fp8_scaled_einsum(
            eqn,
            lhs,
            rhs,
            precision=precision,
            preferred_element_type=preferred_element_type,
            **_meta(self),
        )
