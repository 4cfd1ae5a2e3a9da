"""A training loop that owns its state, so that a step may reuse the memory of the old one."""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.donation import can_tell, copied, held, is_plain
from ramie.core.tracing.trace import is_top_level

__all__ = ["Stepper"]

S = TypeVar("S")


class _Plan(NamedTuple):
    """The programs for one structure of the state.

    Attributes:
      jitted: of arguments, keywords and leaves; it takes no memory.
      donating: the same; it takes the memory of some leaves. None before the first step.
      numbers: of these leaves.
    """

    jitted: Any
    donating: Any = None
    numbers: tuple[int, ...] = ()


class Stepper(Generic[S]):
    """Compiles a step and keeps the state between steps, whose memory it reuses.

    In ``state = step(state, batch)`` the caller holds the old state while the new one is made, so
    both are in memory, and JAX cannot know that the old one is not needed any more. Here it is
    known: nobody else holds the state. What somebody does hold, as after reading `state`, is
    copied before its memory is reused, so no array that can be reached is ever deleted.

    Args:
      step: a function of state and further arguments that returns the new state; it is compiled.
      state: the first state, such as a `TrainState`, or any other pytree. As long as the caller
        holds it as well, its arrays stay as they are.
      has_aux: whether `step` returns a pair of the new state and something more.

    Attributes:
      state: the state after the last step; another one can be assigned.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie.training.stepping import Stepper
        >>> def step(state, x):
        ...     return {"w": state["w"] - 0.5 * x, "n": state["n"] + 1}, state["w"].sum()
        >>> training = Stepper(step, {"w": jnp.ones(3), "n": 0}, has_aux=True)
        >>> float(training(jnp.ones(3))), float(training(jnp.ones(3)))
        (3.0, 1.5)
        >>> int(training.state["n"])
        2

    Differs from Flax, which has nothing of the kind: there, `donate_argnums` of `jax.jit` is given
    by hand, and arrays that are still reachable may be deleted.
    """

    def __init__(self, step: Callable[..., Any], state: S, *, has_aux: bool = False) -> None:
        self._step = step
        self._has_aux = has_aux
        self._plans: dict[Any, _Plan] = {}
        self._leaves: list[Any] | None = None
        self._treedef: Any = None
        self.state = state

    @property
    def state(self) -> S:
        """The state after the last step.

        Raises:
          RuntimeError: inside of a step, which gets the state as its argument.
        """
        if self._leaves is None:
            raise RuntimeError(
                "Stepper.state was read while a step runs: the state is in the step, which gets it "
                "as its first argument. Read it before or after the step, in the same thread."
            )
        state: S = jax.tree.unflatten(self._treedef, self._leaves)
        return state

    @state.setter
    def state(self, state: S) -> None:
        leaves, self._treedef = jax.tree.flatten(state)
        # What the caller writes to an array of NumPy afterwards does not matter to the state.
        self._leaves = [jnp.array(x) if isinstance(x, np.ndarray) else x for x in leaves]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a step.

        Args:
          *args: of the step, after the state.
          **kwargs: of the step.

        Returns:
          What the step returned beside the new state; None without `has_aux`.

        Raises:
          RuntimeError: inside of a step.
        """
        if self._leaves is None:
            raise RuntimeError("Stepper was called while a step of it runs; steps do not nest.")
        leaves, self._leaves = self._leaves, None
        try:
            state, aux = self._run(leaves, args, kwargs)
        except BaseException:
            self._leaves = leaves
            raise
        self._leaves, self._treedef = jax.tree.flatten(state)
        return aux

    def _run(self, leaves: list[Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
        plan = self._plans.get(self._treedef) or _Plan(self._compiled(self._treedef))
        if plan.donating is None and can_tell() and is_top_level():
            new, _ = plan.jitted.trace(args, kwargs, *leaves).out_info
            plan = self._donating(plan.jitted, leaves, new)
        self._plans[self._treedef] = plan
        if not plan.numbers or not (can_tell() and is_top_level()):
            made: tuple[Any, Any] = plan.jitted(args, kwargs, *leaves)
            return made
        plain = [number for number in plan.numbers if is_plain([leaves[number]])]
        given = [leaves[number] for number in plain]
        taken = leaves
        kept = [plain[i] for i in held(given, others=1)] if given else []
        if kept:
            taken = list(leaves)
            for number in kept:
                taken[number] = (
                    leaves[number] if _is_gone(leaves[number]) else copied(taken[number])
                )
        try:
            made = plan.donating(args, kwargs, *taken)
        except Exception as error:
            lost = sum(map(_is_gone, given))
            if lost:
                error.add_note(
                    f"The step failed while it ran, and had taken the memory of {lost} arrays of "
                    "the state. They are gone: assign the state of a checkpoint to Stepper.state."
                )
            raise
        return made

    def _compiled(self, treedef: Any) -> Any:
        return jax.jit(self._pure(treedef))

    def _pure(self, treedef: Any) -> Callable[..., tuple[Any, Any]]:
        # Not of `self`: with the last reference to a Stepper its state goes at once.
        step, has_aux = self._step, self._has_aux
        name = getattr(step, "__name__", "step")

        def pure(args: Any, kwargs: Any, *leaves: Any) -> tuple[Any, Any]:
            out = step(jax.tree.unflatten(treedef, leaves), *args, **kwargs)
            if not has_aux:
                return out, None
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError(
                    f"{name} returned {type(out).__name__}; with has_aux=True a step "
                    "returns a pair: the new state, and what the call returns."
                )
            return out

        pure.__name__ = pure.__qualname__ = name
        return pure

    def _donating(self, jitted: Any, leaves: list[Any], new: Any) -> _Plan:
        """Plan to reuse the memory of the leaves that are replaced by something of the same form.

        Args:
          jitted: the program without donation.
          leaves: of the old state.
          new: the new state, as shapes.
        """
        new_leaves, treedef = jax.tree.flatten(new)
        numbers: tuple[int, ...] = ()
        if treedef == self._treedef:
            pairs = enumerate(zip(leaves, new_leaves, strict=True))
            numbers = tuple(i for i, (old, made) in pairs if _fits(old, made))
        # Both programs are made of one function, so JAX traces it once.
        donated = tuple(number + 2 for number in numbers)
        donating = jax.jit(jitted.__wrapped__, donate_argnums=donated) if donated else jitted
        return _Plan(jitted, donating, numbers)


def _is_gone(x: Any) -> bool:
    return isinstance(x, jax.Array) and x.is_deleted()


def _fits(old: Any, new: Any) -> bool:
    """Tell whether a new leaf may have the memory of the old one."""
    if not isinstance(old, jax.Array) or jnp.issubdtype(old.dtype, jax.dtypes.extended):
        return False
    return bool(old.shape == new.shape and old.dtype == new.dtype)
