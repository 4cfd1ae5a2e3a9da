"""NNX modules as pairs of functions: one that makes the state, and one that calls."""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ramie.nnx.graph.functional import split
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.modules.module import Module
from ramie.nnx.randomness.rng import Rngs

__all__ = ["Functional", "functional"]

M = TypeVar("M", bound=Module)


@dataclasses.dataclass
class Functional(Generic[M]):
    """An NNX module that is made by `init` and called by `apply`. `functional` makes it.

    Attributes:
      module_type: the class.
      graphdef: the structure, once `init` has run.
      args: for the class.
      kwargs: for the class.
    """

    module_type: type[M]
    graphdef: GraphDef[M] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def init(self, *, rngs: Rngs | None = None) -> Any:
        """Make the module, remember its structure, and return its state.

        Args:
          rngs: passed to the class, if given.
        """
        more = {} if rngs is None else {"rngs": rngs}
        self.graphdef, found = split(self.module_type(*self.args, **self.kwargs, **more))
        return found

    def apply(self, *states: Any) -> Any:
        """Return what stands for the module with a state; see `GraphDef.apply`.

        Raises:
          ValueError: before `init`.
        """
        if self.graphdef is None:
            raise ValueError(
                f"The structure of this {self.module_type.__name__} is not known yet: call init() "
                "before apply()."
            )
        return self.graphdef.apply(*states)  # type: ignore[attr-defined]


def functional(cls: type[M]) -> Callable[..., Functional[M]]:
    """Make a function that takes the arguments of a class and returns a `Functional`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> linear = nnx.bridge.functional(nnx.Linear)(2, 3)
        >>> state = linear.init(rngs=nnx.Rngs(0))
        >>> y, (graphdef, state) = linear.apply(state)(jnp.ones((1, 2)))
        >>> y.shape
        (1, 3)
    """

    def make(*args: Any, **kwargs: Any) -> Functional[M]:
        return Functional(cls, None, args, kwargs)

    return make
