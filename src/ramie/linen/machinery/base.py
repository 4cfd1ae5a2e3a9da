"""A module from inside: its place in the tree, its variables and random streams.

This is what the machinery knows of a module. `Module` adds to it how a class becomes a module, and
what can be asked of one from outside.
"""

import dataclasses
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, dataclass_transform

from ramie import errors
from ramie.core.scope.rng import watched_paths
from ramie.core.scope.scope import Scope
from ramie.core.scope.variables import Variable
from ramie.linen.machinery import capture
from ramie.linen.machinery.plan import ClassPlan
from ramie.linen.machinery.state import ModuleState
from ramie.typing import PRNGKey, VariableDict

__all__ = ["ModuleBase"]

T = TypeVar("T")


def _no_items() -> tuple[Any, ...]:
    return ()


# Type checkers read fields only from classes below the one marked so, and `Module` has a field.
@dataclass_transform(field_specifiers=(dataclasses.field,))
class ModuleBase:
    """What every module is and has while it runs; no class but `Module` derives from it."""

    if TYPE_CHECKING:
        _plan: ClassVar[ClassPlan]
        _state: ClassVar[ModuleState]
        scope: ClassVar[Scope | None]
        name: str | None
        parent: Any

        def __post_init__(self) -> None: ...

        def init(self, rngs: Any, *args: Any, **kwargs: Any) -> Any:
            """Create variables: `Module.init`."""

        def apply(self, variables: Any, *args: Any, **kwargs: Any) -> Any:
            """Compute with variables: `Module.apply`."""

    if not TYPE_CHECKING:  # to a type checker these are declared above
        scope = None  # of a module that is not bound

        @property
        def name(self) -> str | None:
            """The name that this module has or is to have where it lies, None for a default."""
            if (watch := watched_paths()) is not None:
                watch.refuse("reads its own name", self)
            return self.__dict__.get("name")

        @name.setter
        def name(self, value: str | None) -> None:
            self.__dict__["name"] = value

        @property
        def parent(self) -> Any:
            """The module or scope this module lies in, None at the top."""
            if (watch := watched_paths()) is not None:
                watch.refuse("reads its parent", self)
            held = self.__dict__.get("_parent_ref")
            return held() if type(held) is weakref.ref else held

        @parent.setter
        def parent(self, value: Any) -> None:
            held = weakref.ref(value) if isinstance(value, ModuleBase) else value
            self.__dict__["_parent_ref"] = held

    @property
    def path(self) -> tuple[str, ...]:
        """The names from the root to this module.

        Raises:
          ValueError: if the module is not bound.
        """
        path = self._bound("module paths").path
        if (watch := watched_paths()) is not None:
            watch.refuse("reads its path")
        return path

    @property
    def variables(self) -> VariableDict:
        """The variables of this module by collection.

        Raises:
          ValueError: if the module is not bound.
        """
        return self._bound("variables").variables()

    @property
    def _initialization_allowed(self) -> bool:
        """Whether submodules and variables may be made here and now, as other projects ask."""
        state = self.__dict__["_state"]
        return self.__dict__["scope"] is None or state.in_setup or state.in_compact_method

    def _bound(self, what: str, use: str = "access") -> Scope:
        scope: Scope | None = self.__dict__["scope"]
        if scope is None:
            raise ValueError(
                f"Can't {use} {what} on unbound modules: {type(self).__name__} has no place yet. "
                "Use it inside init or apply, or bind it first."
            )
        return scope

    def setup(self) -> None:
        """Define submodules and variables; override it. It runs on the first use once bound."""

    # Variables -----------------------------------------------------------------------------

    def _definable(self, what: str, kind: str, name: str, col: str) -> Scope:
        """Return the scope if something may be defined here and now under a name."""
        scope = self._bound(what)
        state = self.__dict__["_state"]
        if not state.in_compact_method and not state.in_setup:
            raise ValueError(
                f"{what.capitalize()} must be initialized in `setup()` or in a method wrapped in "
                f"`@compact`: {type(self).__name__} defines {name!r} in another method."
            )
        if name in scope.reservations and scope.name_reserved(name, col):
            raise errors.NameInUseError(kind, name, type(self).__name__)
        state.children[name] = col
        return scope

    def param(
        self,
        name: str,
        init_fn: Callable[..., Any],
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Any:
        """Define a parameter and return its value.

        Args:
          name: its name.
          init_fn: called in `init` as ``init_fn(key, *init_args, **init_kwargs)``.
          *init_args: usually a shape and a dtype.
          unbox: take the value out of its metadata box.
          **init_kwargs: see above.

        Raises:
          ScopeParamNotFoundError: in `apply`, if the variables lack it.
          ScopeParamShapeError: in `apply`, if its shape is not the initializer's.
          NameInUseError: if the name is taken.
          ValueError: outside `setup` and compact methods, or on an unbound module.
        """
        scope = self._definable("parameters", "param", name, "params")
        return scope.param(name, init_fn, *init_args, unbox=unbox, **init_kwargs)

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Variable[Any]:
        """Define a variable of any collection and return a handle whose `value` can be set.

        Args:
          col: the collection.
          name: its name.
          init_fn: called in `init` as ``init_fn(*init_args, **init_kwargs)``; no key is passed.
          *init_args: see above.
          unbox: take the value out of its metadata box.
          **init_kwargs: see above.

        Raises:
          NameInUseError: if the name is taken in this collection or by a submodule.
          ScopeVariableNotFoundError: if it is missing and may not be created.
          ValueError: outside `setup` and compact methods, or on an unbound module.
        """
        scope = self._definable("variables", "variable", name, col)
        return scope.variable(col, name, init_fn, *init_args, unbox=unbox, **init_kwargs)

    def has_variable(self, col: str, name: str) -> bool:
        """Tell whether a variable exists here."""
        return self._bound("variables").has_variable(col, name)

    def get_variable(self, col: str, name: str, default: T | None = None) -> Any:
        """Return the value of a variable, or the default."""
        return self._bound("variables").get_variable(col, name, default)

    def put_variable(self, col: str, name: str, value: Any) -> None:
        """Set a variable of a mutable collection, creating it if needed.

        Raises:
          ModifyScopeVariableError: if the collection is immutable.
        """
        self._bound("variables").put_variable(col, name, value)

    def is_mutable_collection(self, col: str) -> bool:
        """Tell whether a collection may be written."""
        return self._bound("mutability", "check").is_mutable_collection(col)

    def is_initializing(self) -> bool:
        """Tell whether this runs under `init`."""
        return bool(self._bound("init()", "check if running under").get_flag("initializing", False))

    def sow(
        self,
        col: str,
        name: str,
        value: Any,
        reduce_fn: Callable[[Any, Any], Any] = capture.append_to_tuple,
        init_fn: Callable[[], Any] = _no_items,
    ) -> bool:
        """Store a value in a collection, if the caller made that collection mutable.

        Args:
          col: the collection, often ``intermediates``.
          name: its name.
          value: what to store.
          reduce_fn: joins what is stored already and the new value; appends to a tuple.
          init_fn: returns what is stored at first.

        Returns:
          Whether anything was stored.
        """
        return capture.sow(self._bound("variables", "store"), col, name, value, reduce_fn, init_fn)

    def perturb(self, name: str, value: T, collection: str = "perturbations") -> T:
        """Add a zero that gradients can be taken with respect to.

        The variable is created in `init`; the gradient with respect to it is the gradient with
        respect to the value.

        Raises:
          ValueError: if the collection is passed to `apply` without this variable.
        """
        scope = self._bound("variables", "store")
        return capture.perturb(scope, name, value, collection)

    # Randomness ----------------------------------------------------------------------------

    def has_rng(self, name: str) -> bool:
        """Tell whether there is a random stream of this name."""
        return self._bound("RNGs", "query for").has_rng(name)

    def make_rng(self, name: str = "params") -> PRNGKey:
        """Return a new key from a random stream; ``params`` serves for a missing stream.

        Raises:
          InvalidRngError: if there is neither.
        """
        return self._bound("RNGs", "use").make_rng(name)
