"""Running a function of a scope: bind it to variables, call it, hand back what changed."""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

from ramie import errors
from ramie.core.filters import DenyList as DenyList
from ramie.core.filters import Filter, in_filter, is_filter_empty
from ramie.core.filters import filter_to_set as filter_to_set
from ramie.core.filters import group_collections as group_collections
from ramie.core.filters import intersect_filters as intersect_filters
from ramie.core.filters import subtract_filters as subtract_filters
from ramie.core.filters import union_filters as union_filters
from ramie.core.scope.rng import LazyRng as LazyRng
from ramie.core.scope.rng import check_rngs, is_valid_rng
from ramie.core.scope.scope import Scope as Scope
from ramie.core.scope.scope import no_flag as no_flag
from ramie.core.scope.variables import Variable as Variable
from ramie.core.scope.variables import copied
from ramie.core.tracing.abstract import evaluate_without
from ramie.trees.frozen import FrozenDict as FrozenDict
from ramie.trees.frozen import freeze as freeze
from ramie.trees.frozen import unfreeze as unfreeze
from ramie.typing import CollectionFilter as CollectionFilter
from ramie.typing import FrozenVariableDict as FrozenVariableDict
from ramie.typing import PRNGSequenceFilter as PRNGSequenceFilter

__all__ = [
    "CollectionFilter",
    "DenyList",
    "FrozenDict",
    "LazyRng",
    "PRNGSequenceFilter",
    "Scope",
    "Variable",
    "apply",
    "bind",
    "filter_to_set",
    "freeze",
    "group_collections",
    "in_filter",
    "init",
    "intersect_filters",
    "is_filter_empty",
    "lazy_init",
    "no_flag",
    "subtract_filters",
    "unfreeze",
    "union_filters",
]

_is_valid_rng = is_valid_rng  # the name that code written for Flax imports


def _check_variables(variables: Any) -> None:
    if not isinstance(variables, Mapping):
        raise errors.ApplyScopeInvalidVariablesTypeError(
            found=f"a value of type {type(variables).__name__}"
        )
    for name, collection in variables.items():
        if not isinstance(name, str):
            raise errors.ApplyScopeInvalidVariablesTypeError(
                found=f"the collection name {name!r} of type {type(name).__name__}"
            )
        if not isinstance(collection, Mapping):
            raise errors.ApplyScopeInvalidVariablesTypeError(
                found=f"collection {name!r} of type {type(collection).__name__}"
            )
        for key in collection:
            if not isinstance(key, str):
                raise errors.ApplyScopeInvalidVariablesTypeError(
                    found=f"the key {key!r} in collection {name!r}"
                )
    params = variables.get("params")
    if params is not None and "params" in params and isinstance(params["params"], Mapping):
        raise errors.ApplyScopeInvalidVariablesStructureError(variables)


def bind(
    variables: Mapping[str, Mapping[str, Any]],
    rngs: Any = None,
    mutable: Filter = False,
    flags: Mapping[str, Any] | None = None,
) -> Scope:
    """Make a root scope on variables.

    Collections that may be written are copied, so the caller's variables never change.

    Args:
      variables: collections by name.
      rngs: one key, taken as the stream ``params``, or streams by name.
      mutable: a filter for the collections that may be written.
      flags: settings that every scope below sees.

    Raises:
      ApplyScopeInvalidVariablesTypeError: if `variables` is not a dictionary of dictionaries.
      ApplyScopeInvalidVariablesStructureError: if it has a second ``params`` level.
      InvalidRngError: if `rngs` is neither a key nor a dictionary of keys.
    """
    _check_variables(variables)
    if rngs is not None:
        if is_valid_rng(rngs):
            rngs = {"params": rngs}
        else:
            check_rngs(
                rngs,
                "The ``rngs`` argument passed to an apply function should be a ``jax.PRNGKey`` or "
                "a dictionary mapping strings to ``jax.PRNGKey``.",
            )
    own = dict(variables)
    if mutable is not False and not is_filter_empty(mutable):
        for name, collection in own.items():
            if in_filter(mutable, name):
                own[name] = copied(collection)
    return Scope(own, rngs, mutable=mutable, flags=flags)


def duplicate(scope: Scope, memo: dict[int, Any] | None = None) -> Scope:
    """Make a root scope with copies of what another scope has: variables, streams, their counters.

    Args:
      scope: a scope, the root of its tree or not.
      memo: of `copy.deepcopy`, to copy the arrays as well; None to share them.
    """
    variables = {name: copied(collection) for name, collection in scope.variables().items()}
    if memo is not None:
        variables = copy.deepcopy(variables, memo)
    root = Scope(variables, scope.rngs, mutable=scope.mutable, flags=scope.flags)
    root.rng_counters.update(copy.deepcopy(scope.rng_counters))
    return root


def apply(
    fn: Callable[..., Any], mutable: Filter = False, flags: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Make a pure function of variables out of a function of a scope.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      mutable: a filter for the collections that `fn` may write.
      flags: settings that every scope sees.

    Returns:
      A function ``(variables, *args, rngs=None, **kwargs)``. It returns what `fn` returns or, if
      `mutable` names anything, the pair of that and the mutable collections as `fn` left them.
    """

    @functools.wraps(fn)
    def applied(
        variables: Mapping[str, Mapping[str, Any]], *args: Any, rngs: Any = None, **kwargs: Any
    ) -> Any:
        with bind(variables, rngs, mutable, flags).temporary() as root:
            output = fn(root, *args, **kwargs)
            if mutable is False:
                return output
            return output, root.take_mutable_variables()

    return applied


def bind_new(rngs: Any, mutable: Filter = True, flags: Mapping[str, Any] | None = None) -> Scope:
    """Make a root scope in which variables are created.

    Args:
      rngs: as for `init`.
      mutable: a filter for the collections that are created.
      flags: settings that every scope below sees; `initializing` is set to True.

    Raises:
      InvalidRngError: if `rngs` is neither a key nor a dictionary of keys.
    """
    if not is_valid_rng(rngs):
        check_rngs(
            rngs,
            "First argument passed to an init function should be a ``jax.PRNGKey`` or a dictionary "
            "mapping strings to ``jax.PRNGKey``.",
        )
    return bind({}, rngs, mutable, {**(flags or {}), "initializing": True})


def init(
    fn: Callable[..., Any], mutable: Filter = True, flags: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Make a function that creates the variables which a function of a scope asks for.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      mutable: a filter for the collections that are created and returned.
      flags: settings that every scope sees; `initializing` is set to True.

    Returns:
      A function ``(rngs, *args, **kwargs)`` that returns the pair of what `fn` returns and the
      variables.
    """

    @functools.wraps(fn)
    def initialised(rngs: Any, *args: Any, **kwargs: Any) -> Any:
        with bind_new(rngs, mutable, flags).temporary() as root:
            output = fn(root, *args, **kwargs)
            return output, made_in(root)

    return initialised


def made_in(root: Scope) -> Any:
    """Return the variables that were created in a root scope whose call ends now."""
    return {} if root.mutable is False else root.take_mutable_variables()


def lazy_init(
    fn: Callable[..., Any], mutable: Filter = True, flags: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Like `init`, but arguments may be `jax.ShapeDtypeStruct` and only variables are computed.

    Returns:
      A function ``(rngs, *args, **kwargs)`` that returns the variables. It raises
      `LazyInitError` if a variable depends on the value of an argument that is only a shape.
    """
    return on_shapes(init(fn, mutable, flags))


def on_shapes(run: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """Make a function that computes only the variables, as `lazy_init`, of one that `init` made."""

    def initialised(rngs: Any, *args: Any, **kwargs: Any) -> Any:
        return evaluate_without(lambda *a, **k: run(rngs, *a, **k)[1], args, kwargs)

    return initialised
