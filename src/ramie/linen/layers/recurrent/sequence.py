"""Recurrent cells over whole sequences: RNN and Bidirectional."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from ramie.core.filters import Filter
from ramie.linen.layers.linear import place, refuse_class
from ramie.linen.layers.recurrent.cell import RNNCellBase
from ramie.linen.machinery.kw_only_dataclasses import field
from ramie.linen.machinery.methods import compact
from ramie.linen.module import Module, nowrap
from ramie.linen.transforms import mapping
from ramie.ops import recurrent
from ramie.ops.eager.meshes import whole_along
from ramie.ops.linear import as_tuple
from ramie.trees.frozen import FrozenDict
from ramie.typing import Array, InOutScanAxis, PRNGKey

__all__ = ["RNN", "Bidirectional", "RNNBase"]

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})
_SAME_PARAMS: FrozenDict[Any, Any] = FrozenDict({"params": False})


class RNNBase(Protocol):
    """What `Bidirectional` runs in each direction: `RNN`, or anything that is called like it."""

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run over sequences; see `RNN`."""
        ...


def _or(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


class RNN(Module):
    """Runs a cell over sequences, in one compiled loop.

    Parameters: those of the cell, under ``cell``.

    Attributes:
      cell: a module that makes one step, see `RNNCellBase`.
      time_major: whether inputs are ``[time, *batch, *features]`` instead of
        ``[*batch, time, *features]``.
      return_carry: whether a call returns the last carry, too.
      reverse: whether to begin at the end of each sequence; results come in the order in which
        they were computed.
      keep_order: with `reverse`, whether to return results in the order of the inputs.
      unroll: how many steps one iteration of the loop makes.
      variable_axes: collections of which each step has its own slice, with the axis; see
        `ramie.linen.scan`.
      variable_broadcast: the collections that all steps share.
      variable_carry: the collections that each step hands on to the next.
      split_rngs: random streams, each with whether steps draw different numbers.
      cell_size: the size with which to ask the cell for a carry, ``initialize_carry(key, batch,
        cell_size)``, as earlier releases of Flax did; not needed for cells that know their
        features.

    Example:
      >>> import jax, ramie.linen as nn
      >>> x = jax.numpy.ones((2, 5, 3))  # batch, time, features
      >>> rnn = nn.RNN(nn.LSTMCell(features=4), return_carry=True)
      >>> variables = rnn.init(jax.random.key(0), x)
      >>> (memory, state), y = rnn.apply(variables, x, seq_lengths=jax.numpy.array([5, 2]))
      >>> state.shape, y.shape
      ((2, 4), (2, 5, 4))
    """

    cell: RNNCellBase
    time_major: bool = False
    return_carry: bool = False
    reverse: bool = False
    keep_order: bool = False
    unroll: int = 1
    variable_axes: Mapping[Any, InOutScanAxis] = _NOTHING
    variable_broadcast: Filter = "params"
    variable_carry: Filter = False
    split_rngs: Mapping[Any, bool] = _SAME_PARAMS
    cell_size: int | Sequence[int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a class of cells; take a size in second place for `cell_size`, as it once was."""
        refuse_class(self, self.cell, "cell")
        if not isinstance(self.time_major, bool | np.bool_) and self.cell_size is None:
            self.cell_size, self.time_major = self.time_major, False
        super().__post_init__()

    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run the cell over sequences.

        Args:
          inputs: ``[*batch, time, *features]``, or as `time_major` says.
          initial_carry: the carry to begin with; by default what the cell initialises.
          init_key: a key for initialising the carry; by default that of seed 0.
          seq_lengths: integers ``[*batch]``, for sequences that are padded at their ends. Results
            at the padding are computed like all others and are not set to zero, but the returned
            carry is that of the last valid step: the initial one at length 0. A length beyond the
            number of steps counts as that number.
          return_carry: overrides the attribute.
          time_major: overrides the attribute.
          reverse: overrides the attribute. Padding stays at the end.
          keep_order: overrides the attribute.

        Returns:
          Results like `inputs`, with the features of the cell's output; with `return_carry`, a
          pair of the last carry and the results.

        Raises:
          ValueError: if the inputs have too few axes for the cell, or `seq_lengths` is not one
            integer per sequence.
        """
        time_major = _or(time_major, self.time_major)
        backwards = _or(reverse, self.reverse)
        restore = backwards and _or(keep_order, self.keep_order)
        with_carry = _or(return_carry, self.return_carry)
        time_axis, batch, features = self._axes(np.shape(inputs), time_major)
        lengths = recurrent.checked_lengths(seq_lengths, batch, place(self))
        ndim = len(batch)

        if initial_carry is None:
            initial_carry = self._first_carry(init_key, batch, features)
        inputs = whole_along(inputs, time_axis)  # JAX scans nothing that is divided over its steps
        initial_carry = recurrent.begun(initial_carry, inputs, ndim, time_major)
        # Where no step has anything of its own, running the loop backwards spares the flips.
        turn = backwards and (lengths is not None or self._steps_differ())
        if turn:
            inputs = recurrent.flip_sequences(inputs, lengths, ndim, time_major)
        history_wanted = with_carry and lengths is not None

        def step(cell: Any, carry: Any, x: Array) -> tuple[Any, Any]:
            new_carry, y = cell(carry, x)
            carry = recurrent.carried_on(new_carry, carry)
            return carry, (carry, y) if history_wanted else y

        step.__name__ = "__call__"  # for profiles and tables it is the cell's own
        run = mapping.scan(
            step,
            variable_axes=self.variable_axes,
            variable_broadcast=self.variable_broadcast,
            variable_carry=self.variable_carry,
            split_rngs=self.split_rngs,
            in_axes=time_axis,
            out_axes=(0, time_axis) if history_wanted else time_axis,
            unroll=self.unroll,
            reverse=backwards and not turn,
        )
        carry, outputs = run(self.cell, initial_carry, inputs)
        if history_wanted:
            history, outputs = outputs
            carry = jax.tree_util.tree_map(
                lambda states, first: recurrent.last_states(states, first, lengths, ndim),
                history,
                initial_carry,
            )
        if backwards and turn == restore:
            # Results stand in the order of computation after a turn, else in that of the inputs.
            outputs = jax.tree_util.tree_map(
                lambda y: recurrent.flip_sequences(y, lengths, ndim, time_major), outputs
            )
        return (carry, outputs) if with_carry else outputs

    @nowrap
    def _steps_differ(self) -> bool:
        return bool(self.variable_axes) or any(self.split_rngs.values())

    @nowrap
    def _axes(
        self, shape: tuple[int, ...], time_major: bool
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Return the axis of time, the shape of the batch, and that of the features."""
        if self.cell_size is not None:
            count = len(as_tuple(self.cell_size))
        else:
            count = self.cell.num_feature_axes
        time_axis = len(shape) - count - 1
        if time_axis < 0:
            raise ValueError(
                f"{place(self)}: the inputs have shape {shape}, but need an axis of time and "
                f"{count} of features for {type(self.cell).__name__}."
            )
        features = shape[time_axis + 1 :]
        if time_major:
            return 0, shape[1 : time_axis + 1], features
        return time_axis, shape[:time_axis], features

    @nowrap
    def _first_carry(
        self, init_key: PRNGKey | None, batch: tuple[int, ...], features: tuple[int, ...]
    ) -> Any:
        key = jax.random.key(0) if init_key is None else init_key
        if self.cell_size is None:
            return self.cell.initialize_carry(key, (*batch, *features))
        cell: Any = self.cell
        return cell.initialize_carry(key, batch, self.cell_size)


class Bidirectional(Module):
    """Runs one RNN forwards and one backwards over the same sequences, and merges their results.

    Parameters: those of the two, under ``forward_rnn`` and ``backward_rnn``.

    Attributes:
      forward_rnn: the RNN that begins at the start.
      backward_rnn: the RNN that begins at the end. Both may hold the same cell.
      merge_fn: joins the results of both at each step; by default their features are concatenated.
      time_major: whether inputs are ``[time, *batch, *features]``.
      return_carry: whether a call returns the last carries, too.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.Bidirectional(nn.RNN(nn.GRUCell(4)), nn.RNN(nn.GRUCell(4)))
      >>> y, _ = layer.init_with_output(jax.random.key(0), jax.numpy.ones((2, 5, 3)))
      >>> y.shape
      (2, 5, 8)

    Reference:
      Schuster, Paliwal, "Bidirectional recurrent neural networks".
    """

    forward_rnn: RNNBase
    backward_rnn: RNNBase
    merge_fn: Callable[[Array, Array], Array] = recurrent.joined
    time_major: bool = False
    return_carry: bool = False

    @compact
    def __call__(
        self,
        inputs: Array,
        *,
        initial_carry: Any | None = None,
        init_key: PRNGKey | None = None,
        seq_lengths: Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """Run both over sequences.

        Args:
          inputs: as for `RNN`.
          initial_carry: a pair, the carry that each direction begins with.
          init_key: a key for initialising carries; each direction uses one split from it.
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
        shared: dict[str, Any] = {
            "seq_lengths": seq_lengths,
            "return_carry": True,
            "time_major": _or(time_major, self.time_major),
        }
        keys = (None, None) if init_key is None else tuple(jax.random.split(init_key))
        carries = (None, None) if initial_carry is None else initial_carry
        try:
            forward_carry, backward_carry = carries
        except (TypeError, ValueError):
            raise ValueError(
                f"{place(self)}: initial_carry is a pair of the carries of both directions, but "
                f"got {type(carries).__name__}."
            ) from None
        for name in ("forward_rnn", "backward_rnn"):
            refuse_class(self, getattr(self, name), name)
        forward_carry, forward = self.forward_rnn(
            inputs, initial_carry=forward_carry, init_key=keys[0], reverse=False, **shared
        )
        backward_carry, backward = self.backward_rnn(
            inputs,
            initial_carry=backward_carry,
            init_key=keys[1],
            reverse=True,
            keep_order=True,
            **shared,
        )
        merged = self._merged(forward, backward)
        if _or(return_carry, self.return_carry):
            return (forward_carry, backward_carry), merged
        return merged

    @nowrap
    def _merged(self, forward: Any, backward: Any) -> Any:
        structures: list[Any] = [jax.tree_util.tree_structure(y) for y in (forward, backward)]
        if structures[0] != structures[1]:
            raise ValueError(
                f"{place(self)}: the two directions return different structures, so they cannot "
                "be merged step by step."
            )
        return jax.tree_util.tree_map(self.merge_fn, forward, backward)
