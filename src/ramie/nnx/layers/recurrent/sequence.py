"""Recurrent cells over whole sequences: RNN and Bidirectional."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax

from ramie.nnx.layers.parameters import an_instance, keep, of_stream
from ramie.nnx.layers.recurrent.cell import RNNCellBase
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.marks import data
from ramie.nnx.randomness.forks import fork_rngs
from ramie.nnx.randomness.rng import Rngs, RngState, RngStream
from ramie.nnx.states.filters import All, Filter, to_predicate
from ramie.nnx.transforms.iteration.axes import Carry, StateAxes
from ramie.nnx.transforms.iteration.scanning import scan
from ramie.ops import recurrent
from ramie.ops.eager.meshes import whole_along
from ramie.typing import Array

__all__ = ["RNN", "Bidirectional", "RNNBase"]


class RNNBase(Protocol):
    """What `Bidirectional` runs in each direction: `RNN`, or anything that is called like it."""

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any | None = None,
        rngs: Rngs | RngStream | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run over sequences; see `RNN`."""
        ...


_CARRIED = StateAxes([(..., Carry)])


def _or(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _stream(layer: Module, rngs: Any) -> RngStream | None:
    """Return the stream of a layer for its carries: made, forked, or none at all."""
    if rngs is True:
        return RngStream(0, tag="carry")
    if rngs is False:
        return None
    try:
        stream: RngStream = of_stream(rngs, "carry", layer, " or bool").fork()
    except TypeError as error:
        raise ValueError(f"Expected rngs to be a Rngs, RngStream, or bool: {error}") from None
    return stream


class RNN(Module):
    """Runs a cell over sequences, in one compiled loop.

    Variables of the cell change from step to step as the cell changes them, and so go on.

    Args:
      cell: a module that makes one step, see `RNNCellBase`.
      time_major: whether inputs are ``[time, *batch, *features]`` instead of
        ``[*batch, time, *features]``.
      return_carry: whether a call returns the last carry, too.
      reverse: whether to begin at the end of each sequence; results come in the order in which
        they were computed.
      keep_order: with `reverse`, whether to return results in the order of the inputs.
      unroll: how many steps one iteration of the loop makes.
      state_axes: what becomes of the variables of the cell, by filter, see `StateAxes`: handed on
        (`Carry`, the default), the same for all steps (None), or a slice per step (an axis).
      broadcast_rngs: which random streams of the cell give the same numbers in all steps, as
        dropout of states needs.
      rngs: a stream "carry" to fork for initialising carries; True for one of seed 0, False for
        none.

    Raises:
      TypeError: if `cell` is a class.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rnn = nnx.RNN(nnx.LSTMCell(3, 4, rngs=nnx.Rngs(0)), return_carry=True)
        >>> x = jnp.ones((2, 5, 3))  # batch, time, features
        >>> (memory, state), y = rnn(x, seq_lengths=jnp.array([5, 2]))
        >>> state.shape, y.shape
        ((2, 4), (2, 5, 4))
    """

    cell: RNNCellBase
    time_major: bool
    return_carry: bool
    reverse: bool
    keep_order: bool
    unroll: int
    state_axes: StateAxes
    rngs: RngStream | None
    broadcast_rngs: Filter

    def __init__(
        self,
        cell: RNNCellBase,
        *,
        time_major: bool = False,
        return_carry: bool = False,
        reverse: bool = False,
        keep_order: bool = False,
        unroll: int = 1,
        state_axes: Mapping[Any, int | type[Carry] | None] | None = None,
        broadcast_rngs: Filter = None,
        rngs: Rngs | RngStream | bool = True,
    ) -> None:
        keep(
            self,
            cell=an_instance(self, cell, "cell"),
            time_major=time_major,
            return_carry=return_carry,
            reverse=reverse,
            keep_order=keep_order,
            unroll=unroll,
            rngs=data(_stream(self, rngs)),
            state_axes=_CARRIED if state_axes is None else StateAxes(state_axes),
            broadcast_rngs=broadcast_rngs,
        )

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Rngs | RngStream | None = None,
    ) -> Any:
        """Run the cell over sequences.

        Args:
          inputs: ``[*batch, time, *features]``, or as `time_major` says.
          initial_carry: the carry to begin with; by default what the cell initialises.
          seq_lengths: integers ``[*batch]``, for sequences that are padded at their ends. Results
            at the padding are computed like all others and are not set to zero, but the returned
            carry is that of the last valid step: the initial one at length 0. A length beyond the
            number of steps counts as that number.
          return_carry: overrides the attribute.
          time_major: overrides the attribute.
          reverse: overrides the attribute. Padding stays at the end.
          keep_order: overrides the attribute.
          rngs: random keys for initialising a carry, in place of the stream of the layer.

        Returns:
          Results like `inputs`, with the features of the cell's output; with `return_carry`, a
          pair of the last carry and the results.

        Raises:
          ValueError: if the inputs have too few axes for the cell, `seq_lengths` is not one
            integer per sequence, or there are no random keys to initialise a carry with.
        """
        time_major = _or(time_major, self.time_major)
        backwards = _or(reverse, self.reverse)
        with_carry = _or(return_carry, self.return_carry)
        time_axis, batch, features = self._axes(inputs.shape, time_major)
        ndim = len(batch)
        lengths = recurrent.checked_lengths(seq_lengths, batch, "RNN")
        if initial_carry is None:
            given: Any = self.rngs if rngs is None else rngs
            initial_carry = self.cell.initialize_carry((*batch, *features), given)
        inputs = whole_along(inputs, time_axis)  # JAX scans nothing that is divided over its steps
        initial_carry = recurrent.begun(initial_carry, inputs, len(batch), time_major)
        if backwards:
            inputs = recurrent.flip_sequences(inputs, lengths, ndim, time_major)
        history_wanted = with_carry and lengths is not None
        carry, outputs, history = self._run(initial_carry, inputs, time_axis, history_wanted)
        if history_wanted:
            carry = jax.tree.map(
                lambda states, first: recurrent.last_states(states, first, lengths, ndim),
                history,
                initial_carry,
            )
        if backwards and _or(keep_order, self.keep_order):
            outputs = jax.tree.map(
                lambda y: recurrent.flip_sequences(y, lengths, ndim, time_major), outputs
            )
        return (carry, outputs) if with_carry else outputs

    def _run(
        self, carry: Any, inputs: Array, time_axis: int, history_wanted: bool
    ) -> tuple[Any, Any, Any]:
        """Run the loop: the last carry, the outputs, and the carries after each step if wanted."""
        same = All(RngState, self.broadcast_rngs)
        axes = StateAxes([(same, None), *self.state_axes.items()])

        def step(cell: Any, carry: Any, x: Array) -> tuple[Any, Any]:
            new_carry, y = cell(carry, x)
            carry = recurrent.carried_on(new_carry, carry)
            return carry, (y, carry if history_wanted else None)

        run = scan(
            step,
            in_axes=(axes, Carry, time_axis),
            out_axes=(Carry, (time_axis, 0)),
            unroll=self.unroll,
            graph=True,
            graph_updates=True,
        )
        forked: dict[Filter, None] = {to_predicate(self.broadcast_rngs): None}
        with fork_rngs(self.cell, split=forked, graph=True, graph_updates=True):
            carry, (outputs, history) = run(self.cell, carry, inputs)
        return carry, outputs, history

    def _axes(
        self, shape: tuple[int, ...], time_major: bool
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Return the axis of time, the shape of the batch, and that of the features."""
        count = self.cell.num_feature_axes
        time_axis = len(shape) - count - 1
        if time_axis < 0:
            raise ValueError(
                f"The inputs of RNN have shape {shape}, but need an axis of time and {count} of "
                f"features for {type(self.cell).__name__}."
            )
        features = shape[time_axis + 1 :]
        if time_major:
            return 0, shape[1 : time_axis + 1], features
        return time_axis, shape[:time_axis], features


class Bidirectional(Module):
    """Runs one RNN forwards and one backwards over the same sequences, and merges their results.

    Args:
      forward_rnn: the RNN that begins at the start.
      backward_rnn: the RNN that begins at the end. Both may hold the same cell.
      merge_fn: joins the results of both at each step; by default their features are concatenated.
      time_major: whether inputs are ``[time, *batch, *features]``.
      return_carry: whether a call returns the last carries, too.
      rngs: a stream "carry" to fork for initialising the carries of both; True for one of seed 0,
        False to leave that to them.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> forward, backward = (nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs)) for _ in range(2))
        >>> nnx.Bidirectional(forward, backward)(jnp.ones((2, 5, 3))).shape
        (2, 5, 8)

    Reference:
      Schuster, Paliwal, "Bidirectional recurrent neural networks".
    """

    forward_rnn: RNNBase
    backward_rnn: RNNBase
    merge_fn: Callable[[Array, Array], Array] = recurrent.joined
    time_major: bool = False
    return_carry: bool = False
    rngs: RngStream | None

    def __init__(
        self,
        forward_rnn: RNNBase,
        backward_rnn: RNNBase,
        *,
        merge_fn: Callable[[Array, Array], Array] = recurrent.joined,
        time_major: bool = False,
        return_carry: bool = False,
        rngs: Rngs | RngStream | bool = True,
    ) -> None:
        keep(
            self,
            forward_rnn=an_instance(self, forward_rnn, "forward_rnn"),
            backward_rnn=an_instance(self, backward_rnn, "backward_rnn"),
            merge_fn=merge_fn,
            time_major=time_major,
            return_carry=return_carry,
            rngs=data(_stream(self, rngs)),
        )

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: tuple[Any, Any] | None = None,
        rngs: Rngs | RngStream | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run both over sequences.

        Args:
          inputs: as for `RNN`.
          initial_carry: a pair, the carry that each direction begins with; None for the default.
          rngs: random keys for initialising carries, in place of the stream of the layer.
          seq_lengths: as for `RNN`; the backward direction begins at the last valid step.
          return_carry: overrides the attribute.
          time_major: overrides the attribute.
          reverse: of no effect; there so that this can be called like an `RNN`.
          keep_order: of no effect, likewise.

        Returns:
          The merged results, in the order of the inputs; with `return_carry`, a pair of both last
          carries and the results.

        Raises:
          ValueError: if `initial_carry` is no pair, and as `RNN` does.
        """
        del reverse, keep_order
        try:
            first, last = (None, None) if initial_carry is None else initial_carry
        except (TypeError, ValueError):
            raise ValueError(
                "initial_carry of Bidirectional is a pair of the carries of both directions, but "
                f"got {type(initial_carry).__name__}."
            ) from None
        shared: dict[str, Any] = {
            "rngs": self.rngs if rngs is None else rngs,
            "seq_lengths": seq_lengths,
            "return_carry": True,
            "time_major": _or(time_major, self.time_major),
        }
        forward_carry, forward = self.forward_rnn(
            inputs, initial_carry=first, reverse=False, **shared
        )
        backward_carry, backward = self.backward_rnn(
            inputs, initial_carry=last, reverse=True, keep_order=True, **shared
        )
        merged = jax.tree.map(self.merge_fn, forward, backward)
        if _or(return_carry, self.return_carry):
            return (forward_carry, backward_carry), merged
        return merged
