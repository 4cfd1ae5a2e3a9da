"""One time step of recurrent cells, as functions of what the gates receive; and sequences of steps.

The linear maps of a cell (dense or convolutional, separate or packed) are the layer's choice. They
arrive here as sums per gate, or separately from input and state where a gate needs both.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ramie.ops.eager.meshes import laid_again, laid_like, laid_out
from ramie.ops.eager.replaced import current
from ramie.typing import Array

__all__ = [
    "begun",
    "carried_on",
    "checked_lengths",
    "conv_lstm_step",
    "flip_sequences",
    "gru_step",
    "joined",
    "last_states",
    "lstm_step",
    "mgu_step",
    "optimized_lstm_step",
    "packed_gru_step",
    "simple_step",
]

Activation = Callable[..., Any]


def _memory_sources(cell: Array, *_: Any, **__: Any) -> Any:
    return [[(cell, range(cell.ndim))]] * 2


def _state_sources(state: Array, *_: Any, **__: Any) -> Any:
    return [[(state, range(state.ndim))]]


@laid_out()
def simple_step(
    from_input: Array,
    from_state: Array,
    state: Array,
    *,
    activation_fn: Activation = jnp.tanh,
    residual: bool = False,
) -> Array:
    """Take a step of the Elman cell: ``h' = activation(from_input + from_state)``.

    Args:
      from_input: linear map of the input.
      from_state: linear map of the state.
      state: the state h.
      activation_fn: the activation.
      residual: whether h is added before the activation.

    Returns:
      The new state, which is also the output.
    """
    total = from_input + from_state
    if residual:
        total = total + state
    new_state: Array = current(activation_fn)(total)
    return new_state


@laid_out(_memory_sources)
def lstm_step(
    cell: Array,
    i: Array,
    f: Array,
    g: Array,
    o: Array,
    *,
    gate_fn: Activation = jax.nn.sigmoid,
    activation_fn: Activation = jnp.tanh,
) -> tuple[Array, Array]:
    """Take a step of long short-term memory.

    ``c' = gate(f) * c + gate(i) * act(g)`` and ``h' = gate(o) * act(c')``.

    Args:
      cell: the memory c.
      i: what the input gate receives.
      f: what the forget gate receives.
      g: what the candidate receives.
      o: what the output gate receives.
      gate_fn: activation of the gates.
      activation_fn: activation of candidate and memory.

    Returns:
      The new memory and the new state h'.

    Reference:
      Hochreiter, Schmidhuber, "Long Short-Term Memory".
    """
    gate_fn, activation_fn = current(gate_fn), current(activation_fn)
    new_cell = gate_fn(f) * cell + gate_fn(i) * activation_fn(g)
    return new_cell, gate_fn(o) * activation_fn(new_cell)


@laid_out(_memory_sources)
def optimized_lstm_step(
    cell: Array,
    from_input: Array,
    from_state: Array,
    *,
    gate_fn: Activation = jax.nn.sigmoid,
    activation_fn: Activation = jnp.tanh,
) -> tuple[Array, Array]:
    """Take a step of long short-term memory whose four gates come from one packed map.

    ``from_input, from_state: [..., 4 * features]`` in the order i, f, g, o.

    Args:
      cell: the memory c, ``[..., features]``.
      from_input: packed linear map of the input.
      from_state: packed linear map of the state.
      gate_fn: activation of the gates.
      activation_fn: activation of candidate and memory.

    Returns:
      The new memory and the new state.
    """
    i, f, g, o = jnp.split(from_input + from_state, 4, axis=-1)
    return lstm_step(cell, i, f, g, o, gate_fn=gate_fn, activation_fn=activation_fn)


@laid_out(_memory_sources)
def conv_lstm_step(cell: Array, from_input: Array, from_state: Array) -> tuple[Array, Array]:
    """Take a step of convolutional long short-term memory.

    ``from_input, from_state: [..., 4 * features]`` in the order i, g, f, o, as convolutions give
    them. The forget gate is biased by one, so that early training remembers.

    Args:
      cell: the memory c, ``[..., features]``.
      from_input: convolution of the input.
      from_state: convolution of the state.

    Returns:
      The new memory and the new state.

    Reference:
      Shi et al., "Convolutional LSTM Network".
    """
    i, g, f, o = jnp.split(from_input + from_state, 4, axis=-1)
    return lstm_step(cell, i, f + 1, g, o)


@laid_out(_state_sources)
def gru_step(
    state: Array,
    from_input: tuple[Array, Array, Array],
    from_state: tuple[Array, Array, Array],
    *,
    gate_fn: Activation = jax.nn.sigmoid,
    activation_fn: Activation = jnp.tanh,
) -> Array:
    """Take a step of the gated recurrent unit.

    ``n = act(n_x + gate(r) * n_h)`` and ``h' = (1 - gate(z)) * n + gate(z) * h``.

    Args:
      state: the state h.
      from_input: what r, z and n receive from the input.
      from_state: what r, z and n receive from the state.
      gate_fn: activation of the gates r and z.
      activation_fn: activation of the candidate n.

    Returns:
      The new state, which is also the output.

    Reference:
      Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder".
    """
    (xr, xz, xn), (hr, hz, hn) = from_input, from_state
    gate_fn, activation_fn = current(gate_fn), current(activation_fn)
    r, z = gate_fn(xr + hr), gate_fn(xz + hz)
    n = activation_fn(xn + r * hn)
    return (1.0 - z) * n + z * state


@laid_out(_state_sources)
def packed_gru_step(
    state: Array,
    from_input: Array,
    from_state: Array,
    *,
    gate_fn: Activation = jax.nn.sigmoid,
    activation_fn: Activation = jnp.tanh,
) -> Array:
    """Take a step of the gated recurrent unit whose three gates come from one packed map.

    ``from_input, from_state: [..., 3 * features]`` in the order r, z, n; otherwise as `gru_step`.
    """
    x, h = jnp.split(from_input, 3, axis=-1), jnp.split(from_state, 3, axis=-1)
    return gru_step(
        state,
        (x[0], x[1], x[2]),
        (h[0], h[1], h[2]),
        gate_fn=gate_fn,
        activation_fn=activation_fn,
    )


@laid_out(_state_sources)
def mgu_step(
    state: Array,
    from_input: tuple[Array, Array],
    from_state: tuple[Array, Array],
    *,
    gate_fn: Activation = jax.nn.sigmoid,
    activation_fn: Activation = jnp.tanh,
    reset_gate: bool = True,
) -> Array:
    """Take a step of the minimal gated unit, which has the forget gate alone.

    ``n = act(n_x + gate(f) * n_h)`` and ``h' = (1 - gate(f)) * n + gate(f) * h``.

    Args:
      state: the state h.
      from_input: what f and n receive from the input.
      from_state: what f and n receive from the state.
      gate_fn: activation of the gate f.
      activation_fn: activation of the candidate n.
      reset_gate: whether the gate also scales what n receives from the state.

    Returns:
      The new state, which is also the output.

    Reference:
      Zhou et al., "Minimal Gated Unit for Recurrent Neural Networks".
    """
    (xf, xn), (hf, hn) = from_input, from_state
    f = current(gate_fn)(xf + hf)
    n = current(activation_fn)(xn + (f * hn if reset_gate else hn))
    return (1.0 - f) * n + f * state


def begun(carry: Any, inputs: Array, batch_dims: int, time_major: bool) -> Any:
    """Lay the first carry out on explicit mesh axes as the sequences are, unless it is divided.

    Args:
      carry: a tree of arrays ``[*batch, ...]``.
      inputs: ``[*batch, time, ...]``, or ``[time, *batch, ...]`` if `time_major`.
      batch_dims: the number of batch axes.
      time_major: whether time comes first.
    """
    return laid_like(carry, inputs, [axis + time_major for axis in range(batch_dims)])


def carried_on(new: Any, old: Any) -> Any:
    """Return the carry of a step with the types of the carry before it, so that steps can go on.

    A cell may compute in another precision than its carry has: by `dtype`, or by inputs that are
    wider than its parameters. On explicit mesh axes its result may lie elsewhere, too.

    Args:
      new: the carry after a step; any pytree.
      old: the carry before it.
    """
    structures: list[Any] = [jax.tree_util.tree_structure(carry) for carry in (new, old)]
    if structures[0] != structures[1]:
        return new  # the loop says what differs
    return jax.tree_util.tree_map(lambda a, b: laid_again(_in_float_of(a, b), b), new, old)


def _in_float_of(new: Any, old: Any) -> Any:
    kinds: list[Any] = [getattr(x, "dtype", None) for x in (new, old)]
    if kinds[0] == kinds[1] or not all(k and jnp.issubdtype(k, jnp.floating) for k in kinds):
        return new
    return lax.convert_element_type(new, kinds[1])


@laid_out(lambda a, b: [[(x, range(x.ndim - 1)) for x in (a, b)]])
def joined(a: Array, b: Array) -> Array:
    """Join the features of what runs in both directions.

    Args:
      a: ``[..., forward features]``.
      b: ``[..., backward features]``.
    """
    return jnp.concatenate([a, b], axis=-1)


@laid_out(_state_sources)
def flip_sequences(
    inputs: Array, seq_lengths: Array | None, num_batch_dims: int, time_major: bool
) -> Array:
    """Reverse sequences in time, each within its own length: padding stays at the end.

    Args:
      inputs: ``[*batch, time, ...]``, or ``[time, *batch, ...]`` if `time_major`.
      seq_lengths: integers that broadcast to ``[*batch]``, or None if all sequences are full.
        More than there are steps count as all of them.
      num_batch_dims: the number of batch axes.
      time_major: whether time comes first.

    Returns:
      An array like `inputs`. What is padding is reversed, too, within itself.

    Example:
      >>> import jax.numpy as jnp
      >>> flip_sequences(jnp.array([[1, 2, 3, 0]]), jnp.array([3]), 1, time_major=False).tolist()
      [[3, 2, 1, 0]]
    """
    time_axis = 0 if time_major else num_batch_dims
    if seq_lengths is None:
        return jnp.flip(inputs, axis=time_axis)
    steps, ndim = inputs.shape[time_axis], inputs.ndim
    batch_axes = range(1, num_batch_dims + 1) if time_major else range(num_batch_dims)
    batch = tuple(inputs.shape[a] for a in batch_axes)
    if not steps:
        return inputs
    # Counted down from its length, step t reads position length - 1 - t, modulo all steps.
    down = jnp.arange(steps - 1, -1, -1, dtype=jnp.int32)
    down = lax.expand_dims(down, [a for a in range(ndim) if a != time_axis])
    lengths = _in_front(_as_lengths(seq_lengths, steps), batch)
    lengths = lax.expand_dims(lengths, [a for a in range(ndim) if a not in batch_axes])
    index = lax.rem(lax.add(*jnp.broadcast_arrays(down, lengths)), jnp.int32(steps))
    return jnp.take_along_axis(inputs, index, axis=time_axis, mode="promise_in_bounds")


@laid_out(lambda history, *_: [[(history, (None, *range(history.ndim - 1)))]])
def last_states(history: Array, initial: Array, seq_lengths: Array, num_batch_dims: int) -> Array:
    """Return what was there after the last valid step of each sequence.

    Args:
      history: a state after each step, ``[time, *batch, ...]``.
      initial: the state before the first step, ``[*batch, ...]``: that of a sequence of length 0.
      seq_lengths: integers that broadcast to ``[*batch]``. More than there are steps count as all
        of them.
      num_batch_dims: the number of batch axes.

    Returns:
      ``[*batch, ...]``.
    """
    steps = history.shape[0]
    if not steps:
        return jnp.asarray(initial)
    batch = history.shape[1 : 1 + num_batch_dims]
    lengths = _in_front(_as_lengths(seq_lengths, steps), batch)
    lengths = lax.expand_dims(lengths, [0, *range(1 + num_batch_dims, history.ndim)])
    # Of a length of 0 that is -1, the last step, which the next line does not take.
    last = jnp.take_along_axis(history, lengths - 1, axis=0, mode="promise_in_bounds")[0]
    return jnp.where(lengths[0] > 0, last, initial)


def checked_lengths(seq_lengths: Any, batch: tuple[int, ...], where: str) -> Array | None:
    """Return the lengths of sequences as an array, after checking that there is one for each.

    Args:
      seq_lengths: the lengths, or None.
      batch: the shape of the batch.
      where: whose argument they are.

    Raises:
      ValueError: if they are no integers, or not as many.
    """
    if seq_lengths is None:
        return None
    lengths = jnp.asarray(seq_lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(
            f"{where}: seq_lengths counts steps, so it holds integers, not {lengths.dtype}."
        )
    try:
        fits = jnp.broadcast_shapes(lengths.shape, batch) == batch
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{where}: seq_lengths has shape {lengths.shape}, but the batch has {batch}: it holds "
            "one length for each sequence."
        )
    return lengths


def _as_lengths(seq_lengths: Array, steps: int) -> Array:
    lengths = jnp.asarray(seq_lengths)
    kind = lengths.dtype
    # Unsigned or narrow integers are compared before they would wrap around.
    most = min(steps, jnp.iinfo(kind).max)
    return lax.clamp(np.zeros((), kind), lengths, np.asarray(most, kind)).astype(jnp.int32)


def _in_front(lengths: Array, batch: tuple[int, ...]) -> Array:
    return lengths if lengths.shape == batch else jnp.broadcast_to(lengths, batch)
