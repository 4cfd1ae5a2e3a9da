"""The one object a training loop passes around: parameters, optimizer state, step."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from ramie.trees import struct
from ramie.trees.frozen import FrozenDict, freeze
from ramie.typing import Array

if TYPE_CHECKING:
    from optax import GradientTransformation, OptState
else:
    # Optax is imported on use; the names must still resolve for readers of annotations.
    GradientTransformation = OptState = Any

__all__ = ["OVERWRITE_WITH_GRADIENT", "TrainState"]

OVERWRITE_WITH_GRADIENT = "_overwrite_with_gradient"
"""The collection whose "gradients" are its next values, as the fp8 operations need."""


class TrainState(struct.PyTreeNode):
    """What one optimizer and one model need to take the next step.

    Subclass it to carry more through the loop, such as batch statistics, a random key or metrics.
    It is a pytree: `apply_fn` and `tx` are static, everything else is data, so the object passes
    through `jax.jit` and into a checkpoint as it is.

    Args:
        step: Number of updates made.
        apply_fn: Normally `model.apply`, kept here to save train steps an argument.
        params: The parameters. Either the tree that `tx` updates, or, when some variables are to be
            replaced by their gradients, a mapping of the collection "params" and the collection
            named `OVERWRITE_WITH_GRADIENT`.
        tx: An optax transformation.
        opt_state: What `tx` remembers.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ramie.training.train_state import TrainState
        >>> def line(params, x):
        ...     return params["slope"] * x
        >>> state = TrainState.create(
        ...     apply_fn=line, params={"slope": jnp.array(1.0)}, tx=optax.sgd(0.5)
        ... )
        >>> grads = jax.grad(lambda params: (state.apply_fn(params, 1.0) - 3.0) ** 2)(state.params)
        >>> state = state.apply_gradients(grads=grads)
        >>> state.step, float(state.params["slope"])
        (1, 3.0)

    Differs from Flax: with `OVERWRITE_WITH_GRADIENT`, collections besides it and "params" are kept
    (Flax drops them), and a FrozenDict stays one.
    """

    step: int | Array
    apply_fn: Callable[..., Any] = struct.field(pytree_node=False)
    params: FrozenDict[str, Any] = struct.field(pytree_node=True)
    tx: GradientTransformation = struct.field(pytree_node=False)
    opt_state: OptState = struct.field(pytree_node=True)

    def apply_gradients(self, *, grads: Any, **kwargs: Any) -> Self:
        """Let the optimizer make one update.

        Args:
            grads: Gradients, a tree with the structure of `params`.
            **kwargs: Further fields to replace in the same go.

        Returns:
            The state after the update, its `step` one higher.

        Raises:
            ValueError: `grads` does not fit `params`.
        """
        import optax

        trained, trained_grads = self.params, grads
        overwrites = _has_overwrites(grads)
        if overwrites:
            trained = _trained_part(self.params, "the parameters")
            trained_grads = _trained_part(grads, "the gradients")
        elif _has_overwrites(self.params):
            raise ValueError(
                f"the parameters hold a collection {OVERWRITE_WITH_GRADIENT!r}, but the gradients "
                "do not; take the gradient with respect to all of state.params"
            )
        updates, opt_state = self.tx.update(trained_grads, self.opt_state, trained)
        params: Any = optax.apply_updates(trained, updates)
        if overwrites:
            params = _with_overwrites(self.params, params, grads[OVERWRITE_WITH_GRADIENT])
        return self.replace(step=self.step + 1, params=params, opt_state=opt_state, **kwargs)

    @classmethod
    def create(
        cls, *, apply_fn: Callable[..., Any], params: Any, tx: GradientTransformation, **kwargs: Any
    ) -> Self:
        """Make the state of a training that has not begun: step 0, a fresh optimizer state.

        Args:
            apply_fn: As in the class.
            params: As in the class.
            tx: As in the class.
            **kwargs: Values of the fields that a subclass adds.

        Returns:
            The state.
        """
        trained = _trained_part(params, "the parameters") if _has_overwrites(params) else params
        opt_state = tx.init(trained)
        return cls(step=0, apply_fn=apply_fn, params=params, tx=tx, opt_state=opt_state, **kwargs)


def _has_overwrites(tree: Any) -> bool:
    return isinstance(tree, Mapping) and OVERWRITE_WITH_GRADIENT in tree


def _trained_part(tree: Any, what: str) -> Any:
    if "params" not in tree:
        raise ValueError(
            f"{what} hold the collection {OVERWRITE_WITH_GRADIENT!r} and must then hold what is "
            f"trained under 'params', but the collections are {sorted(tree)}; pass the whole of "
            "what model.init returned"
        )
    return tree["params"]


def _with_overwrites(old: Any, params: Any, overwritten: Any) -> Any:
    new = {"params": params, OVERWRITE_WITH_GRADIENT: overwritten}
    new.update((name, tree) for name, tree in old.items() if name not in new)
    return freeze(new) if isinstance(old, FrozenDict) else new
