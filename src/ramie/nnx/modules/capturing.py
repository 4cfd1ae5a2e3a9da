"""Values from inside a computation: `capture` collects what modules sow, perturb and return.

While a function runs under `capture`, each module holds one more attribute: for each kind to be
captured a variable whose value is a dictionary. Being part of the model, these variables pass
through transformations like any others.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np

from ramie.nnx.graph.walk import iter_graph
from ramie.nnx.modules.containers import List
from ramie.nnx.modules.intercept import watched
from ramie.nnx.modules.module import Module
from ramie.nnx.modules.sowing import ATTRIBUTE, append, stored
from ramie.nnx.objects.marks import Mark
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.nested import Path, flattened
from ramie.nnx.states.state import FlatState, State
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Perturbation

__all__ = ["capture"]

_RECORDS = "records_outputs"
_ARRAYS = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)
_Kind = type[Variable[Any]]


def capture(
    fn: Callable[..., Any] | _Kind,
    *var_types: _Kind,
    init: State | Mapping[Any, Any] | None = None,
    method_outputs: _Kind | None = None,
) -> Callable[..., Any]:
    """Make a function return what modules sow and perturb while it runs, beside its result.

    The modules themselves keep nothing of it. Each `List` in a model is passed over: it holds
    modules, and neither sows nor has methods whose results are wanted.

    Args:
      fn: a module, one of its methods, or a function whose first argument is a module, or a pytree
        of them. Without it, with kinds of variables alone, this is a decorator.
      *var_types: which kinds of variables to collect. `Module.sow` and `Module.perturb` of other
        kinds do nothing.
      init: values to start from, by path; perturbations are added to what is perturbed, so that
        derivatives in respect of them are those of intermediate values. Plain values count as
        perturbations.
      method_outputs: sow what `__call__` and public methods return, under their names, as variables
        of this kind. Results that are no arrays are left out.

    Returns:
      A function of the same arguments that returns the result and, for each kind, a `State` with
      the paths of the modules in front of the names. With no kinds it returns the result alone.

    Raises:
      TraceContextError: when it is called, if the modules were made outside of the transformation
        that runs: pass them into it as arguments.
      TypeError: when it is called, if there is no module to look at.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Net(nnx.Module):
        ...     def __call__(self, x):
        ...         self.sow(nnx.Intermediate, "doubled", 2 * x)
        ...         return 3 * x
        >>> y, found = nnx.capture(Net(), nnx.Intermediate)(1.0)
        >>> y, found["doubled"].get_value()
        (3.0, (2.0,))
    """
    if isinstance(fn, type) and issubclass(fn, Variable):
        return functools.partial(
            _captured, kinds=(fn, *var_types), init=init, method_outputs=method_outputs
        )
    return _captured(fn, var_types, init, method_outputs)


def _captured(
    fn: Callable[..., Any],
    kinds: tuple[_Kind, ...],
    init: Mapping[Any, Any] | None,
    method_outputs: _Kind | None,
) -> Callable[..., Any]:
    if isinstance(fn, Pytree):
        owner: Any = fn
    elif isinstance(fn, functools.partial) and fn.args:
        owner = fn.args[0]
    else:
        owner = getattr(fn, "__self__", None)

    def run(*args: Any, **kwargs: Any) -> Any:
        root = owner if owner is not None else next(iter((*args, *kwargs.values())), None)
        modules = [(path, x) for path, x in iter_graph(root, graph=True) if _may_sow(x)]
        if not modules and not isinstance(root, Pytree):
            raise TypeError(
                f"capture found no module to look at: {fn!r} got {type(root).__name__} as its "
                "first argument. Pass a module, a method of one, or a function whose first "
                "argument is a module."
            )
        before = [vars(module).get(ATTRIBUTE) for _, module in modules]
        try:
            _prepare(modules, kinds, {} if init is None else init, method_outputs)
            with _recording(modules, method_outputs):
                result = fn(*args, **kwargs)
            states = _collected(modules, kinds)
        finally:
            for (_, module), outer in zip(modules, before, strict=True):
                _put(module, outer)
        return (result, *states) if kinds else result

    named: Callable[..., Any] = type(fn).__call__ if isinstance(fn, Pytree) else fn
    return functools.wraps(named, updated=())(run)


def _may_sow(x: Any) -> bool:
    """Tell whether an object has methods that may sow. Plain Lists only hold what does."""
    return isinstance(x, Module) and type(x) is not List


def _put(module: Module, kept: tuple[Variable[Any], ...] | None) -> None:
    if kept is not None:
        setattr(module, ATTRIBUTE, Mark(kept, True))
    elif ATTRIBUTE in vars(module):
        delattr(module, ATTRIBUTE)


def _prepare(
    modules: list[tuple[Path, Module]],
    kinds: tuple[_Kind, ...],
    init: Mapping[Any, Any],
    method_outputs: _Kind | None,
) -> None:
    """Give each module the variables that collect."""
    given: dict[Path, dict[_Kind, dict[Any, Any]]] = {}
    for path, leaf in zip(*flattened(init), strict=True):
        kind = type(leaf) if isinstance(leaf, Variable) else Perturbation
        value = leaf.get_raw_value() if isinstance(leaf, Variable) else leaf
        given.setdefault(path[:-1], {}).setdefault(kind, {})[path[-1]] = value
    wanted = dict.fromkeys((*kinds, *(kind for held in given.values() for kind in held)))
    for path, module in modules:
        held = given.get(path, {})
        made = []
        for kind in wanted:
            records = {_RECORDS: True} if kind is method_outputs and kind in kinds else {}
            made.append(kind.from_metadata(dict(held.get(kind, {})), records))
        _put(module, tuple(made))


def _collected(modules: list[tuple[Path, Module]], kinds: tuple[_Kind, ...]) -> Iterator[State]:
    """Make the states of what was collected, each variable in that of the first kind it is of."""
    groups: list[list[tuple[Path, Any]]] = [[] for _ in kinds]
    for path, module in modules:
        for variable in vars(module).get(ATTRIBUTE, ()):
            kind = type(variable)
            if kind not in kinds:
                continue
            place = next(i for i, wanted in enumerate(kinds) if issubclass(kind, wanted))
            for name, value in variable.get_raw_value().items():
                groups[place].append(((*path, name), kind(value)))
    return (FlatState(group, sort=True).to_nested_state() for group in groups)


# --- what methods return --------------------------------------------------------------------------


def _recording(
    modules: list[tuple[Path, Module]], method_outputs: _Kind | None
) -> AbstractContextManager[None]:
    if method_outputs is None:
        return nullcontext()
    return watched({type(module) for _, module in modules}, _record)


def _record(node: Any, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    output = method(*args, **kwargs)
    leaves = jax.tree_util.tree_leaves(output)
    if leaves and all(isinstance(x, _ARRAYS) for x in leaves):
        for variable in vars(node).get(ATTRIBUTE, ()):
            if _RECORDS in variable.get_metadata():
                held = variable.get_raw_value()
                stored(variable, name, append(held.get(name, ()), output))
    return output
