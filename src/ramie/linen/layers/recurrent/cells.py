"""Recurrent cells: one step of a recurrence, from a carry and an input to a carry and an output.

`ramie.linen.layers.recurrent.sequence` applies them to whole sequences.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.linen.layers.conv import Conv
from ramie.linen.layers.linear import Dense, place
from ramie.linen.layers.recurrent.cell import RNNCellBase as RNNCellBase
from ramie.linen.layers.recurrent.cell import (
    carry_method,
    memory_and_state,
    one_feature_axis,
    state_of,
)
from ramie.linen.machinery.methods import nowrap
from ramie.linen.module import Module, compact
from ramie.ops import initializers, linear, recurrent
from ramie.ops.dtypes import promote_dtype
from ramie.typing import Array, Dtype, Initializer

__all__ = [
    "ConvLSTMCell",
    "DenseParams",
    "GRUCell",
    "LSTMCell",
    "MGUCell",
    "OptimizedLSTMCell",
    "RNNCellBase",
    "SimpleCell",
]

default_kernel_init = initializers.lecun_normal()
default_recurrent_init = initializers.orthogonal()

Activation = Callable[..., Any]
Pair = tuple[Array, Array]


def _dense(
    cell: Any, name: str, features: int, kernel_init: Initializer, bias_init: Any = None
) -> Dense:
    """Make one of the linear maps of a cell, with a bias if there is an initializer for it."""
    return Dense(
        features,
        use_bias=bias_init is not None,
        dtype=cell.dtype,
        param_dtype=cell.param_dtype,
        kernel_init=kernel_init,
        bias_init=bias_init or initializers.zeros,
        name=name,
    )


class SimpleCell(RNNCellBase):
    """The cell of Elman: ``h' = tanh(W_i x + b_i + W_h h)``.

    Parameters: ``i/kernel [in, features]``, ``i/bias``, ``h/kernel [features, features]``.

    Attributes:
      features: the size of the state. A call takes it from its carry, so it may be left out where
        carries come from elsewhere.
      activation_fn: the activation.
      kernel_init: initializer of the kernel of the input.
      recurrent_kernel_init: initializer of the kernel of the state.
      bias_init: initializer of the bias.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.
      residual: whether the state is added before the activation.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.SimpleCell(features=4), jax.numpy.ones((2, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> variables = cell.init(jax.random.key(1), carry, x)
      >>> carry, y = cell.apply(variables, carry, x)
      >>> carry.shape, y.shape
      ((2, 4), (2, 4))
    """

    features: int | None = None
    activation_fn: Activation = jnp.tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros
    residual: bool = False

    @compact
    def __call__(self, carry: Array, inputs: Array) -> Pair:
        """Take a step.

        Args:
          carry: the state, ``[..., features]``.
          inputs: ``[..., in]``.

        Returns:
          The new state, and the same as output.

        Raises:
          ScopeParamShapeError: if the last axes are not what the kernels were made for.
          ValueError: if the other axes of carry and input do not go together.
        """
        state = state_of(self, carry, inputs)
        from_input = _dense(self, "i", state.shape[-1], self.kernel_init, self.bias_init)(inputs)
        from_state = _dense(self, "h", state.shape[-1], self.recurrent_kernel_init)(state)
        new_state = recurrent.simple_step(
            from_input,
            from_state,
            state,
            activation_fn=self.activation_fn,
            residual=self.residual,
        )
        return new_state, new_state

    initialize_carry = carry_method(1)
    num_feature_axes = property(one_feature_axis)


class LSTMCell(RNNCellBase):
    """Long short-term memory.

    ``c' = sigmoid(f) * c + sigmoid(i) * tanh(g)`` and ``h' = sigmoid(o) * tanh(c')``, where each of
    i, f, g and o is a linear map of the input plus one of the state with a bias.

    Parameters: ``ii/kernel [in, features]``, ``hi/kernel [features, features]``, ``hi/bias``, and
    likewise for f, g and o.

    Attributes:
      features: the size of memory and state. A call takes it from its carry, so it may be left out
        where carries come from elsewhere.
      gate_fn: the activation of the gates.
      activation_fn: the activation of candidate and memory.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the state.
      bias_init: initializer of the biases.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.LSTMCell(features=4), jax.numpy.ones((2, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> variables = cell.init(jax.random.key(1), carry, x)
      >>> (memory, state), y = cell.apply(variables, carry, x)
      >>> memory.shape, state.shape, y.shape
      ((2, 4), (2, 4), (2, 4))

    Reference:
      Hochreiter, Schmidhuber, "Long Short-Term Memory".
    """

    features: int | None = None
    gate_fn: Activation = jax.nn.sigmoid
    activation_fn: Activation = jnp.tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros

    @compact
    def __call__(self, carry: Pair, inputs: Array) -> tuple[Pair, Array]:
        """Take a step.

        Args:
          carry: memory and state, each ``[..., features]``.
          inputs: ``[..., in]``.

        Returns:
          The new memory and state, and the state as output.

        Raises:
          ScopeParamShapeError: if the last axes are not what the kernels were made for.
          ValueError: if the carry is no pair, or other axes of carry and input do not go together.
        """
        memory, state = memory_and_state(self, carry, inputs)
        features = state.shape[-1]
        gates = []
        for gate in "ifgo":
            from_input = _dense(self, "i" + gate, features, self.kernel_init)(inputs)
            init = self.recurrent_kernel_init
            from_state = _dense(self, "h" + gate, features, init, self.bias_init)(state)
            gates.append(linear.added(from_input, from_state))
        memory, state = recurrent.lstm_step(
            memory, *gates, gate_fn=self.gate_fn, activation_fn=self.activation_fn
        )
        return (memory, state), state

    initialize_carry = carry_method(2)
    num_feature_axes = property(one_feature_axis)


class DenseParams(Module):
    """The parameters of a dense layer, for a cell that multiplies with several of them at once."""

    features: int
    use_bias: bool = True
    param_dtype: Dtype = jnp.float32
    precision: Any = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros

    @compact
    def __call__(self, inputs: Array) -> tuple[Array, Array | None]:
        """Return kernel and bias for an input ``[..., in]``, the bias being None without one."""
        shape = (np.shape(inputs)[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", self.bias_init, (self.features,), self.param_dtype)


class OptimizedLSTMCell(RNNCellBase):
    """Long short-term memory with two matrix products per step in place of eight.

    What it computes and what its parameters are called is as in `LSTMCell`, so either reads what
    the other has trained.

    Attributes:
      features: the size of memory and state. A call takes it from its carry, so it may be left out
        where carries come from elsewhere.
      gate_fn: the activation of the gates.
      activation_fn: the activation of candidate and memory.
      kernel_init: initializer of each kernel of the input.
      recurrent_kernel_init: initializer of each kernel of the state.
      bias_init: initializer of each bias.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.OptimizedLSTMCell(features=4), jax.numpy.ones((2, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> (_, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
      >>> y.shape, sorted(variables["params"])
      ((2, 4), ['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io'])
    """

    features: int | None = None
    gate_fn: Activation = jax.nn.sigmoid
    activation_fn: Activation = jnp.tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros

    @compact
    def __call__(self, carry: Pair, inputs: Array) -> tuple[Pair, Array]:
        """Take a step; arguments, results and errors are those of `LSTMCell`."""
        memory, state = memory_and_state(self, carry, inputs)
        of_input, of_state, biases = [], [], []
        settings: dict[str, Any] = {
            "features": state.shape[-1],
            "param_dtype": self.param_dtype,
            "bias_init": self.bias_init,
        }
        for gate in "ifgo":
            layer = DenseParams(
                name="i" + gate, use_bias=False, kernel_init=self.kernel_init, **settings
            )
            of_input.append(layer(inputs)[0])
            layer = DenseParams(name="h" + gate, kernel_init=self.recurrent_kernel_init, **settings)
            kernel, bias = layer(state)
            of_state.append(kernel)
            biases.append(bias)
        memory, state = recurrent.optimized_lstm_step(
            memory,
            self._product(inputs, of_input, None),
            self._product(state, of_state, biases),
            gate_fn=self.gate_fn,
            activation_fn=self.activation_fn,
        )
        return (memory, state), state

    @nowrap
    def _product(self, x: Array, kernels: list[Array], biases: list[Any] | None) -> Array:
        kernel = linear.side_by_side(kernels)
        bias = None if biases is None else linear.side_by_side(biases)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return linear.dense(x, kernel, bias)

    initialize_carry = carry_method(2)
    num_feature_axes = property(one_feature_axis)


class GRUCell(RNNCellBase):
    """The gated recurrent unit.

    ``n = tanh(n_x + sigmoid(r) * n_h)`` and ``h' = (1 - sigmoid(z)) * n + sigmoid(z) * h``. The
    reset gate r and the update gate z are each a linear map of the input, with a bias, plus one of
    the state; ``n_x`` and ``n_h`` are maps of input and state with a bias each.

    Parameters: ``ir``, ``iz`` and ``in`` with kernels ``[in, features]`` and biases; ``hr``, ``hz``
    and ``hn`` with kernels ``[features, features]``, the last with a bias.

    Attributes:
      features: the size of the state. A call takes it from its carry, so it may be left out where
        carries come from elsewhere.
      gate_fn: the activation of the gates.
      activation_fn: the activation of the candidate n.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the state.
      bias_init: initializer of the biases.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.GRUCell(features=4), jax.numpy.ones((2, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
      >>> carry.shape, y.shape
      ((2, 4), (2, 4))

    Reference:
      Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder".
    """

    features: int | None = None
    gate_fn: Activation = jax.nn.sigmoid
    activation_fn: Activation = jnp.tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    bias_init: Initializer = initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros

    @compact
    def __call__(self, carry: Array, inputs: Array) -> Pair:
        """Take a step; arguments, results and errors are those of `SimpleCell`."""
        state = state_of(self, carry, inputs)
        features = state.shape[-1]
        from_input, from_state = [], []
        for gate in "rzn":
            layer = _dense(self, "i" + gate, features, self.kernel_init, self.bias_init)
            from_input.append(layer(inputs))
            bias_init = self.bias_init if gate == "n" else None
            layer = _dense(self, "h" + gate, features, self.recurrent_kernel_init, bias_init)
            from_state.append(layer(state))
        new_state = recurrent.gru_step(
            state,
            (from_input[0], from_input[1], from_input[2]),
            (from_state[0], from_state[1], from_state[2]),
            gate_fn=self.gate_fn,
            activation_fn=self.activation_fn,
        )
        return new_state, new_state

    initialize_carry = carry_method(1)
    num_feature_axes = property(one_feature_axis)


class MGUCell(RNNCellBase):
    """The minimal gated unit: a GRU whose one gate both forgets and updates.

    ``n = tanh(n_x + sigmoid(f) * n_h)`` and ``h' = (1 - sigmoid(f)) * n + sigmoid(f) * h``.

    Parameters: ``if`` and ``in`` with kernels ``[in, features]`` and biases; ``hf`` and ``hn`` with
    kernels ``[features, features]``, the last with a bias if there is a reset gate.

    Attributes:
      features: the size of the state. A call takes it from its carry, so it may be left out where
        carries come from elsewhere.
      gate_fn: the activation of the gate.
      activation_fn: the activation of the candidate n.
      kernel_init: initializer of the kernels of the input.
      recurrent_kernel_init: initializer of the kernels of the state.
      forget_bias_init: initializer of the bias of the gate; ones, so that it forgets little.
      activation_bias_init: initializer of the biases of the candidate.
      dtype: the dtype of the linear maps; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.
      reset_gate: whether the gate also scales what the candidate takes from the state.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.MGUCell(features=4), jax.numpy.ones((2, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
      >>> carry.shape, y.shape
      ((2, 4), (2, 4))

    Reference:
      Zhou et al., "Minimal Gated Unit for Recurrent Neural Networks".
    """

    features: int | None = None
    gate_fn: Activation = jax.nn.sigmoid
    activation_fn: Activation = jnp.tanh
    kernel_init: Initializer = default_kernel_init
    recurrent_kernel_init: Initializer = default_recurrent_init
    forget_bias_init: Initializer = initializers.ones
    activation_bias_init: Initializer = initializers.zeros
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros
    reset_gate: bool = True

    @compact
    def __call__(self, carry: Array, inputs: Array) -> Pair:
        """Take a step; arguments, results and errors are those of `SimpleCell`."""
        state = state_of(self, carry, inputs)
        features = state.shape[-1]
        recurrent_init, bias_init = self.recurrent_kernel_init, self.activation_bias_init
        xf = _dense(self, "if", features, self.kernel_init, self.forget_bias_init)(inputs)
        hf = _dense(self, "hf", features, recurrent_init)(state)
        reset_bias = bias_init if self.reset_gate else None
        hn = _dense(self, "hn", features, recurrent_init, reset_bias)(state)
        xn = _dense(self, "in", features, self.kernel_init, bias_init)(inputs)
        new_state = recurrent.mgu_step(
            state,
            (xf, xn),
            (hf, hn),
            gate_fn=self.gate_fn,
            activation_fn=self.activation_fn,
            reset_gate=self.reset_gate,
        )
        return new_state, new_state

    initialize_carry = carry_method(1)
    num_feature_axes = property(one_feature_axis)


class ConvLSTMCell(RNNCellBase):
    """Long short-term memory over images, or other grids, whose linear maps are convolutions.

    Parameters: ``ih/kernel [*kernel_size, in, 4 * features]`` and ``hh/kernel [*kernel_size,
    features, 4 * features]``, each with a bias; the four parts are those of i, g, f and o.

    Attributes:
      features: the channels of memory and state.
      kernel_size: the size of the window along each spatial axis.
      strides: steps of the window; None for one.
      padding: as for `Conv`.
      use_bias: whether the convolutions add a bias.
      dtype: the dtype of the convolutions; by default what inputs and parameters promote to.
      param_dtype: the dtype in which parameters and carries are initialised.
      carry_init: initializer of the carry.

    Example:
      >>> import jax, ramie.linen as nn
      >>> cell, x = nn.ConvLSTMCell(features=4, kernel_size=(3, 3)), jax.numpy.ones((2, 5, 5, 3))
      >>> carry = cell.initialize_carry(jax.random.key(0), x.shape)
      >>> (carry, y), variables = cell.init_with_output(jax.random.key(1), carry, x)
      >>> y.shape
      (2, 5, 5, 4)

    Reference:
      Shi et al., "Convolutional LSTM Network".
    """

    features: int
    kernel_size: Sequence[int]
    strides: Sequence[int] | None = None
    padding: str | Sequence[tuple[int, int]] = "SAME"
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    carry_init: Initializer = initializers.zeros

    @compact
    def __call__(self, carry: Pair, inputs: Array) -> tuple[Pair, Array]:
        """Take a step.

        Args:
          carry: memory and state, each ``[..., *spatial, features]``.
          inputs: ``[..., *spatial, in]``.

        Returns:
          The new memory and state, and the state as output.

        Raises:
          ScopeParamShapeError: if the channels are not what the kernels were made for.
          ValueError: if the carry is no pair, or has not `features` channels.
        """
        memory, state = memory_and_state(self, carry, inputs, check_batch=False)
        if state.shape[-1] != self.features or memory.shape[-1] != self.features:
            raise ValueError(
                f"{place(self)}: memory and state have {self.features} channels, but the carry has "
                f"the shapes {memory.shape} and {state.shape}."
            )
        from_input = self._conv("ih")(inputs)
        from_state = self._conv("hh")(state)
        memory, state = recurrent.conv_lstm_step(memory, from_input, from_state)
        return (memory, state), state

    @nowrap
    def _conv(self, name: str) -> Conv:
        return Conv(
            4 * self.features,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
        )

    initialize_carry = carry_method(2)

    @property
    def num_feature_axes(self) -> int:
        """The spatial axes and the channels."""
        return len(linear.as_tuple(self.kernel_size)) + 1
