"""Loss scaling for training in half precision, with a scale that finds its own size."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ramie.trees import struct
from ramie.typing import Array

__all__ = ["DynamicScale", "DynamicScaleResult"]


class DynamicScaleResult(NamedTuple):
    """What a function made by `DynamicScale.value_and_grad` returns.

    Attributes:
        dynamic_scale: The scale to use for the next step.
        finite: Whether every gradient is finite. If not, skip this update.
        aux: The value of the function, or the pair of value and auxiliary data.
        grad: The gradients in float32, with the scale taken out.
    """

    dynamic_scale: "DynamicScale"
    finite: Array
    aux: Any
    grad: Any


class DynamicScale(struct.PyTreeNode):
    """A loss scale that grows while gradients stay finite and shrinks when they overflow.

    float16 cannot hold small gradients. Multiplying the loss lifts all gradients into range;
    dividing them afterwards, in float32, gives them back. The largest factor that does not
    overflow is best, and it changes during training, so it is searched for all the time.

    Args:
        growth_factor: What to multiply the scale by after enough finite steps.
        backoff_factor: What to multiply it by after a step that overflowed.
        growth_interval: Finite steps in a row before the step at which the scale grows.
        fin_steps: Finite steps since the scale last changed.
        scale: The present scale.
        minimum_scale: The scale never shrinks below this; None sets no bound.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie.training.dynamic_scale import DynamicScale
        >>> scale = DynamicScale(scale=1024.0)
        >>> scale, finite, loss, grads = scale.value_and_grad(lambda w: jnp.sum(w**2))(jnp.ones(3))
        >>> bool(finite), float(loss), grads.tolist()
        (True, 3.0, [2.0, 2.0, 2.0])

    In a train step the update is kept or undone leaf by leaf, without leaving the device:
    `params = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new_params, params)`.

    Reference: Micikevicius et al., "Mixed Precision Training", section 3.2.
    """

    growth_factor: float = struct.field(pytree_node=False, default=2.0)
    backoff_factor: float = struct.field(pytree_node=False, default=0.5)
    growth_interval: int = struct.field(pytree_node=False, default=2000)
    fin_steps: int | Array = 0
    scale: float | Array = 65536.0
    minimum_scale: float | None = struct.field(
        pytree_node=False, default=jnp.finfo(jnp.float32).tiny
    )

    def value_and_grad(
        self,
        fun: Callable[..., Any],
        argnums: int | Sequence[int] = 0,
        has_aux: bool = False,
        axis_name: str | None = None,
    ) -> Callable[..., DynamicScaleResult]:
        """Do what `jax.value_and_grad` does, with the loss scaled in between.

        Args:
            fun: Returns a scalar loss, or `(loss, aux)` when `has_aux`.
            argnums: The positional arguments to differentiate by.
            has_aux: Whether `fun` returns more than the loss.
            axis_name: A mapped axis over which to average the gradients. Averaging before the
                check for overflow makes all devices agree on whether to skip the step.

        Returns:
            A function of the same arguments that returns a `DynamicScaleResult`.
        """
        # As an array, the scale meets a float16 loss on the device, where a float16 infinity is
        # an ordinary result; as a Python number NumPy would warn about the cast.
        scale = jnp.asarray(self.scale)

        @functools.wraps(fun)
        def scaled(*args: Any, **kwargs: Any) -> Any:
            value = fun(*args, **kwargs)
            if has_aux:
                loss, aux = value
                return scale * loss, aux
            return scale * value

        differentiated = jax.value_and_grad(scaled, argnums, has_aux)

        @functools.wraps(fun)
        def value_and_grad_of_fun(*args: Any, **kwargs: Any) -> DynamicScaleResult:
            value, grads = differentiated(*args, **kwargs)
            value = (value[0] / scale, value[1]) if has_aux else value / scale
            grads = jax.tree.map(lambda grad: jnp.asarray(grad, jnp.float32) / scale, grads)
            if axis_name is not None:
                grads = lax.pmean(grads, axis_name)
            finite = _all_finite(grads)
            return DynamicScaleResult(self._after_step(finite), finite, value, grads)

        return value_and_grad_of_fun

    def _after_step(self, finite: Array) -> "DynamicScale":
        largest = jnp.finfo(jnp.float32).max
        grown = jnp.minimum(self.scale * self.growth_factor, largest)
        shrunk = jnp.asarray(self.scale * self.backoff_factor, jnp.float32)
        if self.minimum_scale is not None:
            shrunk = jnp.maximum(shrunk, self.minimum_scale)
        due = finite & (self.fin_steps == self.growth_interval)
        kept = jnp.where(due, grown, jnp.asarray(self.scale, jnp.float32))
        return self.replace(
            scale=jnp.where(finite, kept, shrunk),
            fin_steps=jnp.where(finite & ~due, self.fin_steps + 1, 0),
        )


def _all_finite(grads: Any) -> Array:
    finite = jnp.array(True)
    for grad in jax.tree.leaves(grads):
        finite &= jnp.all(jnp.isfinite(grad))
    return finite
