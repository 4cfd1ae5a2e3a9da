"""The Module class: an immutable dataclass that defines a neural network, functionally.

What a module is and has while it runs is in `machinery/base`, how it gets its place in `adopt`,
what happens around a method call in `methods`, what is decided per class in `plan`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ramie import errors
from ramie.core.filters import DenyList as DenyList
from ramie.core.filters import Filter
from ramie.core.scope.entry import bind
from ramie.core.scope.scope import Scope as Scope
from ramie.core.scope.variables import Variable as Variable
from ramie.core.tracing.trace import api_boundary
from ramie.linen.inspection import shapes, summary
from ramie.linen.machinery import adopt, display, entry, identity
from ramie.linen.machinery.adopt import share_scope as share_scope
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.context import context
from ramie.linen.machinery.entry import INIT_COLLECTIONS
from ramie.linen.machinery.entry import apply as apply
from ramie.linen.machinery.entry import init as init
from ramie.linen.machinery.entry import init_with_output as init_with_output
from ramie.linen.machinery.methods import InterceptorContext as InterceptorContext
from ramie.linen.machinery.methods import compact as compact
from ramie.linen.machinery.methods import compact_name_scope as compact_name_scope
from ramie.linen.machinery.methods import disable_named_call as disable_named_call
from ramie.linen.machinery.methods import enable_named_call as enable_named_call
from ramie.linen.machinery.methods import intercept_methods as intercept_methods
from ramie.linen.machinery.methods import nowrap as nowrap
from ramie.linen.machinery.methods import override_named_call as override_named_call
from ramie.linen.machinery.methods import run_setup, wrap_class
from ramie.linen.machinery.methods import wrap_method_once as wrap_method_once
from ramie.linen.machinery.plan import SHARES, UNSPECIFIED, make_plan
from ramie.linen.machinery.settings import merge_param as merge_param
from ramie.linen.machinery.state import NEW, ModuleState
from ramie.linen.machinery.state import SetupState as SetupState
from ramie.trees.frozen import FrozenDict as FrozenDict
from ramie.typing import VariableDict

__all__ = [
    "InterceptorContext",
    "Module",
    "Scope",
    "Variable",
    "apply",
    "compact",
    "compact_name_scope",
    "disable_named_call",
    "enable_named_call",
    "init",
    "init_with_output",
    "intercept_methods",
    "merge_param",
    "nowrap",
    "override_named_call",
    "share_scope",
    "wrap_method_once",
]

_context = context  # the name under which other projects look for the module that runs

M = TypeVar("M", bound="Module")
CaptureFilter = Callable[["Module", str], bool]


class Module(ModuleBase):
    """The base of all neural network modules.

    A subclass declares its hyperparameters as annotated fields, like a dataclass, and computes in
    methods. Parameters and submodules are defined either in `setup` or, in a method marked with
    `compact`, where they are used. An instance is only a description: `init` creates variables
    from it and `apply` computes with variables.

    Besides the declared fields every module takes `name` (by default derived from the place),
    `parent` (by default the module whose method is running; None for none), and `share_traces`:
    whether submodules that agree are traced once, see `ramie.linen.share_traces`.

    Example:
      >>> import jax, ramie.linen as nn
      >>> class MLP(nn.Module):
      ...     width: int
      ...
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         x = nn.relu(nn.Dense(self.width)(x))
      ...         return nn.Dense(1)(x)
      >>> model = MLP(width=4)
      >>> x = jax.numpy.ones((2, 3))
      >>> variables = model.init(jax.random.key(0), x)
      >>> model.apply(variables, x).shape
      (2, 1)
    """

    if TYPE_CHECKING:  # at run time an annotation here would be a field of every module
        _compact_name_scope_methods: ClassVar[tuple[str, ...]]
        name: str | None = dataclasses.field(default=None, kw_only=True)
        parent: Any = dataclasses.field(default=None, kw_only=True)

    def __init_subclass__(cls, kw_only: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_lifted_methods" in cls.__dict__:  # nothing but transformed methods: all is decided
            return
        if "__eq__" in cls.__dict__ and cls.__dict__.get("__hash__") is None:
            cls.__hash__ = Module.__hash__  # type: ignore[method-assign]
        cls._plan = make_plan(cls, kw_only=kw_only, attach=adopt.attach, base=Module)
        cls._compact_name_scope_methods = cls._plan.name_scopes
        wrap_class(cls, frozenset((*cls._plan.fields, "parent", "name")))

    def __post_init__(self) -> None:
        """Take the place in the tree. An override must call ``super().__post_init__()``."""
        adopt.attach(self)

    # Attributes ----------------------------------------------------------------------------

    def __setattr__(self, name: str, val: Any) -> None:
        own = self.__dict__
        state = own.get("_state")
        if state is None or not state.is_initialized:
            object.__setattr__(self, name, val)
        elif state.in_setup:
            if name in self._plan.init_fields:
                raise errors.SetAttributeInModuleSetupError(module=type(self).__name__)
            object.__setattr__(self, name, adopt.adopt_value(self, name, val))
        elif own["scope"] is None or name == "__orig_class__":
            object.__setattr__(self, name, val)
        else:
            raise errors.SetAttributeFrozenModuleError(type(self).__name__, name, val)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        kind = type(self)
        dunder = name.startswith("__") and name.endswith("__")
        if not dunder and own.get("scope") is not None and own["_state"].setup_called is NEW:
            run_setup(self)
            if name in own:
                return own[name]
        for base in kind.__mro__:
            if name in base.__dict__:  # a property or descriptor that raised AttributeError
                self._explain(base.__dict__[name])
        raise AttributeError(
            f'"{kind.__name__}" object has no attribute "{name}". If "{name}" is defined in '
            "'.setup()', remember these fields are only accessible from inside 'init' or 'apply'. "
            "Call model.apply(variables, x), or in a module of NNX wrap it in nnx.bridge.ToNNX."
        )

    def _explain(self, descriptor: Any) -> None:
        """Ask a descriptor again and show the error that Python has swallowed."""
        try:
            descriptor.__get__(self, type(self))
        except AttributeError as error:
            raise errors.DescriptorAttributeError(module=type(self).__name__) from error

    def __dir__(self) -> list[str]:
        own = self.__dict__
        if own.get("scope") is not None and own["_state"].setup_called is NEW:
            run_setup(self)
        return list(object.__dir__(self))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return identity.are_equal(self, other)

    def __hash__(self) -> int:
        return identity.hash_of(self)

    def __repr__(self) -> str:
        return display.module_repr(self)

    def __copy__(self: M) -> M:
        return identity.shallow_copy(self)

    def __deepcopy__(self: M, memo: dict[int, Any]) -> M:
        return identity.deep_copy(self, memo)

    def __getstate__(self) -> dict[str, Any]:
        return identity.picklable_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = identity.found_functions(state)
        self.__dict__.update(kept, _parent_ref=None, scope=None, _state=ModuleState())
        self.__dict__["_state"].is_initialized = True

    # From outside --------------------------------------------------------------------------

    @api_boundary
    def init_with_output(
        self,
        rngs: Any,
        *args: Any,
        method: Callable[..., Any] | str | None = None,
        mutable: Filter = INIT_COLLECTIONS,
        capture_intermediates: bool | CaptureFilter = False,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Create variables by running a method, and return its output too; see `init`."""
        fn = entry.as_method(self, method)
        run = entry.init_with_output(fn, self, mutable, capture_intermediates)
        return run(rngs, *args, **kwargs)

    @api_boundary
    def init(
        self,
        rngs: Any,
        *args: Any,
        method: Callable[..., Any] | str | None = None,
        mutable: Filter = INIT_COLLECTIONS,
        capture_intermediates: bool | CaptureFilter = False,
        **kwargs: Any,
    ) -> Any:
        """Create the variables of this module by running a method.

        Args:
          rngs: a key, which seeds the stream ``params``, or a dictionary of keys by stream.
          *args: passed to the method.
          method: its name, or a function of a module; by default ``__call__``.
          mutable: the collections to create; all but ``intermediates``.
          capture_intermediates: see `apply`.
          **kwargs: passed to the method.

        Returns:
          The variables: a dictionary of collections.

        Raises:
          InvalidRngError: if `rngs` is neither a key nor a dictionary of keys.
        """
        run = entry.init(entry.as_method(self, method), self, mutable, capture_intermediates)
        return run(rngs, *args, **kwargs)

    @api_boundary
    def lazy_init(
        self,
        rngs: Any,
        *args: Any,
        method: Callable[..., Any] | None = None,
        mutable: Filter = INIT_COLLECTIONS,
        **kwargs: Any,
    ) -> Any:
        """Create the variables without computing outputs; inputs may be given by shape alone.

        Args:
          rngs: as for `init`.
          *args: passed to the method; arrays may be `jax.ShapeDtypeStruct`.
          method: as for `init`.
          mutable: as for `init`.
          **kwargs: passed to the method.

        Raises:
          LazyInitError: if a variable depends on the value of an input.
        """
        run = entry.lazy_init(entry.as_method(self, method), self, mutable)
        return run(rngs, *args, **kwargs)

    def module_paths(
        self,
        rngs: Any,
        *args: Any,
        show_repeated: bool = False,
        mutable: Filter = INIT_COLLECTIONS,
        **kwargs: Any,
    ) -> dict[str, "Module"]:
        """Return the modules whose methods run in `init`, unbound, by path (``""``, ``"a/b"``).

        Args:
          rngs: as for `init`; nothing is computed with it.
          *args: passed to the method.
          show_repeated: accepted for compatibility; a module has one path however often it runs.
          mutable: as for `init`.
          **kwargs: passed to the method.
        """
        return shapes.module_paths(self, rngs, args, {"mutable": mutable, **kwargs})

    @api_boundary
    def tabulate(
        self,
        rngs: Any,
        *args: Any,
        depth: int | None = None,
        show_repeated: bool = False,
        mutable: Filter = INIT_COLLECTIONS,
        console_kwargs: Mapping[str, Any] | None = None,
        table_kwargs: Mapping[str, Any] = summary.NO_EXTRAS,
        column_kwargs: Mapping[str, Any] = summary.NO_EXTRAS,
        compute_flops: bool = False,
        compute_vjp_flops: bool = False,
        **kwargs: Any,
    ) -> str:
        """Return a table of the submodules, their inputs, outputs and variables, as text.

        Nothing is computed. The arguments, beside those of the method, are those of
        `ramie.linen.tabulate`, which describes them and the table.
        """
        options = (depth, show_repeated, mutable, console_kwargs, table_kwargs, column_kwargs)
        show = summary.tabulate(self, rngs, *options, compute_flops, compute_vjp_flops)
        return show(*args, **kwargs)

    @api_boundary
    def apply(
        self,
        variables: VariableDict,
        *args: Any,
        rngs: Any = None,
        method: Callable[..., Any] | str | None = None,
        mutable: Filter = False,
        capture_intermediates: bool | CaptureFilter = False,
        **kwargs: Any,
    ) -> Any:
        """Run a method of this module with variables.

        Args:
          variables: a dictionary of collections, as `init` returns it.
          *args: passed to the method.
          rngs: a key or a dictionary of keys by stream.
          method: its name, or a function of a module; by default ``__call__``.
          mutable: the collections that may be written: True, a name, names, or a `DenyList`.
          capture_intermediates: True to keep the output of every ``__call__`` in the collection
            ``intermediates``, or a function ``(module, method_name) -> bool`` that chooses.
          **kwargs: passed to the method.

        Returns:
          The output; or, if `mutable` is not False or intermediates are captured, the output and
          a dictionary of the mutable collections as the method left them.

        Raises:
          ApplyScopeInvalidVariablesTypeError: if `variables` is not a dictionary of dictionaries.
          InvalidRngError: if a random stream is missing or not a key.
          ApplyModuleInvalidMethodError: if `method` takes no argument.
        """
        fn = entry.as_method(self, method)
        if rngs is not None:
            entry.check_init_rngs(self, rngs)
        run = entry.apply(fn, self, mutable, capture_intermediates)
        return run(variables, *args, rngs=rngs, **kwargs)

    def bind(
        self: M,
        variables: VariableDict,
        *args: Any,
        rngs: Any = None,
        mutable: Filter = False,
    ) -> M:
        """Return a copy that holds variables for as long as it lives: for interactive use.

        Args:
          variables: as for `apply`.
          *args: ignored.
          rngs: as for `apply`.
          mutable: as for `apply`; the copy's `variables` show what was written.
        """
        entry.check_module(self)
        return adopt.rebind(self, bind(variables, rngs, mutable))

    def unbind(self: M) -> tuple[M, VariableDict]:
        """Return an unbound copy of a bound module, and its variables.

        Raises:
          CallUnbindOnUnboundModuleError: if it is not bound.
        """
        if self.__dict__["scope"] is None:
            raise errors.CallUnbindOnUnboundModuleError(module=type(self).__name__)
        variables = self.variables
        return adopt.template_copy(self), variables

    def clone(
        self: M,
        *,
        parent: Any = None,
        _deep_clone: Any = False,
        _reset_names: bool = False,
        **updates: Any,
    ) -> M:
        """Construct a copy from the fields of this module.

        Args:
          parent: the copy's parent; none by default.
          **updates: new values of fields, and `name`.

        Raises:
          TypeError: if an update is not a field.
        """
        source = self
        if _deep_clone is not False:
            source = adopt.template_copy(self)
        own = {**source.__dict__, **adopt.given_fields(source)}
        values = {n: own[n] for n in self._plan.fields if n in self._plan.init_fields and n in own}
        values["name"] = None if _reset_names else self.name
        if SHARES in own:
            values["share_traces"] = own[SHARES]
        kind: Any = type(self)
        return kind(**{**values, **updates}, parent=parent)

    def copy(self: M, *, parent: Any = UNSPECIFIED, name: str | None = None, **updates: Any) -> M:
        """Construct a copy for use as a submodule where this is called.

        Args:
          parent: its parent; by default the module whose method is running.
          name: its name; by default as for any new submodule.
          **updates: new values of fields.
        """
        return self.clone(parent=parent, name=name, _deep_clone=True, **updates)


Module._plan = make_plan(Module, kw_only=False, attach=adopt.attach, base=None)
