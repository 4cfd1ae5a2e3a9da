"""Modules with the manners of Linen that are modules of NNX.

Such a module is a dataclass, makes parameters in `setup` or in a compact method, and has `init` and
`apply` on collections of variables; all the while its variables and submodules are attributes.
"""

import copy as copying
import dataclasses
import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar, dataclass_transform

import jax

from ramie import errors
from ramie.core.filters import Filter as CollectionFilter
from ramie.core.filters import in_filter
from ramie.nnx.bridge.context import MODULE_CONTEXT as MODULE_CONTEXT
from ramie.nnx.bridge.context import ModuleStackEntry, entered
from ramie.nnx.bridge.variables import collections_of, linen_vars_to_nnx_attrs, to_nnx_var
from ramie.nnx.graph.functional import clone
from ramie.nnx.graph.updating import fill
from ramie.nnx.graph.walk import members
from ramie.nnx.modules.module import Module as NNXModule
from ramie.nnx.objects.marks import Mark, has_data
from ramie.nnx.objects.pytree import Pytree, PytreeMeta, PytreeState
from ramie.nnx.randomness.rng import Rngs, RngState
from ramie.nnx.states.nested import Path, raw
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.typing import MISSING, PRNGKey

__all__ = [
    "MODULE_CONTEXT",
    "AttrPriority",
    "Module",
    "ModuleState",
    "Scope",
    "adopt_submodule",
    "compact",
    "current_context",
    "current_module",
]

F = TypeVar("F", bound=Callable[..., Any])
RngValues = int | PRNGKey | Mapping[str, Any] | Rngs | None


class AttrPriority(enum.IntEnum):
    """Which attribute of a module names what several attributes hold; the lowest number does."""

    HIGH = 0
    INIT_PARENT = 20
    DEFAULT = 50
    LOW = 100


class ModuleState(State):
    """Variables that wait, as an attribute of a module, for the submodule of that name."""

    __slots__ = ()


class Scope(Pytree):
    """What a module gets from the call of `init` or `apply` that it runs in.

    Args:
      rngs: random streams, the same for all submodules.
      mutable: which collections may change.
    """

    def __init__(self, rngs: Rngs, mutable: CollectionFilter) -> None:
        self.rngs = rngs
        self.mutable = mutable

    def copy(self) -> "Scope":
        """Return another scope with the same random streams."""
        return Scope(self.rngs, self.mutable)


def current_context() -> ModuleStackEntry | None:
    """Return what is known of the module that runs now, or None."""
    return MODULE_CONTEXT.module_stack[-1]


def current_module() -> "Module | None":
    """Return the module of the bridge that runs now, or None."""
    entry = current_context()
    return None if entry is None else entry.module


def compact(f: F) -> F:
    """Let a method make parameters and submodules where it uses them, as in Linen.

    Submodules made in it become attributes, named after their class and a number, unless they are
    given a `name`.
    """

    @functools.wraps(f)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with entered(self, in_compact=True):
            return f(self, *args, **kwargs)

    wrapped: Any = run
    return wrapped


class _ModuleMeta(PytreeMeta):
    """Makes modules and lets them be submodules of the one that runs."""

    def __call__(
        cls, *args: Any, parent: Any = MISSING, name: str | None = None, **kwargs: Any
    ) -> Any:
        """Make a module.

        Args:
          *args: for the class.
          parent: the module it belongs to; by default the one that runs. None for no module.
          name: the attribute of the parent; by default, in a compact method, one after the class.
          **kwargs: for the class.
        """
        fields: Any = getattr(cls, "__dataclass_fields__", {})
        if name is not None and "name" in fields:
            kwargs["name"] = name
        module: Any = super().__call__(*args, **kwargs)
        entry = current_context() if parent is MISSING else None
        if entry is not None:
            parent = entry.module
        if isinstance(parent, Module):
            if name is None and entry is not None and entry.in_compact:
                name = entry.name_for(type(module))
            if name is not None:
                adopt_submodule(parent, name, module)
        return module


def adopt_submodule(parent: "Module", name: str, module: Any) -> None:
    """Make a module an attribute of another, with the variables that wait for it.

    Args:
      parent: the module that gets it.
      name: the attribute; what else holds it later on does not give it another name.
      module: a module of the bridge, or of NNX.
    """
    parent.set_attr_priority(name, AttrPriority.INIT_PARENT)
    setattr(parent, name, module)


@dataclass_transform(field_specifiers=(dataclasses.field,))
class Module(NNXModule, metaclass=_ModuleMeta):
    """The base of modules that are written as in Linen and are modules of NNX.

    Subclasses are dataclasses. Parameters are made with `param` in `setup`, or in a method marked
    `compact`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> from ramie.nnx import bridge
        >>> class Dense(bridge.Module):
        ...     features: int
        ...     @bridge.compact
        ...     def __call__(self, x):
        ...         init = nnx.initializers.ones_init()
        ...         return x @ self.param("kernel", init, (x.shape[-1], self.features))
        >>> variables = Dense(3).init(0, jnp.ones((1, 2)))
        >>> Dense(3).apply(variables, jnp.ones((1, 2)))
        Array([[2., 2., 2.]], dtype=float32)
    """

    _pytree__takes_new = True
    scope: Scope | None
    attr_priorities: Mapping[str, AttrPriority]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a module that belongs to no call yet."""
        self = super().__new__(cls)
        self._pytree__store("scope", Mark(None, True))
        self._pytree__store("attr_priorities", {})
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hidden = {name: cls.__dict__[name] for name in ("__init__",) if name in cls.__dict__}
        dataclasses.dataclass(repr=False, eq=False, init=not hidden)(cls)

    def setup(self) -> None:
        """Make submodules and parameters; runs when the module becomes part of a call."""

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) is Mark or not has_data(value):
            super().__setattr__(name, value)
            return
        waiting = vars(self).get(name)
        super().__setattr__(name, Mark(value, True))
        if self.scope is not None and name != "scope":
            _bind(self, value, waiting if isinstance(waiting, ModuleState) else None)

    def set_attr_priority(self, name: str, value: AttrPriority) -> None:
        """Say how much an attribute counts when several hold the same submodule.

        Args:
          name: the attribute.
          value: the variables stand under the name with the lowest number.
        """
        self.attr_priorities = {**self.attr_priorities, name: value}

    # --- inside of a call ---------------------------------------------------------------------

    def _in_call(self, what: str) -> Scope:
        if self.scope is None:
            raise ValueError(
                f"{what} must be initialized in `setup()` or in a method wrapped in `@compact`, "
                f"while `init` or `apply` runs; this {type(self).__name__} is in no call."
            )
        return self.scope

    def is_initializing(self) -> bool:
        """Tell whether `init` runs."""
        return self._pytree__state.initializing

    def make_rng(self, name: str = "default") -> PRNGKey:
        """Return the next key of a random stream.

        Args:
          name: of the stream; the stream `default` serves for one that is missing.
        """
        return self._in_call("Random streams").rngs[name]()

    def param(
        self,
        name: str,
        init_fn: Callable[..., Any],
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Any:
        """Return a parameter, made now if it is not there.

        Args:
          name: the attribute.
          init_fn: called with a key and the other arguments.
          *init_args: for `init_fn`.
          unbox: accepted for compatibility; boxes become metadata of the variable.
          **init_kwargs: for `init_fn`.

        Raises:
          ScopeParamNotFoundError: in `apply`, if it is not among the variables.
          ValueError: outside of a call.
        """
        scope = self._in_call("Parameters")

        def made() -> Any:
            return init_fn(scope.rngs["params"](), *init_args, **init_kwargs)

        return self._variable("params", name, made)

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Any:
        """Return a variable of any collection, made now if it is not there.

        Args:
          col: the collection.
          name: the attribute.
          init_fn: called with the other arguments; no key.
          *init_args: for `init_fn`.
          unbox: accepted for compatibility; boxes become metadata of the variable.
          **init_kwargs: for `init_fn`.

        Raises:
          ScopeVariableNotFoundError: if it is not there, and there is no `init_fn`.
          ValueError: outside of a call.
        """
        self._in_call("Variables")
        made = None if init_fn is None else functools.partial(init_fn, *init_args, **init_kwargs)
        return self._variable(col, name, made)

    def _variable(self, col: str, name: str, made: Callable[[], Any] | None) -> Any:
        found = vars(self).get(name)
        if found is not None:
            if not isinstance(found, Variable):
                raise ValueError(
                    f"Expected '{name}' of {type(self).__name__} to be a Variable, got "
                    f"{type(found).__name__}: take another name."
                )
            return found
        mutable = self.scope is not None and in_filter(self.scope.mutable, col)
        if not (self.is_initializing() or mutable) or made is None:
            if col == "params":
                raise errors.ScopeParamNotFoundError(name, type(self).__name__)
            if made is None:
                raise errors.ScopeVariableNotFoundError(name, col, type(self).__name__)
        fresh = to_nnx_var(col, made()) if made is not None else None
        setattr(self, name, fresh)
        return fresh

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of this module and all inside, as collections of Linen."""
        leaves = [x for x in _leaves(self, (), set()) if not isinstance(x[1], RngState)]
        return collections_of(leaves, allow_register=True)

    # --- calls --------------------------------------------------------------------------------

    def apply(
        self,
        variables: Mapping[str, Any],
        *args: Any,
        rngs: RngValues = None,
        method: Callable[..., Any] | str = "__call__",
        mutable: CollectionFilter = False,
        _initialize: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Call a method on variables. This module stays as it is.

        Args:
          variables: collections by name.
          *args: for the method.
          rngs: a seed or key of the stream `default`, seeds or keys by name, or Rngs.
          method: its name, or a function of the module.
          mutable: which collections may change.
          **kwargs: for the method.

        Returns:
          The output; with `mutable`, the output and the collections that may change.
        """
        streams = rngs if isinstance(rngs, Rngs) else Rngs(rngs)
        module = clone(self, graph=True)
        if _initialize:
            _mark_initializing(module)
        with entered(module, in_compact=False):
            _fill(module, linen_vars_to_nnx_attrs(raw(variables)))
            _enter(module, Scope(streams, mutable))
            bound = functools.partial(method, module) if callable(method) else None
            call: Any = getattr(module, str(method)) if bound is None else bound
            output = call(*args, **kwargs)
        if not _initialize and mutable is False:
            return output
        held = module.variables
        return output, {col: x for col, x in held.items() if in_filter(mutable, col)}

    def init(
        self,
        rngs: RngValues = None,
        *args: Any,
        method: Callable[..., Any] | str = "__call__",
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run a method to make the variables, and return them as collections.

        Args:
          rngs: see `apply`.
          *args: for the method.
          method: see `apply`.
          **kwargs: for the method.
        """
        return self.init_with_output(rngs, *args, method=method, **kwargs)[1]

    def init_with_output(
        self,
        rngs: RngValues = None,
        *args: Any,
        method: Callable[..., Any] | str = "__call__",
        mutable: Any = False,
        **kwargs: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Like `init`, but return the output of the method, too.

        Args:
          rngs: see `apply`.
          *args: for the method.
          method: see `apply`.
          mutable: which collections to return, if not all.
          **kwargs: for the method.
        """
        output, made = self.apply(
            {},
            *args,
            rngs=rngs,
            method=method,
            mutable=True if mutable is False else mutable,
            _initialize=True,
            **kwargs,
        )
        return output, made


# --- becoming part of a call ----------------------------------------------------------------------


def _enter(module: Module, scope: Scope) -> None:
    """Give a module its scope, and run its `setup`, unless that has happened."""
    if module.scope is None:
        module.scope = scope
        for name, value in list(vars(module).items()):  # fields of the dataclass that are modules
            if name != "scope" and not isinstance(value, Variable | State):
                _bind(module, value, None)
        if type(module).setup is not Module.setup:
            with entered(module, in_compact=False):
                module.setup()


def _bind(parent: Module, value: Any, waiting: Any) -> None:
    """Let the modules inside a value be part of the call that their parent is part of.

    Args:
      parent: the module that holds the value.
      value: a module, or a container of modules.
      waiting: variables for it, nested as it is, or None.
    """
    if isinstance(value, Module):
        if waiting is not None:
            _fill(value, raw(waiting))
        if parent.is_initializing():
            _mark_initializing(value)
        if value.scope is None and parent.scope is not None:
            _enter(value, parent.scope.copy())
    elif isinstance(value, NNXModule):
        for name, held in {} if waiting is None else raw(waiting).items():
            if name in vars(value):
                fill(value, State({name: held}))
            else:  # ToNNX has no variables before it gets some
                setattr(value, name, Mark(held, True))
        if parent.is_initializing():
            _mark_initializing(value)
    elif isinstance(value, list | tuple | dict):
        for key, inner in members(value):
            held = None if waiting is None else raw(waiting).get(key, raw(waiting).get(str(key)))
            _bind(parent, inner, held)


def _mark_initializing(module: Pytree) -> None:
    life = PytreeState(True, module._pytree__state.is_setup)
    object.__setattr__(module, "_pytree__life", life)


def _fill(module: Module, attributes: Mapping[str, Any]) -> None:
    """Give variables to a module; those of submodules wait until these are there."""
    for name, value in attributes.items():
        known = vars(module).get(name)
        if isinstance(value, Variable):
            setattr(module, name, Mark(value, True))
        elif known is None or isinstance(known, State):
            setattr(module, name, Mark(ModuleState(copying.copy(value)), True))
        elif isinstance(known, Module):
            _fill(known, value)
        else:
            _bind(module, known, value)


def _leaves(x: Any, path: Path, seen: set[int]) -> Iterator[tuple[Path, Any]]:
    """List the variables inside with their paths, each under the name that counts most."""
    if isinstance(x, Variable):
        yield path, x
        return
    if isinstance(x, Pytree):
        if id(x) in seen:
            return
        seen.add(id(x))
    priorities = x.attr_priorities if isinstance(x, Module) else {}
    pairs = sorted(members(x), key=lambda pair: priorities.get(pair[0], AttrPriority.DEFAULT))
    for key, value in pairs:
        if isinstance(value, Variable):
            if id(value) not in seen:
                seen.add(id(value))
                yield (*path, key), value
        elif not isinstance(value, jax.Array | Scope):
            yield from _leaves(value, (*path, key), seen)
