"""Recurrent cells: one step of a recurrence, from a carry and an input to a carry and an output.

`ramie.nnx.layers.recurrent.sequence` applies them to whole sequences.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from ramie.nnx.layers.dtypes import promote_dtype
from ramie.nnx.layers.linear import Linear
from ramie.nnx.layers.parameters import NO_METADATA, default_kernel_init, keep
from ramie.nnx.layers.recurrent.cell import (
    MemoryCell,
    Pair,
    RNNCellBase,
    StateCell,
    keep_stream,
    modified_orthogonal,
)
from ramie.nnx.randomness.rng import Rngs
from ramie.ops import initializers, linear, recurrent
from ramie.ops.activations import sigmoid, tanh
from ramie.typing import Array, Dtype, Initializer, PromoteDtypeFn

__all__ = ["GRUCell", "LSTMCell", "OptimizedLSTMCell", "SimpleCell"]

Activation = Callable[..., Any]
Maker = Callable[[int], Linear]


class SimpleCell(StateCell):
    """The cell of Elman: ``h' = tanh(W_i x + b_i + W_h h)``.

    Parameters: ``dense_i/kernel [in_features, hidden_features]``, ``dense_i/bias`` and
    ``dense_h/kernel [hidden_features, hidden_features]``.

    Args:
      in_features: the size of the last axis of the input.
      hidden_features: the size of the state.
      dtype: the dtype of the linear maps.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry; by default zeros.
      residual: whether the state is added before the activation.
      activation_fn: the activation.
      kernel_init: initializer of the kernel of the input.
      recurrent_kernel_init: initializer of the kernel of the state.
      bias_init: initializer of the bias.
      promote_dtype: brings the arrays of a linear map to one dtype.
      keep_rngs: deprecated; whether to keep a stream of random keys for carries.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel of the input.
      recurrent_kernel_metadata: metadata of the kernel of the state.
      bias_metadata: metadata of the bias.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> cell, x = nnx.SimpleCell(3, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 3))
        >>> carry = cell.initialize_carry(x.shape, nnx.Rngs(1))
        >>> carry, y = cell(carry, x)
        >>> carry.shape, y.shape
        ((2, 4), (2, 4))
    """

    in_features: int
    hidden_features: int
    dtype: Dtype
    param_dtype: Dtype
    residual: bool
    activation_fn: Activation
    promote_dtype: PromoteDtypeFn

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        dtype: Dtype = jnp.float32,
        param_dtype: Dtype = jnp.float32,
        carry_init: Initializer | None = None,
        residual: bool = False,
        activation_fn: Activation = tanh,
        kernel_init: Initializer = default_kernel_init,
        recurrent_kernel_init: Initializer = modified_orthogonal,
        bias_init: Initializer = initializers.zeros,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        keep_rngs: bool = False,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        recurrent_kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        keep(
            self,
            in_features=in_features,
            hidden_features=hidden_features,
            dtype=dtype,
            param_dtype=param_dtype,
            residual=residual,
            activation_fn=activation_fn,
            promote_dtype=promote_dtype,
        )
        keep_stream(self, rngs, keep_rngs)
        common: dict[str, Any] = {
            "dtype": dtype,
            "param_dtype": param_dtype,
            "promote_dtype": promote_dtype,
            "rngs": rngs,
        }
        self.dense_h = Linear(
            hidden_features,
            hidden_features,
            use_bias=False,
            kernel_init=recurrent_kernel_init,
            kernel_metadata=recurrent_kernel_metadata,
            **common,
        )
        self.dense_i = Linear(
            in_features,
            hidden_features,
            kernel_init=kernel_init,
            bias_init=bias_init,
            kernel_metadata=kernel_metadata,
            bias_metadata=bias_metadata,
            **common,
        )
        self.carry_init = carry_init

    def __call__(self, carry: Array, inputs: Array) -> Pair:
        """Take a step.

        Args:
          carry: the state, ``[..., hidden_features]``.
          inputs: ``[..., in_features]``.

        Returns:
          The new state, and the same as output.
        """
        new_state = recurrent.simple_step(
            self.dense_i(inputs),
            self.dense_h(carry),
            carry,
            activation_fn=self.activation_fn,
            residual=self.residual,
        )
        return new_state, new_state


class GatedCell(RNNCellBase):
    """What cells with gates have in common: their settings, and linear maps of input and state.

    Either the maps of the input have biases, or those of the state.
    """

    in_features: int
    hidden_features: int
    gate_fn: Activation
    activation_fn: Activation
    dtype: Dtype | None
    param_dtype: Dtype
    promote_dtype: PromoteDtypeFn
    _bias_is_of_state = False

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        gate_fn: Activation = sigmoid,
        activation_fn: Activation = tanh,
        kernel_init: Initializer = default_kernel_init,
        recurrent_kernel_init: Initializer = modified_orthogonal,
        bias_init: Initializer = initializers.zeros,
        dtype: Dtype | None = None,
        param_dtype: Dtype = jnp.float32,
        carry_init: Initializer | None = None,
        promote_dtype: PromoteDtypeFn = promote_dtype,
        keep_rngs: bool = False,
        rngs: Rngs,
        kernel_metadata: Mapping[str, Any] = NO_METADATA,
        recurrent_kernel_metadata: Mapping[str, Any] = NO_METADATA,
        bias_metadata: Mapping[str, Any] = NO_METADATA,
    ) -> None:
        keep(
            self,
            in_features=in_features,
            hidden_features=hidden_features,
            gate_fn=gate_fn,
            activation_fn=activation_fn,
            dtype=dtype,
            param_dtype=param_dtype,
            promote_dtype=promote_dtype,
        )
        keep_stream(self, rngs, keep_rngs)
        common: dict[str, Any] = {
            "bias_init": bias_init,
            "dtype": dtype,
            "param_dtype": param_dtype,
            "promote_dtype": promote_dtype,
            "rngs": rngs,
            "bias_metadata": bias_metadata,
        }

        def of_input(gates: int) -> Linear:
            return Linear(
                in_features,
                gates * hidden_features,
                use_bias=not self._bias_is_of_state,
                kernel_init=kernel_init,
                kernel_metadata=kernel_metadata,
                **common,
            )

        def of_state(gates: int) -> Linear:
            return Linear(
                hidden_features,
                gates * hidden_features,
                use_bias=self._bias_is_of_state,
                kernel_init=recurrent_kernel_init,
                kernel_metadata=recurrent_kernel_metadata,
                **common,
            )

        self._add_maps(of_input, of_state)
        self.carry_init = carry_init

    def _add_maps(self, of_input: Maker, of_state: Maker) -> None:
        """Store linear maps, each made for a number of gates, in the order of their keys."""
        raise NotImplementedError(f"{type(self).__name__} has no linear maps")


class LSTMCell(GatedCell, MemoryCell):
    """Long short-term memory.

    ``c' = sigmoid(f) * c + sigmoid(i) * tanh(g)`` and ``h' = sigmoid(o) * tanh(c')``, where each of
    i, f, g and o is a linear map of the input plus one of the state with a bias.

    Parameters: ``ii/kernel [in_features, hidden_features]``, ``hi/kernel [hidden_features,
    hidden_features]``, ``hi/bias``, and likewise for f, g and o; the map of the input to f is
    ``if_``.

    Args:
      in_features: the size of the last axis of the input.
      hidden_features: the size of memory and state.
      gate_fn: the activation of the gates.
      activation_fn: the activation of candidate and memory.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the state.
      bias_init: initializer of the biases.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry; by default zeros.
      promote_dtype: brings the arrays of a linear map to one dtype.
      keep_rngs: deprecated; whether to keep a stream of random keys for carries.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernels of the input.
      recurrent_kernel_metadata: metadata of the kernels of the state.
      bias_metadata: metadata of the biases.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> cell, x = nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 3))
        >>> (memory, state), y = cell(cell.initialize_carry(x.shape, nnx.Rngs(1)), x)
        >>> memory.shape, state.shape, y.shape
        ((2, 4), (2, 4), (2, 4))

    Reference:
      Hochreiter, Schmidhuber, "Long Short-Term Memory".
    """

    ii: Linear
    if_: Linear
    ig: Linear
    io: Linear
    hi: Linear
    hf: Linear
    hg: Linear
    ho: Linear

    _bias_is_of_state = True

    def _add_maps(self, of_input: Maker, of_state: Maker) -> None:
        for name in ("ii", "if_", "ig", "io"):
            setattr(self, name, of_input(1))
        for name in ("hi", "hf", "hg", "ho"):
            setattr(self, name, of_state(1))

    def __call__(self, carry: Pair, inputs: Array) -> tuple[Pair, Array]:
        """Take a step.

        Args:
          carry: memory and state, each ``[..., hidden_features]``.
          inputs: ``[..., in_features]``.

        Returns:
          The new memory and state, and the state as output.
        """
        memory, state = carry
        gates = [
            linear.added(of_input(inputs), of_state(state))
            for of_input, of_state in (
                (self.ii, self.hi),
                (self.if_, self.hf),
                (self.ig, self.hg),
                (self.io, self.ho),
            )
        ]
        memory, state = recurrent.lstm_step(
            memory, *gates, gate_fn=self.gate_fn, activation_fn=self.activation_fn
        )
        return (memory, state), state


class OptimizedLSTMCell(GatedCell, MemoryCell):
    """Long short-term memory with two matrix products per step in place of eight.

    What it computes is as in `LSTMCell`. Parameters: ``dense_i/kernel [in_features,
    4 * hidden_features]``, ``dense_h/kernel [hidden_features, 4 * hidden_features]`` and
    ``dense_h/bias``, the gates in the order i, f, g, o.

    Args:
      in_features: the size of the last axis of the input.
      hidden_features: the size of memory and state.
      gate_fn: the activation of the gates.
      activation_fn: the activation of candidate and memory.
      kernel_init: initializer of the kernel of the input.
      recurrent_kernel_init: initializer of the kernel of the state.
      bias_init: initializer of the bias.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry; by default zeros.
      promote_dtype: brings the arrays of a linear map to one dtype.
      keep_rngs: deprecated; whether to keep a stream of random keys for carries.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel of the input.
      recurrent_kernel_metadata: metadata of the kernel of the state.
      bias_metadata: metadata of the bias.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> cell, x = nnx.OptimizedLSTMCell(3, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 3))
        >>> carry, y = cell(cell.initialize_carry(x.shape, nnx.Rngs(1)), x)
        >>> y.shape, cell.dense_i.kernel.shape
        ((2, 4), (3, 16))
    """

    _bias_is_of_state = True

    def _add_maps(self, of_input: Maker, of_state: Maker) -> None:
        self.dense_i, self.dense_h = of_input(4), of_state(4)

    def __call__(self, carry: Pair, inputs: Array) -> tuple[Pair, Array]:
        """Take a step; arguments and results are those of `LSTMCell`."""
        memory, state = carry
        memory, state = recurrent.optimized_lstm_step(
            memory,
            self.dense_i(inputs),
            self.dense_h(state),
            gate_fn=self.gate_fn,
            activation_fn=self.activation_fn,
        )
        return (memory, state), state


class GRUCell(GatedCell, StateCell):
    """The gated recurrent unit.

    ``n = tanh(n_x + sigmoid(r) * n_h)`` and ``h' = (1 - sigmoid(z)) * n + sigmoid(z) * h``, where
    r, z and n are maps of the input, with a bias, and of the state, without.

    Parameters: ``dense_i/kernel [in_features, 3 * hidden_features]``, ``dense_i/bias`` and
    ``dense_h/kernel [hidden_features, 3 * hidden_features]``, in the order r, z, n. Linen's cell
    has another bias, for what n gets from the state.

    Args:
      in_features: the size of the last axis of the input.
      hidden_features: the size of the state.
      gate_fn: the activation of the gates.
      activation_fn: the activation of the candidate n.
      kernel_init: initializer of the kernel of the input.
      recurrent_kernel_init: initializer of the kernel of the state.
      bias_init: initializer of the bias.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry; by default zeros.
      promote_dtype: brings the arrays of a linear map to one dtype.
      keep_rngs: deprecated; whether to keep a stream of random keys for carries.
      rngs: the keys for the parameters.
      kernel_metadata: metadata of the kernel of the input.
      recurrent_kernel_metadata: metadata of the kernel of the state.
      bias_metadata: metadata of the bias.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> cell, x = nnx.GRUCell(3, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 3))
        >>> carry, y = cell(cell.initialize_carry(x.shape, nnx.Rngs(1)), x)
        >>> carry.shape, y.shape
        ((2, 4), (2, 4))

    Reference:
      Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder".
    """

    def _add_maps(self, of_input: Maker, of_state: Maker) -> None:
        self.dense_i, self.dense_h = of_input(3), of_state(3)

    def __call__(self, carry: Array, inputs: Array) -> Pair:
        """Take a step; arguments and results are those of `SimpleCell`."""
        new_state = recurrent.packed_gru_step(
            carry,
            self.dense_i(inputs),
            self.dense_h(carry),
            gate_fn=self.gate_fn,
            activation_fn=self.activation_fn,
        )
        return new_state, new_state
