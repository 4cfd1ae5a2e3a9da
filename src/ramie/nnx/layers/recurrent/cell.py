"""What all recurrent cells have in common: their carries."""

import contextlib
import warnings
from typing import Any

from ramie import errors
from ramie.nnx.layers.parameters import drawn, filling, of_stream
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.rng import Rngs, RngStream
from ramie.ops import initializers
from ramie.ops.drawing.sampling import filled
from ramie.typing import Array, Dtype, Initializer, PRNGKey, Shape

__all__ = [
    "MemoryCell",
    "Pair",
    "RNNCellBase",
    "StateCell",
    "keep_stream",
    "modified_orthogonal",
]

Pair = tuple[Array, Array]

_orthogonal = initializers.orthogonal()


class RNNCellBase(Module):
    """What `RNN` needs of a cell; subclass it to write your own.

    A cell is a module whose ``__call__(carry, inputs)`` returns the new carry and an output. The
    carry is any pytree; its structure, shapes and dtypes stay the same from step to step.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class RunningSum(nnx.RNNCellBase):
        ...     num_feature_axes = 1
        ...     def __call__(self, carry, inputs):
        ...         return carry + inputs, carry + inputs
        ...     def initialize_carry(self, input_shape, rngs=None, carry_init=None):
        ...         return jnp.zeros(input_shape)
        >>> nnx.RNN(RunningSum())(jnp.ones((1, 3, 1)))[0, :, 0].tolist()
        [1.0, 2.0, 3.0]
    """

    def __call__(self, carry: Any, inputs: Array) -> tuple[Any, Array]:
        """Take a step.

        Args:
          carry: what the step before returned, or `initialize_carry`.
          inputs: the input of this step, ``[*batch, *features]``.

        Returns:
          The new carry and an output.

        Raises:
          NotImplementedError: always; subclasses define what they compute.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(carry, inputs).")

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: Rngs | RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Any:
        """Return the carry before the first step.

        Args:
          input_shape: the shape of the input of one step, ``[*batch, *features]``.
          rngs: random keys, for carries that begin with random values.
          carry_init: initializer of the carry.

        Raises:
          NotImplementedError: always; subclasses define what their carry is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no initialize_carry(input_shape, rngs, carry_init), so "
            "its carry before the first step is unknown."
        )

    @property
    def num_feature_axes(self) -> int:
        """How many axes of an input, counted from the last, are features and not batch."""
        raise NotImplementedError(
            f"{type(self).__name__} does not define num_feature_axes, the number of axes at the "
            "end of its input that are not batch axes."
        )


def modified_orthogonal(key: PRNGKey, shape: Shape, dtype: Dtype | None = None) -> Array:
    """Draw an orthogonal matrix, as `orthogonal()` does.

    Args:
      key: the random key.
      shape: the shape.
      dtype: the dtype of the result.
    """
    return _orthogonal(key, shape, dtype)


def keep_stream(cell: Any, rngs: Rngs, keep_rngs: bool) -> None:
    """Give a cell a stream of its own, forked from the stream `carry`, if it is asked to."""
    cell.rngs = data(None)
    if keep_rngs:
        warnings.warn(
            f"keep_rngs of {type(cell).__name__} is deprecated: give random keys to "
            "initialize_carry, as RNN does with its own.",
            UserWarning,
            stacklevel=3,
        )
        cell.rngs = of_stream(rngs, "carry", cell).fork()


def _first_carries(
    cell: Any,
    count: int,
    input_shape: Shape,
    rngs: Rngs | RngStream | None,
    carry_init: Initializer | None,
) -> list[Array]:
    """Initialise the arrays of a carry, ``[*batch, hidden_features]``, each with a key of its own.

    Raises:
      ValueError: if there are no random numbers, or the input has no axis of features.
    """
    rngs = cell.rngs if rngs is None else rngs
    if rngs is None:
        raise ValueError(
            f"RNGs must be provided to initialize the cell carry of {type(cell).__name__}: pass "
            "rngs=nnx.Rngs(0), for example."
        )
    if not input_shape:
        raise ValueError(
            f"{type(cell).__name__}: initialize_carry needs the shape of an input, which has an "
            "axis of features, and got ()."
        )
    stream = of_stream(rngs, "carry", cell)
    init = carry_init or cell.carry_init or initializers.zeros
    shape = (*input_shape[:-1], cell.hidden_features)
    constant = filling(init)
    if constant is not None and type(stream) is RngStream:
        # Nothing is drawn, so the stream may be one that the transformation was not given. Where it
        # was, it counts on as in Flax.
        with contextlib.suppress(errors.TraceContextError):
            for _ in range(count):
                stream._skip()
        return [filled(shape, constant, cell.param_dtype) for _ in range(count)]
    return [drawn(stream, init, shape, cell.param_dtype) for _ in range(count)]


class _VectorCell(RNNCellBase):
    """A cell whose inputs have one axis of features."""

    @property
    def num_feature_axes(self) -> int:
        """One: the last axis of an input is its features."""
        return 1


class StateCell(_VectorCell):
    """A cell whose carry is an array: its state."""

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: Rngs | RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Array:
        """Return the carry before the first step: an array ``[*batch, hidden_features]``.

        Args:
          input_shape: the shape of the input of one step, ``[*batch, in_features]``.
          rngs: a stream, or an `Rngs` with a stream "carry".
          carry_init: initializer of the carry; by default that of the cell, or zeros.

        Raises:
          ValueError: if there are no random numbers.
        """
        return _first_carries(self, 1, input_shape, rngs, carry_init)[0]


class MemoryCell(_VectorCell):
    """A cell whose carry is a pair: a memory and a state."""

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: Rngs | RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Pair:
        """Return memory and state before the first step, each ``[*batch, hidden_features]``.

        Args:
          input_shape: the shape of the input of one step, ``[*batch, in_features]``.
          rngs: a stream, or an `Rngs` with a stream "carry".
          carry_init: initializer of both; by default that of the cell, or zeros.

        Raises:
          ValueError: if there are no random numbers.
        """
        memory, state = _first_carries(self, 2, input_shape, rngs, carry_init)
        return memory, state
