"""Exponential moving averages of the variables of a model."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ramie.nnx.graph.functional import graphdef, merge, pure, state
from ramie.nnx.objects.marks import data
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.nested import Path
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable

__all__ = ["EMA"]

A = TypeVar("A")


def _averaged(path: Path, x: Any) -> Variable[Any]:
    """Copy a variable, array included, so that either can be donated."""
    if not isinstance(x, Variable):
        raise TypeError(
            f"EMA only supports Variable leaves, got {type(x).__name__} at path "
            f"{'/'.join(map(str, path))!r}. Use the `only` filter to select Variable leaves."
        )
    return x.replace(jax.tree.map(jnp.copy, pure(x)))


class EMA(Pytree):
    """Averages of the variables of a model over the steps, in which recent steps count most.

    With each update, an average ``e`` becomes ``decay * e + (1 - decay) * x``, where ``x`` is the
    value of the model, in the element type that ``e`` has.

    Args:
      params: a Module, a State or any pytree of variables: the averages start with their values.
      decay: how much of an average is left after one step, from 0 to 1.
      only: a filter: which variables to average.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.

    Attributes:
      params: a State with the averages, as variables of the same kinds.
      decay: the decay.
      filter: the filter.

    Raises:
      TypeError: if the filter takes something that is no variable.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(w=nnx.Param(jnp.zeros(())))
        >>> ema = nnx.EMA(model, decay=0.75)
        >>> model.w[...] = jnp.ones(())
        >>> ema.update(model)
        >>> ema.apply_to(model).w[...]
        Array(0.25, dtype=float32)
    """

    def __init__(
        self, params: Any, decay: float, *, only: Filter = ..., graph: bool | None = None
    ) -> None:
        self.graph = graph
        self.decay = decay
        self.filter = only
        tracked = state(params, only, graph=graph)
        self.params: Any = data(
            tracked.map(_averaged) if isinstance(tracked, State) else _averaged((), tracked)
        )

    def update(self, updates: Any) -> None:
        """Move the averages towards the values of a model.

        Args:
          updates: the model, or a State or nested dictionary with values at the same paths.

        Raises:
          ValueError: if a path is missing, or a shape differs.
        """
        if not isinstance(self.params, State):
            self._move((), self.params, updates)
            return
        given = dict(state(updates, graph=self.graph).flat_state())
        missing = [path for path in self.params.flat_state().paths if path not in given]
        if missing:
            names = ", ".join("/".join(map(str, path)) for path in missing[:8])
            raise ValueError(
                f"The update has nothing at {names}, where the EMA has averages: give it a model "
                "of the structure that the EMA was made for."
            )
        for path, average in self.params.flat_state():
            self._move(path, average, given[path])

    def _move(self, path: Path, average: Variable[Any], target: Any) -> None:
        old, new = pure(average), pure(target)
        if jnp.shape(old) != jnp.shape(new):
            raise ValueError(
                f"The update at {'/'.join(map(str, path))!r} has shape {jnp.shape(new)}, but the "
                f"average has shape {jnp.shape(old)}."
            )
        moved = self.decay * old + (1 - self.decay) * new
        average.set_raw_value(jnp.asarray(moved, jnp.asarray(old).dtype))

    def apply_to(self, model: A) -> A:
        """Return another model that has the averages as its variables, and is updated with them.

        Args:
          model: a model of the structure that the EMA was made for. What is not averaged is shared
            with it.

        Raises:
          ValueError: if it has nothing at the path of an average.
        """
        structure = graphdef(model, graph=self.graph)
        leaves = state(model, graph=self.graph)
        if not isinstance(leaves, State):
            return merge(structure, self.params)
        joined = State.merge(leaves, self.params)
        built: A = merge(structure, joined)
        return built
