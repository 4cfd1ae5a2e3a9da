"""Wrappers that normalise the weights of another layer before each call."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from ramie.linen.layers.linear import place, refuse_class
from ramie.linen.module import Module, compact, nowrap
from ramie.linen.transforms.views import map_variables
from ramie.ops import initializers
from ramie.ops.moments import canonical_axes
from ramie.ops.weight_norm import spectral_normalize, weight_normalize
from ramie.typing import Array, Axes, Dtype, Initializer

__all__ = ["SpectralNorm", "WeightNorm"]

_standard_normal = initializers.normal(stddev=1.0)


def _only_kernels() -> Iterable[str]:
    return frozenset({"kernel"})  # frozen, so that the layer can be hashed


def _part(key: Any) -> str:
    """Write one step of a path through a tree: the key of a dictionary, the name of a field."""
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _call_with_mapped_weights(
    wrapper: Module,
    layer: Module,
    change: Callable[[str, Array], Array],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call `layer` with its parameters seen through `change`, which gets path and value.

    Paths start with the name of the layer. At initialisation the changed weights are stored.

    Raises:
      TypeError: if the layer is a class.
    """
    refuse_class(wrapper, layer, "layer_instance")

    def seen(collections: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, x: change("/".join((str(layer.name), *map(_part, path[1:]))), x),
            collections,
        )

    def call(layer: Module, *args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs)  # type: ignore[operator]

    call.__name__ = "__call__"  # for profiles and tables it is the layer's own
    mapped = map_variables(
        call, "params", trans_in_fn=seen, init=wrapper.is_initializing(), mutable=False
    )
    return mapped(layer, *args, **kwargs)


class SpectralNorm(Module):
    """Divide the weights of a layer by their largest singular value, before each call.

    Weights of more than two axes are read as matrices with the last axis as columns; those of one
    axis stay as they are. Each matrix has two variables in `collection_name`, named by its path
    within the layer: ``<path>/u``, an estimate of its first singular vector, and ``<path>/sigma``,
    the singular value as of the last update. At initialisation the layer stores divided weights.

    Attributes:
      layer_instance: the layer.
      n_steps: steps of power iteration at a call.
      epsilon: added to squared lengths.
      dtype: dtype of the divided weights; by default what they and `u` promote to.
      param_dtype: dtype in which the variables are initialised.
      error_on_non_matrix: whether weights of more than two axes are an error.
      collection_name: the collection of the variables.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.SpectralNorm(nn.Dense(4))
      >>> x = jax.numpy.ones((2, 3))
      >>> variables = layer.init(jax.random.key(0), x, update_stats=False)
      >>> sorted(variables["batch_stats"])
      ['layer_instance/kernel/sigma', 'layer_instance/kernel/u']

    Differs from Flax: only parameters are divided, so that a layer which keeps statistics of its
    own can update them.
    """

    layer_instance: Module
    n_steps: int = 1
    epsilon: float | Array = 1e-12
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    error_on_non_matrix: bool = False
    collection_name: str = "batch_stats"

    @compact
    def __call__(self, *args: Any, update_stats: bool, **kwargs: Any) -> Any:
        """Call the layer with divided weights.

        Args:
          *args: for the layer.
          update_stats: whether to store the new `u` and sigma; the collection has to be mutable.
          **kwargs: for the layer.

        Returns:
          What the layer returns.

        Raises:
          ModifyScopeVariableError: if `update_stats` and the collection is not mutable.
          ValueError: if a weight has more than two axes and `error_on_non_matrix` is set.
        """

        def divide(path: str, weight: Array) -> Array:
            if weight.ndim <= 1:
                return weight
            if weight.ndim > 2 and self.error_on_non_matrix:
                raise ValueError(
                    f"Input is {weight.ndim}D but error_on_non_matrix is True: {place(self)} found "
                    f"{path!r} of shape {weight.shape}."
                )
            u = self.variable(self.collection_name, f"{path}/u", self._first_vector, weight.shape)
            sigma = self.variable(
                self.collection_name, f"{path}/sigma", jnp.ones, (), self.param_dtype
            )
            divided, new_u, new_sigma = spectral_normalize(
                weight, u.value, n_steps=self.n_steps, epsilon=self.epsilon, dtype=self.dtype
            )
            if update_stats:
                u.value, sigma.value = new_u, new_sigma
            return divided

        return _call_with_mapped_weights(self, self.layer_instance, divide, args, kwargs)

    @nowrap
    def _first_vector(self, shape: tuple[int, ...]) -> Array:
        return _standard_normal(self.make_rng("params"), (1, shape[-1]), self.param_dtype)


class WeightNorm(Module):
    """Give the weights of a layer lengths of their own, before each call.

    A weight becomes a direction, of length one along `feature_axes`, times a parameter
    ``<path>/scale``, named by the path of the weight within the layer. At initialisation the layer
    stores normalised weights.

    Attributes:
      layer_instance: the layer.
      epsilon: added to squared lengths.
      dtype: dtype of the normalised weights; by default what they and the scale promote to.
      param_dtype: dtype in which scales are initialised.
      use_scale: whether lengths are parameters; else they are one.
      scale_init: initializer of the scales.
      feature_axes: axes along which lengths are separate; None for one length per weight.
      variable_filter: texts, one of which the path of a weight has to contain; None or none at all
        for every weight.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.WeightNorm(nn.Dense(4))
      >>> variables = layer.init(jax.random.key(0), jax.numpy.ones((2, 3)))
      >>> variables["params"]["layer_instance/kernel/scale"].shape
      (4,)

    Differs from Flax: only parameters are normalised, so that a layer which keeps statistics of its
    own can update them.
    """

    layer_instance: Module
    epsilon: float | Array = 1e-12
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = initializers.ones
    feature_axes: Axes | None = -1
    variable_filter: Iterable[Any] | None = dataclasses.field(default_factory=_only_kernels)

    @compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer with normalised weights.

        Args:
          *args: for the layer.
          **kwargs: for the layer.

        Returns:
          What the layer returns.

        Raises:
          ValueError: if a weight lacks one of `feature_axes`.
        """
        wanted = tuple(self.variable_filter or ())
        separate = () if self.feature_axes is None else self.feature_axes

        def rescale(path: str, weight: Array) -> Array:
            if wanted and not any(text in path for text in wanted):
                return weight
            try:
                axes = canonical_axes(weight.ndim, separate)
            except ValueError as error:
                raise ValueError(f"{place(self)}, weight {path!r}: {error}") from None
            scale = None
            if self.use_scale:
                shape = tuple(weight.shape[axis] for axis in axes)
                scale = self.param(f"{path}/scale", self.scale_init, shape, self.param_dtype)
            return weight_normalize(
                weight,
                scale,
                feature_axes=axes,
                epsilon=self.epsilon,
                dtype=self.dtype,
            )

        return _call_with_mapped_weights(self, self.layer_instance, rescale, args, kwargs)
