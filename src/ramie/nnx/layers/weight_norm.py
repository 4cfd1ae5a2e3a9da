"""Wrappers that normalise the weights of another layer before each call."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from ramie.nnx.graph.functional import state
from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.parameters import (
    an_instance,
    drawn,
    filling,
    keep,
    raw,
    stored,
    stream_of_params,
)
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.states.filters import Filter, PathContains
from ramie.nnx.states.functions import to_flat_state
from ramie.nnx.states.nested import Path
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import BatchStat, Param
from ramie.ops import initializers
from ramie.ops.drawing.sampling import filled
from ramie.ops.moments import canonical_axes, cast
from ramie.ops.weight_norm import spectral_normalize, weight_normalize
from ramie.typing import Array, Axes, Dtype, Initializer, PromoteDtypeFn

__all__ = ["SpectralNorm", "WeightNorm"]

_first_vector: Initializer = initializers.normal()
_only_kernels = PathContains("kernel")


def _weights(layer: Module, wanted: Filter) -> list[tuple[Path, Variable[Any]]]:
    """List the variables of a layer that a filter takes, with their paths."""
    return [(path, found) for path, found in to_flat_state(state(layer, wanted))]


@contextlib.contextmanager
def _seen_as(values: list[tuple[Variable[Any], Array]]) -> Iterator[None]:
    """Let variables have other values for a while, also those that a transformation was given.

    What holds a value, such as an array reference, is set aside and stays untouched.
    """
    held = [variable._raw_value for variable, _ in values]
    try:
        for variable, value in values:
            object.__setattr__(variable, "_raw_value", value)
        yield
    finally:
        for (variable, _), value in zip(values, held, strict=True):
            object.__setattr__(variable, "_raw_value", value)


class SpectralNorm(Module):
    """Divide the weights of a layer by their largest singular value, before each call.

    All parameters of the layer with two axes or more are weights; those with more than two are
    read as matrices with the last axis as columns. The layer sees divided weights while it is
    called; its parameters stay as they are. For each there are two statistics of the kind
    `BatchStat` in the dictionary `batch_stats`, under its path within the layer: ``(*path, "u")``,
    an estimate of its first singular vector, and ``(*path, "sigma")``, the singular value as of
    the last update.

    Args:
      layer_instance: the layer.
      n_steps: steps of power iteration at a call.
      epsilon: added to squared lengths.
      dtype: dtype in which weights are divided; by default what they and `u` promote to.
      param_dtype: dtype in which the statistics are initialised.
      error_on_non_matrix: whether weights of more than two axes are an error.
      update_stats: whether calls update the statistics; a call can override it, and `Module.train`
        and `Module.eval` set it.
      rngs: the keys for the first singular vectors.

    Raises:
      ValueError: if a weight has more than two axes and `error_on_non_matrix` is set.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> layer = nnx.SpectralNorm(nnx.Linear(3, 4, rngs=rngs), n_steps=20, rngs=rngs)
        >>> bool(abs(jnp.linalg.norm(layer(jnp.eye(3)), 2) - 1) < 1e-3)
        True

    Reference:
      Miyato et al., "Spectral Normalization for Generative Adversarial Networks".

    Differs from Flax, whose calls store the divided weights in the parameters, at evaluation too.
    """

    n_steps: int
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    error_on_non_matrix: bool
    use_running_average: bool

    def __init__(
        self,
        layer_instance: Module,
        *,
        n_steps: int = 1,
        epsilon: float | Array = 1e-12,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        error_on_non_matrix: bool = False,
        update_stats: bool = True,
        rngs: Rngs,
    ) -> None:
        self.layer_instance = an_instance(self, layer_instance, "layer_instance")
        keep(
            self,
            n_steps=n_steps,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            error_on_non_matrix=error_on_non_matrix,
            use_running_average=not update_stats,
        )
        statistics: dict[Path, BatchStat[Array]] = {}
        for path, weight in _weights(layer_instance, Param):
            if weight.ndim > 2 and error_on_non_matrix:
                raise ValueError(
                    f"Layer instance parameter is {weight.ndim}D but error_on_non_matrix is True: "
                    f"SpectralNorm found {path} of shape {weight.shape} in "
                    f"{type(layer_instance).__name__}."
                )
            if weight.ndim > 1:
                first = drawn(
                    stream_of_params(rngs), _first_vector, (1, weight.shape[-1]), param_dtype
                )
                statistics[*path, "u"] = BatchStat(first)
                statistics[*path, "sigma"] = BatchStat(filled((), 1, param_dtype))
        self.batch_stats = data(statistics)

    def __call__(
        self, x: Array, update_stats: bool | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Call the layer with divided weights.

        Args:
          x: the input of the layer.
          update_stats: whether to store the new `u` and sigma; overrides the setting of the layer.
          *args: more arguments of the layer.
          **kwargs: the same.

        Returns:
          What the layer returns.
        """
        update = not self.use_running_average if update_stats is None else update_stats
        seen = []
        for path, weight in _weights(self.layer_instance, Param):
            if weight.ndim <= 1:
                continue
            u, sigma = self.batch_stats[*path, "u"], self.batch_stats[*path, "sigma"]
            divided, new_u, new_sigma = spectral_normalize(
                weight.get_value(),
                raw(u),
                n_steps=self.n_steps,
                epsilon=self.epsilon,
                dtype=self.dtype,
            )
            seen.append((weight, cast(divided, weight.dtype)))
            if update:
                for name, held, new in (("u", u, new_u), ("sigma", sigma, new_sigma)):
                    self.batch_stats[*path, name] = stored(held, cast(new, raw(held).dtype))
        layer: Any = self.layer_instance
        with _seen_as(seen):
            return layer(x, *args, **kwargs)


class WeightNorm(Module):
    """Give the weights of a layer lengths of their own, before each call.

    A weight becomes a direction, of length one along `feature_axes`, times a scale. The layer sees
    that while it is called; its parameters stay as they are. Scales are parameters, in the
    dictionary `scales` under the path of their weight within the layer.

    Args:
      layer_instance: the layer.
      feature_axes: axes along which lengths are separate; None for one length per weight.
      use_scale: whether lengths are parameters; else they are one, and `scales` is None.
      scale_init: initializer of the scales.
      epsilon: added to squared lengths.
      dtype: dtype of the normalised weights; by default what they and the scale promote to.
      param_dtype: dtype in which scales are initialised.
      variable_filter: which variables of the layer are weights.
      promote_dtype: brings weight and scale to one dtype.
      rngs: the keys for the scales.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> layer = nnx.WeightNorm(nnx.Linear(3, 4, rngs=rngs), rngs=rngs)
        >>> bool(abs((layer(jnp.eye(3)) ** 2).sum(0) - 1).max() < 1e-5)
        True

    Reference:
      Salimans, Kingma, "Weight Normalization".

    Differs from Flax: calls do not store normalised weights in the parameters; scales are of the
    kind `Param`, so an optimizer trains them, and have the dtype `param_dtype`, as in Linen;
    initializers of scales may draw numbers.
    """

    feature_axes: Axes
    use_scale: bool
    scale_init: Initializer
    epsilon: float | Array
    dtype: Dtype | None
    param_dtype: Dtype
    variable_filter: Filter
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        layer_instance: Module,
        *,
        feature_axes: Axes | None = -1,
        use_scale: bool = True,
        scale_init: Initializer = initializers.ones,
        epsilon: float | Array = 1e-12,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        variable_filter: Filter = _only_kernels,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        rngs: Rngs,
    ) -> None:
        self.layer_instance = an_instance(self, layer_instance, "layer_instance")
        keep(
            self,
            feature_axes=() if feature_axes is None else feature_axes,
            use_scale=use_scale,
            scale_init=scale_init,
            epsilon=epsilon,
            dtype=dtype,
            param_dtype=param_dtype,
            variable_filter=variable_filter,
            promote_dtype=promote_dtype,
        )
        self.scales: dict[Path, Param[Array]] | None = data(None)
        if use_scale:
            scales = {}
            for path, weight in _weights(layer_instance, variable_filter):
                shape = tuple(weight.shape[axis] for axis in self._axes(path, weight))
                scales[path] = Param(_scale(rngs, scale_init, shape, param_dtype))
            self.scales = data(scales)

    def _axes(self, path: Path, weight: Variable[Any]) -> tuple[int, ...]:
        try:
            return canonical_axes(weight.ndim, self.feature_axes)
        except ValueError as error:
            raise ValueError(f"WeightNorm, weight {path}: {error}") from None

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Any:
        """Call the layer with normalised weights.

        Args:
          x: the input of the layer.
          *args: more arguments of the layer.
          **kwargs: the same.

        Returns:
          What the layer returns.

        Raises:
          ValueError: if a weight lacks one of `feature_axes`.
        """
        seen = []
        for path, weight in _weights(self.layer_instance, self.variable_filter):
            scale = None if self.scales is None else raw(self.scales[path])
            normalised = weight_normalize(
                weight.get_value(),
                scale,
                feature_axes=self._axes(path, weight),
                epsilon=self.epsilon,
                dtype=self.dtype,
            )
            seen.append((weight, normalised))
        layer: Any = self.layer_instance
        with _seen_as(seen):
            return layer(x, *args, **kwargs)


def _scale(rngs: Rngs, init: Initializer, shape: tuple[int, ...], dtype: Dtype) -> Array:
    """Initialise a scale. A constant one takes no key, so that streams go on as in Flax."""
    constant = filling(init)
    if constant is not None:
        return filled(shape, constant, dtype)
    made: Array = drawn(stream_of_params(rngs), init, shape, dtype)
    return made
