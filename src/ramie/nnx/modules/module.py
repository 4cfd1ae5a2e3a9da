"""Module: the base of layers and models."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from ramie.nnx.graph.walk import children, iter_graph
from ramie.nnx.modules.sowing import append, perturbed, sown
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter, to_predicate
from ramie.nnx.states.nested import Path
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Perturbation

__all__ = ["Module", "first_from", "iter_module_children", "iter_modules", "not_found"]

A = TypeVar("A")


class Module(Pytree):
    """The base of layers and models: a Pytree that knows the modules inside of it.

    Make parameters and other modules in `__init__`, compute in `__call__` or any other method.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Net(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.hidden = nnx.Linear(3, 4, rngs=rngs)
        ...         self.scale = nnx.Param(jnp.ones((1, 4)))
        ...     def __call__(self, x):
        ...         return self.hidden(x) * self.scale
        >>> Net(nnx.Rngs(0))(jnp.ones((2, 3))).shape
        (2, 4)
    """

    __slots__ = ()

    def iter_modules(self) -> Iterator[tuple[Path, "Module"]]:
        """List all modules inside with their paths, and this one last."""
        return iter_modules(self)

    def iter_children(self) -> Iterator[tuple[Any, Any]]:
        """List the Pytrees and variables that this module holds directly, with their names."""
        return children(self)

    def set_attributes(
        self,
        *filters: Filter,
        raise_if_not_found: bool = True,
        graph: bool | None = None,
        **attributes: Any,
    ) -> None:
        """Set attributes of this module and of all modules inside that have them.

        Args:
          *filters: which modules; by default all.
          raise_if_not_found: whether each attribute must exist somewhere.
          graph: accepted for compatibility; the result is the same.
          **attributes: new values.

        Raises:
          ValueError: if no module has one of the attributes.
        """
        del graph
        wanted = [to_predicate(filter) for filter in filters or (True,)]
        left = set(attributes)
        for path, module in iter_modules(self):
            if any(predicate(path, module) for predicate in wanted):
                for name, value in attributes.items():
                    if hasattr(module, name):
                        left.discard(name)
                        setattr(module, name, value)
        if left and raise_if_not_found:
            raise not_found(self, left)

    def train(self, **attributes: Any) -> None:
        """Make all layers inside behave as in training: drop, and use statistics of the batch.

        Args:
          **attributes: more attributes to set.
        """
        self.set_attributes(
            deterministic=False,
            use_running_average=False,
            raise_if_not_found=False,
            **attributes,
        )

    def eval(self, **attributes: Any) -> None:
        """Make all layers inside behave as in evaluation: drop nothing, use running statistics.

        Args:
          **attributes: more attributes to set.
        """
        self.set_attributes(
            deterministic=True,
            use_running_average=True,
            raise_if_not_found=False,
            **attributes,
        )

    def sow(
        self,
        variable_type: type[Variable[Any]] | str,
        name: str,
        value: A,
        reduce_fn: Callable[[Any, A], Any] = append,
        init_fn: Callable[[], Any] = tuple,
        capture_noop: bool | None = None,
    ) -> bool:
        """Keep a value from inside a computation.

        While `capture` runs, it gets the value; otherwise the value becomes an attribute of this
        module, unless `capture_noop` says no.

        Args:
          variable_type: the kind of variable to keep it in, or the registered name of one.
          name: the name for it.
          value: the value.
          reduce_fn: makes the new content from the old one and the value; by default values are
            collected in a tuple.
          init_fn: makes the first content.
          capture_noop: whether to do nothing while no `capture` runs; by default as the flag
            `nnx_sow_capture_noop` says, which is off.

        Returns:
          Whether the value was kept: not if `capture` collects only other kinds, or nothing was to
          be done without it.

        Raises:
          ValueError: if the attribute is something else already.

        Differs from Flax: keeping it as an attribute gives no DeprecationWarning.
        """
        return sown(self, variable_type, name, value, reduce_fn, init_fn, capture_noop)

    def perturb(
        self,
        name: str,
        value: A,
        variable_type: type[Variable[Any]] | str = Perturbation,
        capture_noop: bool | None = None,
    ) -> A:
        """Add a perturbation to a value, so that the derivative in respect of it can be taken.

        While `capture` runs, perturbations come from its argument `init`, and are zeros where
        there is none; otherwise they are attributes of this module, zeros at first.

        Args:
          name: the name of the perturbation.
          value: an array, or a pytree of them.
          variable_type: the kind of variable, or the registered name of one.
          capture_noop: whether to do nothing while no `capture` runs; by default as the flag
            `nnx_sow_capture_noop` says, which is off.

        Returns:
          The value with the perturbation added; go on with this one.

        Raises:
          ValueError: if the attribute is something else already.

        Example:
            >>> from ramie import nnx
            >>> class Net(nnx.Module):
            ...     def __call__(self, x):
            ...         return 3 * self.perturb("x", x)
            >>> model = Net()
            >>> _, zeros = nnx.capture(model, nnx.Perturbation)(2.0)
            >>> def loss(model, perturbations):
            ...     return nnx.capture(model, init=perturbations)(2.0)
            >>> float(nnx.grad(loss, argnums=1)(model, zeros)["x"][...])
            3.0

        Differs from Flax: keeping it as an attribute gives no DeprecationWarning.
        """
        perturbation: A = perturbed(self, name, value, variable_type, capture_noop)
        return perturbation


def not_found(model: Any, names: Iterable[str]) -> ValueError:
    """Make the error about attributes that no module of a model has."""
    return ValueError(
        "Could not find at least one instance of the following attributes: "
        f"{sorted(names)} in {type(model).__name__} and the modules inside of it."
    )


def iter_modules(module: Any, /, *, graph: bool | None = None) -> Iterator[tuple[Path, Module]]:
    """List all modules inside a model with their paths: what is inside comes first.

    Args:
      module: the model, which comes last; or any pytree of them.
      graph: accepted for compatibility; the answer is the same.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        >>> [path for path, _ in nnx.iter_modules(model)]
        [('layers', 0), ('layers',), ()]
    """
    return ((p, x) for p, x in iter_graph(module, graph=graph) if isinstance(x, Module))


def iter_module_children(
    module: Any, /, *, graph: bool | None = None
) -> Iterator[tuple[Any, Module]]:
    """List the modules that a model holds directly, with their names.

    Args:
      module: the model.
      graph: accepted for compatibility; the answer is the same.
    """
    del graph
    return ((key, x) for key, x in children(module) if isinstance(x, Module))


def first_from(*args: A | None, error_msg: str) -> A:
    """Return the first argument that is not None.

    Args:
      *args: an argument of a call, then a default of a module, for example.
      error_msg: what to say if all are None.

    Raises:
      ValueError: if all are None.
    """
    for found in args:
        if found is not None:
            return found
    raise ValueError(f"{error_msg}")
