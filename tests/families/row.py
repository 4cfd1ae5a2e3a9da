"""One row of the table of layers: how to make the layer, and what to call it with."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Input:
    """An argument of a call: its shape and what is in it.

    Args:
      shape: the shape.
      below: for integers from 0 up to this; None for normally distributed floats.
      boolean: whether it holds random truth values.
    """

    shape: tuple[int, ...]
    below: int | None = None
    boolean: bool = False

    def array(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        if self.boolean:
            return rng.random(self.shape) < 0.7
        if self.below is not None:
            return rng.integers(0, self.below, self.shape).astype(np.int32)
        return rng.standard_normal(self.shape).astype(np.float32)


class Pair(Input):
    """An argument that is a pair of arrays of one shape, such as the carry of an LSTM."""

    def array(self, seed: int) -> Any:
        first, second = np.random.default_rng(seed).standard_normal((2, *self.shape))
        return first.astype(np.float32), second.astype(np.float32)


def floats(*shape: int) -> Input:
    return Input(shape)


def pair(*shape: int) -> Input:
    return Pair(shape)


def integers(*shape: int, below: int) -> Input:
    return Input(shape, below=below)


def booleans(*shape: int) -> Input:
    return Input(shape, boolean=True)


@dataclass(frozen=True, eq=False)
class Row:
    """A layer in one configuration.

    Args:
      name: identifies the row in test ids.
      make: makes the module from a namespace (`ramie.linen` or `flax.linen`) and more fields.
      inputs: positional arguments of the call.
      kwargs: keyword arguments of the call, in init and apply alike.
      streams: random streams that a call of apply draws from.
      mutable: collections that a call of apply updates.
      dtypes: whether the module has the fields `dtype` and `param_dtype`.
      exact: whether the eager result is Flax's bit for bit in float32.
      differentiable: whether gradients of the parameters make sense.
      loops: whether the call runs a loop, whose steps are compiled even in eager mode and round
        differently one operation at a time.
      peer: whether Flax has the layer.
    """

    name: str
    make: Callable[..., Any]
    inputs: tuple[Input, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    mutable: tuple[str, ...] = ()
    dtypes: bool = True
    exact: bool = True
    differentiable: bool = True
    loops: bool = False
    peer: bool = True

    def arguments(self) -> tuple[Any, ...]:
        arrays = tuple(x.array(seed) for seed, x in enumerate(self.inputs))
        return jax.tree_util.tree_map(jnp.asarray, arrays)  # type: ignore[no-any-return]

    def keys(self, seed: int = 0) -> dict[str, jax.Array]:
        names = ("params", *self.streams)
        return {name: jax.random.key(seed + i) for i, name in enumerate(names)}

    def init(self, nn: Any, **fields: Any) -> Any:
        return self.make(nn, **fields).init(self.keys(), *self.arguments(), **self.kwargs)

    def apply(self, module: Any, variables: Any, *arguments: Any) -> Any:
        """Call the module as in training: the output, with the updated collections if any."""
        rngs = {name: key for name, key in self.keys(seed=7).items() if name != "params"}
        return module.apply(
            variables,
            *(arguments or self.arguments()),
            rngs=rngs or None,
            mutable=list(self.mutable) or False,
            **self.kwargs,
        )


def randomised(variables: Any) -> Any:
    """Move floating point leaves off their initial values, so that biases and scales show.

    Values stay near the initial ones: variances remain positive.
    """
    rng = np.random.default_rng(11)

    def moved(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return leaf + jnp.asarray(0.1 * rng.uniform(-1, 1, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map(moved, variables)


@functools.cache
def prepared(row: Row) -> tuple[Any, Any]:
    """The Ramie module of a row and randomised variables for it; tests must not change them."""
    import ramie.linen as nn

    return row.make(nn), randomised(row.init(nn))
