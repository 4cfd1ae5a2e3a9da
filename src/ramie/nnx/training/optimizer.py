"""Optimizers: a transformation of optax with its state, which steps a model in place."""

import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax
import jax.numpy as jnp

from ramie.nnx.graph.functional import pure, state
from ramie.nnx.graph.updating import update
from ramie.nnx.graph.walk import is_object
from ramie.nnx.objects.marks import data
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states import filters as filterlib
from ramie.nnx.states.filters import Filter
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Param
from ramie.nnx.variable.placement import mesh_of, placed
from ramie.typing import MISSING

if TYPE_CHECKING:
    from optax import GradientTransformation
else:
    # Optax is imported on use; the name must still resolve for readers of annotations.
    GradientTransformation = Any

__all__ = ["ModelAndOptimizer", "OptArray", "OptState", "OptVariable", "Optimizer"]

A = TypeVar("A")
M = TypeVar("M")


class OptState(Variable[A]):
    """What an optimizer remembers from step to step; on its own, the number of steps made."""

    __slots__ = ()


class OptArray(OptState[A]):
    """A value of an optimizer that belongs to no single parameter, such as a count."""

    __slots__ = ()


class OptVariable(OptState[A]):
    """A value that an optimizer keeps for one parameter. It has the metadata of the parameter.

    Where the parameter has an entry `optimizer_sharding`, that is its `out_sharding`.
    """

    __slots__ = ()


def _is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def _readable(x: Any) -> Any:
    """Return a variable whose value is an array, with the metadata it had."""
    if not isinstance(x, Variable) or x.hijax:
        return pure(x)
    return type(x)._make(pure(x), x._var_metadata)


def _remembered(x: Any) -> OptState[Any]:
    """Box one value of what a transformation wants to remember."""
    if not isinstance(x, Variable):
        return OptArray(x)
    metadata, value = x.get_metadata(), x.get_raw_value()
    if "optimizer_sharding" in metadata:  # it lies on other devices than the parameter
        metadata["out_sharding"] = metadata.pop("optimizer_sharding")
    if mesh_of(metadata) is not None:
        value = placed(value, metadata, "OptVariable")
    return OptVariable.from_metadata(value, metadata)


def _mapped(f: Any, tree: Any) -> Any:
    return jax.tree.map(f, tree, is_leaf=_is_variable)


class Optimizer(Pytree, Generic[M]):
    """A transformation of optax, its state for one model, and the number of steps made.

    It does not hold the model: `update` gets it, so that model and optimizer can be passed through
    a transformation as two arguments. What it remembers are variables of the classes `OptVariable`
    and `OptArray`, arranged as the transformation arranges them.

    Args:
      model: a Module, a State, or any pytree of variables and arrays.
      tx: the transformation, such as ``optax.adam(1e-3)``.
      wrt: a filter: what of the model is optimized. Use the same one for the gradients.
      graph: whether nodes of the model may be shared; by default as `set_graph_mode` says.

    Attributes:
      step: an `OptState` that counts the steps.
      opt_state: what the transformation remembers.

    Raises:
      TypeError: without `wrt`.
      ValueError: if `wrt` takes nothing of the model.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ramie import nnx
        >>> model = nnx.Dict(w=nnx.Param(jnp.ones(2)))
        >>> optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=nnx.Param)
        >>> updates = optimizer.update(model, nnx.state(model))  # the gradient of sum(w**2) / 2
        >>> model.w[...], optimizer.step[...]
        (Array([0.5, 0.5], dtype=float32), Array(1, dtype=uint32))

    Differs from Flax: gradients are matched with parameters by their paths, whatever the kind of
    their leaves, and paths that are missing or unknown are listed.
    """

    # A slot is no attribute of the tree: copies, and what runs inside of `jit`, have none.
    __slots__ = ("_made_for",)
    _made_for: Any

    def __init__(
        self,
        model: M,
        tx: GradientTransformation,
        *,
        wrt: Any = MISSING,
        graph: bool | None = None,
    ) -> None:
        if wrt is MISSING:
            raise TypeError(
                f"Missing required argument `wrt` of {type(self).__name__}, a filter that says "
                "what of the model to optimize: nnx.Optimizer(model, tx, wrt=nnx.Param). "
                "nnx.ModelAndOptimizer holds the model too, and takes nnx.Param by default."
            )
        self.graph = graph
        self.step = OptState(jnp.array(0, jnp.uint32))
        self.tx = tx
        selected = state(model, wrt, graph=graph)
        if isinstance(selected, State) and not selected:
            raise ValueError(_nothing_selected(type(self).__name__, model, wrt))
        params = _mapped(_readable, selected)
        self.opt_state: Any = data(_mapped(_remembered, tx.init(params)))
        self.wrt = wrt
        if is_object(model):
            self._made_for = weakref.ref(model)

    def _model_of(self) -> Any:
        """Return the model that this very object was made for; None for a copy."""
        found = getattr(self, "_made_for", None)
        return None if found is None else found()

    def __getattr__(self, name: str) -> Any:
        hint = ""
        if name == "model":
            hint = (
                ": it does not hold the model (since Flax 0.11.0). Pass the model along, or use "
                "nnx.ModelAndOptimizer"
            )
        raise AttributeError(f"{type(self).__name__!r} does not have attribute {name!r}{hint}.")

    def update(self, model: M, grads: Any = MISSING, **kwargs: Any) -> Any:
        """Make one step: change the parameters of the model and the state of the optimizer.

        Args:
          model: what the optimizer was made for, or another object of the same structure.
          grads: the gradients at the paths of the parameters, as `nnx.grad` returns them.
          **kwargs: passed to the transformation, for those that take more, as line searches do.
            Variables in them become their values.

        Returns:
          What was added to the parameters.

        Raises:
          TypeError: without gradients, or if the two are the wrong way round.
          ValueError: if gradients and parameters have different paths or shapes, or if the
            transformation returns a state of another structure than it had.
        """
        if grads is MISSING:
            raise TypeError(
                f"Missing required argument `grads`: {type(self).__name__} got only "
                f"{type(model).__name__}, but wants update(model, grads). nnx.ModelAndOptimizer "
                "holds the model, and is updated with the gradients alone."
            )
        if (
            is_object(grads)
            and grads is not model
            and (isinstance(model, State) or grads is self._model_of())
        ):
            raise TypeError(
                f"{type(self).__name__}.update takes the model first and then the gradients, but "
                f"got a {type(model).__name__} and then the {type(grads).__name__}: write "
                "update(model, grads)."
            )
        import optax

        params = pure(state(model, self.wrt, graph=self.graph))
        if isinstance(params, State) and not params:
            raise ValueError(_nothing_selected(type(self).__name__, model, self.wrt))
        matching = _matching(params, grads, self.wrt)
        before = pure(self.opt_state)
        # A transformation that takes nothing else does not accept keywords at all.
        updates, after = self.tx.update(matching, before, params, **pure(kwargs))
        update(model, optax.apply_updates(params, updates))
        _store(self.opt_state, after)
        self.step[...] += 1
        return updates


def _nothing_selected(name: str, model: Any, wrt: Filter) -> str:
    """Say that a filter takes nothing of a model, and what there is."""
    leaves = state(model).flat_state().leaves
    kinds = sorted({type(x).__name__ for x in leaves}) or ["nothing at all"]
    return (
        f"nnx.{name} has nothing to optimize: wrt={wrt!r} takes no variable of the "
        f"{type(model).__name__}, which has {', '.join(kinds)}. Give a filter that takes its "
        "parameters, such as nnx.Param, and make layers before the optimizer."
    )


def _matching(params: Any, grads: Any, wrt: Filter) -> Any:
    """Return the gradients in the structure of the parameters.

    Args:
      params: a State of arrays, or one array.
      grads: at least at the same paths; what lies elsewhere and is not `wrt` does not matter.
      wrt: the filter that found the parameters.
    """
    if not isinstance(params, State):
        return pure(grads)
    wanted = params.flat_state()
    given = dict(state(grads).flat_state())
    is_wanted = filterlib.to_predicate(wrt)
    known = set(wanted.paths)
    missing = [path for path in wanted.paths if path not in given]
    extra = [path for path, x in given.items() if path not in known and is_wanted(path, x)]
    if missing or extra:
        raise ValueError(
            "The gradients do not fit the parameters of the optimizer. Without gradient: "
            f"{_listed(missing)}; gradients of what is no parameter: {_listed(extra)}. Take them "
            f"with respect to the same filter, wrt={wrt!r}, of the same model."
        )
    found = [pure(given[path]) for path in wanted.paths]
    for path, value, gradient in zip(wanted.paths, wanted.leaves, found, strict=True):
        if jnp.shape(gradient) != jnp.shape(value):
            raise ValueError(
                f"The gradient at {_listed([path])} has shape {jnp.shape(gradient)}, but the "
                f"parameter has shape {jnp.shape(value)}: was it taken of another model?"
            )
    return State.from_flat_path(zip(wanted.paths, found, strict=True))


def _listed(paths: list[Any]) -> str:
    return ", ".join("/".join(map(str, path)) for path in paths[:8]) or "none"


def _store(opt_state: Any, after: Any) -> None:
    """Put what a transformation returned into the variables that hold its state."""
    variables, found = jax.tree.flatten(opt_state, is_leaf=_is_variable)
    structure: Any = found
    try:
        values = structure.flatten_up_to(after)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "The transformation returned a state of another structure than it had, so the "
            f"optimizer cannot keep it. Before:\n  {jax.tree.structure(pure(opt_state))}\nafter:"
            f"\n  {jax.tree.structure(after)}"
        ) from error
    for variable, value in zip(variables, values, strict=True):
        if isinstance(variable, Variable):
            variable.set_raw_value(value)


class ModelAndOptimizer(Optimizer[M]):
    """An optimizer that holds the model, too: one object for the whole train state.

    Args:
      model: a Module or other Pytree; see `Optimizer`.
      tx: the transformation.
      wrt: a filter: what of the model is optimized.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from ramie import nnx
        >>> both = nnx.ModelAndOptimizer(nnx.Dict(w=nnx.Param(jnp.ones(2))), optax.sgd(0.5))
        >>> updates = both.update(nnx.state(both.model))
        >>> both.model.w[...]
        Array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, model: M, tx: GradientTransformation, *, wrt: Filter = Param) -> None:
        super().__init__(model, tx, wrt=wrt)
        self.model: M = data(model)

    def update(self, grads: Any = MISSING, **kwargs: Any) -> Any:  # type: ignore[override]
        """Make one step; see `Optimizer.update`.

        Args:
          grads: the gradients at the paths of the parameters.
          **kwargs: passed to the transformation.

        Returns:
          What was added to the parameters.
        """
        return super().update(self.model, grads, **kwargs)
