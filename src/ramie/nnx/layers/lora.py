"""Low-rank adaptation: LoRA and LoRALinear."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.linear import Linear
from ramie.nnx.layers.parameters import NO_METADATA, an_instance, keep, new_param, raw
from ramie.nnx.modules.module import Module
from ramie.nnx.modules.places import inputs_of
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.variable.base import A, Variable
from ramie.nnx.variable.kinds import Param
from ramie.ops import initializers, linear
from ramie.typing import Array, Dtype, Initializer, PromoteDtypeFn

__all__ = ["LoRA", "LoRALinear", "LoRAParam"]

default_a_initializer: Initializer = initializers.he_uniform()
default_b_initializer: Initializer = initializers.zeros


class LoRAParam(Param[A]):
    """A factor of a low-rank update; a kind of its own, so that an optimizer can train it alone."""

    __slots__ = ()


class LoRA(Module):
    """A product of two thin matrices, ``x @ lora_a @ lora_b``, on top of another module or alone.

    Parameters: ``lora_a [in_features, lora_rank]`` and ``lora_b [lora_rank, out_features]``. The
    second begins at zero, so a wrapped module at first computes what it did before.

    Args:
      in_features: the size of the last axis of the input.
      lora_rank: the size between the two matrices.
      out_features: the size of the last axis of the result.
      base_module: what the product is added to: a module, or anything that is called like one.
      dtype: the dtype to compute in; by default what input and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      a_initializer: initializer of the first matrix.
      b_initializer: initializer of the second.
      lora_param_type: the kind of both.
      promote_dtype: brings input and matrices to one dtype.
      rngs: the keys for the parameters.
      a_metadata: metadata of the first matrix.
      b_metadata: metadata of the second.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> layer = nnx.Linear(3, 4, rngs=rngs)
        >>> adapted = nnx.LoRA(3, 2, 4, base_module=layer, rngs=rngs)
        >>> bool((adapted(jnp.ones((1, 3))) == layer(jnp.ones((1, 3)))).all())
        True

    Reference:
      Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models".
    """

    in_features: int
    out_features: int
    dtype: Dtype | None
    param_dtype: Dtype
    lora_param_type: type[Variable[Any]]
    base_module: Callable[..., Any] | None
    promote_dtype: PromoteDtypeFn
    lora_a: Variable[Any]
    lora_b: Variable[Any]

    def __init__(
        self,
        in_features: int,
        lora_rank: int,
        out_features: int,
        *,
        base_module: Callable[..., Any] | None = None,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        a_initializer: Initializer = default_a_initializer,
        b_initializer: Initializer = default_b_initializer,
        lora_param_type: type[Variable[Any]] = LoRAParam,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        a_metadata: Mapping[str, Any] = NO_METADATA,
        b_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        keep(
            self,
            in_features=in_features,
            out_features=out_features,
            dtype=dtype,
            param_dtype=param_dtype,
            lora_param_type=lora_param_type,
            base_module=an_instance(self, base_module, "base_module"),
            promote_dtype=promote_dtype,
        )
        first, second = (in_features, lora_rank), (lora_rank, out_features)
        kind = lora_param_type
        self.lora_a = new_param(rngs, a_initializer, first, param_dtype, a_metadata, kind)
        self.lora_b = new_param(rngs, b_initializer, second, param_dtype, b_metadata, kind)

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        """Apply the product, and the wrapped module.

        Args:
          x: ``[..., in_features]``.
          *args: for the wrapped module.
          **kwargs: for the wrapped module.

        Returns:
          ``[..., out_features]``.

        Raises:
          ValueError: if what is wrapped cannot be called.
        """
        given, lora_a, lora_b = self.promote_dtype(
            (x, raw(self.lora_a), raw(self.lora_b)), dtype=self.dtype
        )
        try:
            update = linear.low_rank(given, lora_a, lora_b)
        except Exception as error:
            inputs_of(self, given, {-1: np.shape(lora_a)[0]}, "in_features", error)
            raise
        if self.base_module is None:
            return update
        if not callable(self.base_module):
            raise ValueError(
                "`self.base_module` must be callable: LoRA was given "
                f"{type(self.base_module).__name__}."
            )
        return linear.added(update, self.base_module(x, *args, **kwargs))


class LoRALinear(Linear):
    """A linear map with a low-rank update: `Linear` and `LoRA` in one.

    Parameters: those of `Linear`, and ``lora_a`` and ``lora_b`` under ``lora``.

    Args:
      in_features: the size of the last axis of the input.
      out_features: the size of the last axis of the result.
      lora_rank: the size between the two matrices.
      lora_dtype: the dtype in which the update is computed.
      lora_param_dtype: the dtype in which its parameters are initialised.
      a_initializer: initializer of the first matrix.
      b_initializer: initializer of the second.
      lora_param_type: the kind of both.
      lora_promote_dtype: brings input and matrices to one dtype.
      rngs: the keys for the parameters.
      a_metadata: metadata of the first matrix.
      b_metadata: metadata of the second.
      **kwargs: for `Linear`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.LoRALinear(3, 4, lora_rank=2, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((16, 3))).shape, layer.lora.lora_a.shape
        ((16, 4), (3, 2))
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        lora_rank: int,
        lora_dtype: Dtype | None = None,
        lora_param_dtype: Dtype = jnp.float32,
        a_initializer: Initializer = default_a_initializer,
        b_initializer: Initializer = default_b_initializer,
        lora_param_type: type[Variable[Any]] = LoRAParam,
        lora_promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        a_metadata: Mapping[str, Any] = NO_METADATA,
        b_metadata: Mapping[str, Any] = NO_METADATA,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_features, out_features, rngs=rngs, **kwargs)
        self.lora = LoRA(
            in_features,
            lora_rank,
            out_features,
            dtype=lora_dtype,
            param_dtype=lora_param_dtype,
            a_initializer=a_initializer,
            b_initializer=b_initializer,
            lora_param_type=lora_param_type,
            promote_dtype=lora_promote_dtype,
            rngs=rngs,
            a_metadata=a_metadata,
            b_metadata=b_metadata,
        )

    def __call__(self, x: Array, out_sharding: Any = None) -> Array:
        """Apply both maps to ``x [..., in_features]``; the result is ``[..., out_features]``.

        Args:
          x: the input.
          out_sharding: how the result of the linear map is laid out over devices.
        """
        return linear.added(super().__call__(x, out_sharding=out_sharding), self.lora(x))
