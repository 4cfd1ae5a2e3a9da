"""TrainState: a model that was taken apart, with an optimizer, as one immutable pytree."""

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import jax.numpy as jnp

from ramie.nnx.graph.functional import Caller, merge
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.states.state import State
from ramie.trees import struct
from ramie.typing import Array

if TYPE_CHECKING:
    from optax import GradientTransformation, OptState
else:
    # Optax is imported on use; the names must still resolve for readers of annotations.
    GradientTransformation = OptState = Any

__all__ = ["TrainState"]

M = TypeVar("M")


class TrainState(struct.PyTreeNode, Generic[M]):
    """What `jax.jit` needs of a model and its optimizer, for loops in the functional style.

    Subclass it to carry further states, such as batch statistics.

    Args:
      graphdef: the structure of the model.
      params: the state that is optimized.
      opt_state: what `tx` remembers.
      step: the number of updates made.
      tx: a transformation of optax.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ramie import nnx
        >>> graphdef, params = nnx.split(nnx.Dict(w=nnx.Param(jnp.ones(2))))
        >>> train = nnx.TrainState.create(graphdef, params=params, tx=optax.sgd(0.5))
        >>> train = train.apply_gradients(jax.tree.map(jnp.ones_like, params))
        >>> train.params.w[...], int(train.step)
        (Array([0.5, 0.5], dtype=float32), 1)
    """

    graphdef: GraphDef[M]
    params: State
    opt_state: OptState
    step: Array
    tx: GradientTransformation = struct.field(pytree_node=False)

    @classmethod
    def create(
        cls,
        graphdef: GraphDef[M],
        *,
        params: State,
        tx: GradientTransformation,
        step: int = 0,
        **kwargs: Any,
    ) -> Self:
        """Make a train state whose optimizer has seen nothing yet.

        Args:
          graphdef: the structure of the model.
          params: the state to optimize.
          tx: a transformation of optax.
          step: the number of the first step.
          **kwargs: the fields that a subclass adds.
        """
        return cls(
            graphdef=graphdef,
            params=params,
            opt_state=tx.init(params),
            step=jnp.asarray(step),
            tx=tx,
            **kwargs,
        )

    def apply(self, state: State | str, *states: State | str) -> Any:
        """Build the model of states, to call it or a method of it.

        Args:
          state: a State, or the name of the field that is one.
          *states: the rest of what the model needs.

        Returns:
          What stands for the model; calls of it return their output, and the structure and the
          state of the model after the call.

        Raises:
          AttributeError: if there is no such field.
        """
        found = [getattr(self, one) if isinstance(one, str) else one for one in (state, *states)]
        return Caller(merge(self.graphdef, *found))

    def apply_gradients(self, grads: State, **kwargs: Any) -> Self:
        """Return the train state after one step of the optimizer.

        Args:
          grads: the gradients, in the structure of `params`.
          **kwargs: new values of further fields.
        """
        import optax

        updates, opt_state = self.tx.update(grads, self.opt_state, self.params)
        return self.replace(
            params=optax.apply_updates(self.params, updates),
            opt_state=opt_state,
            step=self.step + 1,
            **kwargs,
        )
