"""BatchNorm: normalisation over the batch, with running statistics."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.norm import check_features, scale_and_bias
from ramie.nnx.layers.parameters import NO_METADATA, keep, raw, write
from ramie.nnx.modules.module import Module
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.variable.kinds import BatchStat, Param
from ramie.ops import initializers, norm
from ramie.ops.drawing.sampling import filled
from ramie.typing import Array, Dtype, Initializer, PromoteDtypeFn

__all__ = ["BatchNorm"]


class BatchNorm(Module):
    """Normalise each feature over the batch, and over running statistics at evaluation.

    Parameters: ``scale [num_features]`` and ``bias [num_features]``. Statistics: ``mean`` and
    ``var [num_features]``, of the kind `BatchStat` and float32, which begin at 0 and 1 and change
    at each call in training.

    Args:
      num_features: the size of the feature axis.
      use_running_average: use the running statistics in place of those of the batch; the call can
        override it, and `Module.train` and `Module.eval` set it.
      axis: the feature axis.
      momentum: weight of the old running statistics at an update; a number or an array.
      epsilon: added to the variance; a number or an array, also a traced one.
      dtype: the dtype to compute in; by default what input, statistics and parameters promote to.
      param_dtype: the dtype in which parameters are initialised.
      use_bias: whether to add a bias; else `bias` is None.
      use_scale: whether to multiply by a scale; else `scale` is None.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      axis_name: mapped axis over which statistics of the batch are averaged too.
      axis_index_groups: groups of indices of that axis to average within.
      use_fast_variance: take the variance in one pass, which is wrong where the mean is some
        hundred deviations and more; False, or the flag ``ramie_exact_variance``, is right there.
      promote_dtype: brings input, statistics and parameters to one dtype.
      rngs: the keys for the parameters.
      bias_metadata: metadata of the bias.
      scale_metadata: metadata of the scale.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> layer = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
        >>> y = layer(jnp.ones((5, 3)))
        >>> layer.eval()
        >>> y.shape, layer(jnp.ones((1, 3))).shape, layer.mean.shape
        ((5, 3), (1, 3), (3,))
    """

    scale: Param[Array] | None
    bias: Param[Array] | None
    num_features: int
    use_running_average: bool | None
    axis: int
    momentum: float | Array
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    use_bias: bool
    use_scale: bool
    axis_name: str | None
    axis_index_groups: Any
    use_fast_variance: bool
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        num_features: int,
        *,
        use_running_average: bool | None = False,
        axis: int = -1,
        momentum: float | Array = 0.99,
        epsilon: float | Array = 1e-5,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        use_bias: bool = True,
        use_scale: bool = True,
        bias_init: Initializer = initializers.zeros,
        scale_init: Initializer = initializers.ones,
        axis_name: str | None = None,
        axis_index_groups: Any = None,
        use_fast_variance: bool = True,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
        scale_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        self.mean = BatchStat(filled((num_features,), 0, jnp.float32))
        self.var = BatchStat(filled((num_features,), 1, jnp.float32))
        scale_and_bias(
            self,
            num_features,
            rngs,
            use_scale=use_scale,
            use_bias=use_bias,
            scale_init=scale_init,
            bias_init=bias_init,
            param_dtype=param_dtype,
            scale_metadata=scale_metadata,
            bias_metadata=bias_metadata,
        )
        keep(
            self,
            num_features=num_features,
            use_running_average=use_running_average,
            axis=axis,
            momentum=momentum,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            use_bias=use_bias,
            use_scale=use_scale,
            axis_name=axis_name,
            axis_index_groups=axis_index_groups,
            use_fast_variance=use_fast_variance,
            promote_dtype=promote_dtype,
        )

    def __call__(
        self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Array:
        """Normalise; in training, move the running statistics as well.

        Args:
          x: ``[..., num_features]``, or with the features where `axis` says.
          use_running_average: overrides the attribute.
          mask: which entries count for the statistics; broadcastable to `x`.

        Returns:
          An array of the same shape.

        Raises:
          ValueError: if `use_running_average` is given nowhere, or the features do not fit.
        """
        evaluate = self.use_running_average if use_running_average is None else use_running_average
        if evaluate is None:
            raise ValueError(
                "No `use_running_average` argument was provided to BatchNorm: nothing says whether "
                f"this, over {self.num_features} features, is training. Give it to the constructor "
                "or to the call, call model.train() or model.eval(), or make a nnx.view(model, "
                "use_running_average=...)."
            )
        x, mean, var, scale, bias = self.promote_dtype(
            (x, raw(self.mean), raw(self.var), raw(self.scale), raw(self.bias)),
            dtype=self.dtype,
        )
        check_features(self, x, self.axis, mean)
        if evaluate:
            return norm.batch_norm(
                x, mean, var, scale, bias, axis=self.axis, epsilon=self.epsilon, dtype=self.dtype
            )
        y, mean, var = norm.batch_norm_update(
            x,
            raw(self.mean),
            raw(self.var),
            scale,
            bias,
            mask,
            axis=self.axis,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            axis_name=self.axis_name,
            axis_index_groups=self.axis_index_groups,
            use_fast_variance=self.use_fast_variance,
        )
        mean, var = norm.detached(mean, var)
        write(self, mean=mean, var=var)
        return y

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Change how this layer works, as `ramie.nnx.view` does in all layers of a copy.

        Args:
          use_running_average: whether to use the running statistics, and not those of the batch.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average
