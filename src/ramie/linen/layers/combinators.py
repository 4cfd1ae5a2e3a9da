"""Modules made of other modules."""

from collections.abc import Callable, Sequence
from typing import Any

from ramie.linen.layers.linear import place
from ramie.linen.module import Module, compact

__all__ = ["Sequential"]


class Sequential(Module):
    """Call layers one after another, each with what the one before returned.

    A tuple becomes positional arguments, a dictionary keyword arguments.

    Attributes:
      layers: modules or functions. A function may make modules where it is called.

    Example:
      >>> import jax, ramie.linen as nn
      >>> model = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])
      >>> y, _ = model.init_with_output(jax.random.key(0), jax.numpy.ones((1, 3)))
      >>> y.shape
      (1, 2)
    """

    layers: Sequence[Callable[..., Any]]

    def __post_init__(self) -> None:
        """Refuse what is no sequence, such as layers given without a list around them."""
        if not isinstance(self.layers, Sequence):
            raise ValueError(
                f"'layers' must be a sequence, got '{type(self.layers).__name__}'. Write "
                "Sequential([first, second, ...])."
            )
        super().__post_init__()

    @compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layers.

        Args:
          *args: for the first layer.
          **kwargs: for the first layer.

        Returns:
          What the last layer returns.

        Raises:
          ValueError: if there are no layers.
          TypeError: if one is a class of modules.
        """
        if not self.layers:
            raise ValueError(f"Empty Sequential module: {place(self)} has no layers to call.")
        for index, layer in enumerate(self.layers):
            if isinstance(layer, type) and issubclass(layer, Module):
                raise TypeError(
                    f"Layer {index} of {place(self)} is the class {layer.__name__}, not a layer. "
                    f"Make one: nn.Sequential([nn.{layer.__name__}(...)])."
                )
        first, *others = self.layers
        y = first(*args, **kwargs)
        for layer in others:
            if isinstance(y, tuple):
                y = layer(*y)
            elif isinstance(y, dict):
                y = layer(**y)
            else:
                y = layer(y)
        return y
