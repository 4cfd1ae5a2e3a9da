"""What all recurrent cells have in common: their carries."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ramie.linen.layers.linear import place
from ramie.linen.machinery.methods import nowrap
from ramie.linen.module import Module
from ramie.ops import initializers, linear
from ramie.typing import Array, Initializer, PRNGKey

__all__ = ["RNNCellBase", "carry_method", "memory_and_state", "one_feature_axis", "state_of"]


class RNNCellBase(Module):
    """What `RNN` needs of a cell; subclass it to write your own.

    A cell is a module whose ``__call__(carry, inputs)`` returns the new carry and an output. The
    carry is any pytree; its structure, shapes and dtypes stay the same from step to step.

    Example:
      >>> import jax, jax.numpy as jnp, ramie.linen as nn
      >>> class RunningSum(nn.RNNCellBase):
      ...     def __call__(self, carry, inputs):
      ...         return carry + inputs, carry + inputs
      ...     def initialize_carry(self, rng, input_shape):
      ...         return jnp.zeros(input_shape)
      ...     @property
      ...     def num_feature_axes(self):
      ...         return 1
      >>> nn.RNN(RunningSum()).apply({}, jnp.ones((1, 3, 1)))[0, :, 0].tolist()
      [1.0, 2.0, 3.0]
    """

    @nowrap
    def initialize_carry(self, rng: PRNGKey, input_shape: tuple[int, ...]) -> Any:
        """Return the carry before the first step.

        Args:
          rng: a key, for carries that begin with random values.
          input_shape: the shape of the input of one step, ``[*batch, *features]``.

        Raises:
          NotImplementedError: always; subclasses define what their carry is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no initialize_carry(rng, input_shape), so its carry "
            "before the first step is unknown."
        )

    @property
    def num_feature_axes(self) -> int:
        """How many axes of an input, counted from the last, are features and not batch."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define num_feature_axes, the number of axes at the "
            "end of its input that are not batch axes."
        )


def _carry_by_size(count: int, given: list[Any], size: Any, init_fn: Any) -> Any:
    """Make a carry from (rng, batch_dims, size, init_fn); the last two also come by keyword."""
    rng, batch_dims, third, fourth = (*given, None, None, None)[:4]
    size = third if size is None else size
    if size is None or batch_dims is None:
        raise ValueError(
            "initialize_carry takes (rng, input_shape) on a cell, or in the spelling of earlier "
            f"releases (rng, batch_dims, size): with batch_dims={batch_dims!r} the size is missing."
        )
    shape = (*linear.as_tuple(batch_dims), *linear.as_tuple(size))
    return _drawn(count, init_fn or fourth or initializers.zeros, rng, shape)


def _drawn(count: int, init: Initializer, rng: PRNGKey, *args: Any) -> Any:
    if count == 1:
        return init(rng, *args)
    return tuple(init(key, *args) for key in jax.random.split(rng, count))


def carry_method(count: int) -> Callable[..., Any]:
    """Return the method `initialize_carry` of a cell whose carry is one array or a pair."""

    @nowrap
    def initialize_carry(
        self: Any,
        rng: Any,
        input_shape: Any = None,
        *earlier: Any,
        size: Any = None,
        init_fn: Initializer | None = None,
    ) -> Any:
        """Return the carry before the first step, by default zeros.

        Args:
          rng: a key; the two arrays of a pair are drawn with keys split from it.
          input_shape: the shape of the input of one step, ``[*batch, *features]``.
          *earlier: see below.
          size: see below.
          init_fn: see below.

        Returns:
          An array of the shape of a state, or a pair (memory, state) of them for LSTM cells.

        Raises:
          ValueError: if the cell was made without `features`, or the shape is missing.

        Earlier releases of Flax called ``LSTMCell.initialize_carry(rng, batch_dims, size,
        init_fn=zeros)``. This works as well, on the class and on a cell.
        """
        if not isinstance(self, Module):
            # Called on the class, as a static method: the key comes first.
            given = [self, rng] if input_shape is None else [self, rng, input_shape]
            return _carry_by_size(count, [*given, *earlier], size, init_fn)
        if earlier or size is not None:
            return _carry_by_size(count, [rng, input_shape, *earlier], size, init_fn)
        cell: Any = self
        if cell.features is None:
            raise ValueError(
                f"{place(cell)} was made without features, so the size of its carry is unknown: "
                f"write {type(cell).__name__}(features), or pass initialize_carry a size."
            )
        if input_shape is None or len(input_shape) < cell.num_feature_axes:
            raise ValueError(
                f"{place(cell)}: initialize_carry needs the shape of an input, which has "
                f"{cell.num_feature_axes} axes of features, and got {input_shape!r}."
            )
        shape = (*input_shape[:-1], cell.features)
        return _drawn(count, cell.carry_init, rng, shape, cell.param_dtype)

    return initialize_carry


def one_feature_axis(cell: Module) -> int:
    """One: the last axis of an input is its features."""
    return 1


def _check_batch(cell: Module, state: Array, inputs: Array) -> None:
    """Raise if the batch axes of state and input do not go together."""
    mine, theirs = np.shape(state), np.shape(inputs)
    try:
        np.broadcast_shapes(mine[:-1], theirs[:-1])
    except ValueError:
        raise ValueError(
            f"{place(cell)}: a carry of shape {mine} does not fit an input of shape {theirs}: "
            "all axes but the last must agree. initialize_carry(key, input.shape) makes one that "
            "fits."
        ) from None
    if not mine or not theirs:
        raise ValueError(
            f"{place(cell)}: carry and input need a last axis of features, but their shapes are "
            f"{mine} and {theirs}."
        )


def memory_and_state(
    cell: Module, carry: Any, inputs: Array, check_batch: bool = True
) -> tuple[Array, Array]:
    """Take an LSTM carry apart, after checking that it is one.

    Raises:
      ValueError: if it is no pair, or its axes but the last do not go together with the input's.
    """
    try:
        memory, state = carry
    except (TypeError, ValueError):
        found = type(carry).__name__
        if hasattr(carry, "shape"):
            found = f"an array of shape {np.shape(carry)}"
        raise ValueError(
            f"{place(cell)}: the carry is a pair (memory, state), but got {found}. "
            "initialize_carry(key, input.shape) makes one."
        ) from None
    if check_batch:
        _check_batch(cell, state, inputs)
    return memory, state


def state_of(cell: Module, carry: Any, inputs: Array) -> Array:
    """Return a carry that is one array, after checking that it is.

    Raises:
      ValueError: if it is not, or its axes but the last do not go together with the input's.
    """
    if not hasattr(carry, "shape"):
        raise ValueError(
            f"{place(cell)}: the carry is one array [..., features], but got "
            f"{type(carry).__name__}. initialize_carry(key, input.shape) makes one."
        )
    _check_batch(cell, carry, inputs)
    state: Array = carry
    return state
