"""A cursor into the variable collections: one scope per place in the module tree.

The root scope owns the dictionary of collections, the random streams and the rules of what may be
written. Every other scope is its parent, a name, and what it has looked up so far. Scopes are made
for each submodule of each call, so they are slotted, look up collections on first use, and a
second visit to the same place re-uses the first scope.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from ramie import errors
from ramie.core.filters import Filter, in_filter
from ramie.core.scope.initialise import create, no_function, param_in
from ramie.core.scope.rng import LazyRng, key_here
from ramie.core.scope.shapes import mismatch
from ramie.core.scope.variables import (
    Collection,
    MutableCollection,
    Variable,
    as_returned,
    copied,
    plain,
)
from ramie.core.scope.variables import unbox as unboxed
from ramie.core.tracing.trace import at_traced_forward, current_trace, is_leak, outside_traces
from ramie.trees.frozen import FrozenDict
from ramie.typing import PRNGKey

__all__ = ["Scope", "no_flag"]


class _NoDefault:
    """Stands for a default that was not given."""

    def __repr__(self) -> str:
        return "<no default>"


no_flag = _NoDefault()

_SUBMODULE = None  # what a name is reserved for when a child scope takes it
_EMPTY_FLAGS: FrozenDict[str, Any] = FrozenDict({})


class _Tree:
    """What all scopes under one root share. It knows no scope, so that no cycle forms."""

    __slots__ = ("adopted", "invalid", "mutability", "shared", "trace_level", "variables")

    def __init__(self, variables: MutableCollection) -> None:
        self.variables = variables
        self.invalid = False
        self.mutability: dict[str, bool] = {}
        self.trace_level = current_trace()
        self.adopted: dict[int, Any] = {}
        self.shared: dict[Any, Any] = {}  # programs of modules that ran, see `linen/machinery`


class Scope:
    """A place in the module tree, with the variables and random streams that belong to it.

    Args:
      variables: collections by name; each a nested dictionary. A mutable collection is written
        in place.
      rngs: random streams by name: keys or `LazyRng`.
      name: the last part of the path.
      mutable: a filter for the collections that may be written.
      parent: the scope that this one lies in; a scope without a parent is a root.
      path: the names from the root to here.
      debug_path: as `path`, with the lifted transformations on the way, as in ``vmap(layer)``.
      flags: settings that every scope below sees.
    """

    __slots__ = (
        "__weakref__",
        "_counters",
        "_invalid",
        "_kids",
        "_rng_base",
        "_rng_suffix",
        "_tree",
        "_variables",
        "debug_path",
        "flags",
        "mutable",
        "name",
        "parent",
        "path",
        "reservations",
    )

    reservations: dict[str, Any]

    def __init__(
        self,
        variables: MutableCollection,
        rngs: Mapping[str, PRNGKey | LazyRng] | None = None,
        name: str | None = None,
        mutable: Filter = False,
        parent: "Scope | None" = None,
        path: Iterable[str] = (),
        debug_path: Iterable[str] = (),
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self._variables = variables
        self.name = name
        self.mutable = mutable
        self.parent = parent
        self.path = tuple(path)
        self.debug_path = tuple(debug_path) or self.path
        self.flags = flags or _EMPTY_FLAGS
        self.reservations = {}
        self._kids: dict[str, Scope] = {}
        self._counters: dict[Any, Any] | None = None
        self._rng_base = {k: LazyRng.create(v) for k, v in rngs.items()} if rngs else {}
        self._rng_suffix: tuple[str, ...] = ()
        self._invalid = False
        self._tree: _Tree = _Tree(variables) if parent is None else parent._tree

    @staticmethod
    def _child(parent: "Scope", name: str) -> "Scope":
        self = object.__new__(Scope)
        self._variables = {}
        self.name = name
        self.mutable = parent.mutable
        self.parent = parent
        self.path = (*parent.path, name)
        self.debug_path = (*parent.debug_path, name)
        self.flags = parent.flags
        self.reservations = {}
        self._kids = {}
        self._counters = None
        self._rng_base = parent._rng_base
        self._rng_suffix = (*parent._rng_suffix, name)
        self._invalid = False
        self._tree = parent._tree
        return self

    @property
    def root(self) -> "Scope":
        """The root of the tree that this scope belongs to."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    @property
    def adopted(self) -> dict[int, Any]:
        """Copies of module templates that have a place under this root, by the template's id."""
        return self._tree.adopted

    @property
    def path_text(self) -> str:
        """The path as text, ``/`` for the root, with the lifted transformations on the way."""
        return "/" + "/".join(self.debug_path)

    def __repr__(self) -> str:
        return f"Scope({self.path_text!r}, collections={sorted(self._tree.variables)})"

    # Life and validity -------------------------------------------------------------------

    @property
    def invalid(self) -> bool:
        """Whether the call that this scope was made for has ended."""
        return self._invalid or self._tree.invalid

    def invalidate(self) -> None:
        """End the life of this scope and of those below; writing through them is an error."""
        self._invalid = True
        if self.parent is None:
            self._tree.invalid = True
            self._tree.adopted.clear()
            self._tree.shared = {}
        self._release()

    def _release(self) -> None:
        # A scope and its children point at each other: cut the cycle, so that arrays and tracers
        # go when the call ends and not when the garbage collector runs.
        kids = self._kids
        self._kids = {}
        for kid in kids.values():
            kid._release()

    @contextlib.contextmanager
    def temporary(self) -> "Iterator[Scope]":
        """Yield this scope and invalidate it afterwards."""
        try:
            yield self
        finally:
            self.invalidate()

    def _check_valid(self) -> None:
        if self._invalid or self._tree.invalid:
            raise errors.InvalidScopeError(self.path_text)

    # Names -------------------------------------------------------------------------------

    def reserve(self, name: str, col: str | None = None) -> None:
        """Take a name, for a variable of the collection `col` or (None) for a child scope.

        Variables of different collections may share a name; anything else may not.

        Raises:
          TypeError: if the name is not a string.
          ValueError: if it is taken.
        """
        taken = self.reservations
        if name not in taken and type(name) is str:
            taken[name] = col
            return
        if not isinstance(name, str):
            raise TypeError(
                f"A name in scope {self.path_text} must be a string, found {name!r} of type "
                f"{type(name).__name__}."
            )
        if self.name_reserved(name, col):
            raise ValueError(
                f'Duplicate use of scope name: "{name}" in {self.path_text}. Give each variable '
                "and child a name of its own."
            )
        held = taken.get(name)
        taken[name] = col if name not in taken else (*_columns(held), col)

    def name_reserved(self, name: str, col: str | None = None) -> bool:
        """Tell whether `reserve` would refuse the name."""
        if name not in self.reservations:
            return False
        held = self.reservations[name]
        return held is _SUBMODULE or col is None or col in _columns(held)

    def default_name(self, prefix: str) -> str:
        """Return `prefix` followed by the smallest number that gives a free name."""
        number = 0
        while f"{prefix}{number}" in self.reservations:
            number += 1
        return f"{prefix}{number}"

    # Moving in the tree ------------------------------------------------------------------

    def push(self, name: str | None = None, prefix: str = "", reuse: bool = False) -> "Scope":
        """Enter the child `name`.

        Args:
          name: its name; by default `prefix` and a number.
          prefix: the beginning of a default name.
          reuse: allow a name that is reserved.

        Raises:
          InvalidScopeError: if this scope has ended.
          ValueError: if the name is taken and `reuse` is False.
        """
        self._check_valid()
        if name is None:
            name = self.default_name(prefix)
        if not reuse or name not in self.reservations:
            self.reserve(name)
        kid = self._kids.get(name)
        if kid is None:
            kid = self._kids[name] = Scope._child(self, name)
        elif kid.reservations:
            kid.reservations = {}
        return kid

    def child(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        prefix: str | None = None,
        named_call: bool = True,
        **partial_kwargs: Any,
    ) -> Callable[..., Any]:
        """Bind `fn(scope, ...)` to a child of this scope.

        Args:
          fn: a function whose first argument is a scope.
          name: the name of the child; by default the function's name and a number.
          prefix: replaces the function's name in the default.
          named_call: show the child's name in profiles and compiled programs.
          **partial_kwargs: arguments passed on at each call.

        Returns:
          A function of the remaining arguments. Each call starts with the child's names free.
        """
        if name is None:
            if prefix is None:
                prefix = f"{fn.__name__}_" if hasattr(fn, "__name__") else ""
            name = self.default_name(prefix)
        scope = self.push(name)

        def bound(*args: Any, **kwargs: Any) -> Any:
            label = jax.named_scope(scope.debug_path[-1]) if named_call else None
            with label or contextlib.nullcontext():
                return fn(scope.rewound(), *args, **{**partial_kwargs, **kwargs})

        return bound

    def rewound(self, rewind_rngs: bool = False) -> "Scope":
        """Return this scope with all names free again.

        Args:
          rewind_rngs: also start counting random requests from the beginning; by default they go
            on, so that a second call draws new numbers.
        """
        self._check_valid()
        scope = Scope(
            self._variables,
            None,
            self.name,
            self.mutable,
            self.parent,
            self.path,
            self.debug_path,
            self.flags,
        )
        scope._rng_base = self._rng_base
        scope._rng_suffix = self._rng_suffix
        scope._tree.trace_level = self._tree.trace_level
        if not rewind_rngs:
            scope._counters = self.rng_counters
        return scope

    # Flags -------------------------------------------------------------------------------

    def has_flag(self, key: str) -> bool:
        """Tell whether the flag is set."""
        return key in self.flags

    def get_flag(self, key: str, default: Any = no_flag) -> Any:
        """Return a flag.

        Raises:
          ValueError: if it is not set and no default is given.
        """
        if key in self.flags:
            return self.flags[key]
        if default is no_flag:
            raise ValueError(
                f"Flag {key} not present on scope {self.path_text}: pass flags= where the scope "
                "is made, or give a default."
            )
        return default

    # Randomness --------------------------------------------------------------------------

    @property
    def rngs(self) -> dict[str, LazyRng]:
        """The random streams as they are seen from here."""
        suffix = self._rng_suffix
        base = self._rng_base.items()
        return {k: LazyRng(key_here(k, v.rng), v.suffix + suffix) for k, v in base}

    @rngs.setter
    def rngs(self, rngs: Mapping[str, PRNGKey | LazyRng]) -> None:
        self._rng_base = {k: LazyRng.create(v) for k, v in rngs.items()}
        self._rng_suffix = ()

    @property
    def rng_counters(self) -> dict[Any, Any]:
        """How often each stream was asked here; under ``(name,)`` the counters of a child.

        All scopes of one place share one dictionary, so a second visit goes on counting.
        """
        counters = self._counters
        if counters is None:
            if self.parent is None or self.parent._rng_base is not self._rng_base:
                counters = {}
            else:
                counters = self.parent.rng_counters.setdefault((self.name,), {})
            self._counters = counters
        return counters

    def has_rng(self, name: str) -> bool:
        """Tell whether there is a stream of this name."""
        return name in self._rng_base

    def make_rng(self, name: str = "params") -> PRNGKey:
        """Draw the next key of a stream; the stream ``params`` serves for one that is missing.

        Raises:
          InvalidRngError: if there is neither.
          InvalidScopeError: if this scope has ended.
        """
        lazy = self._next_rng(name)
        if at_traced_forward():
            with outside_traces():
                return lazy.as_jax_rng()
        return lazy.as_jax_rng()

    def _next_rng(self, name: str) -> LazyRng:
        """Count a request and return its key, not yet derived."""
        lazy = self._rng_base.get(name)
        if lazy is None:
            lazy = self._rng_base.get("params")
            if lazy is None:
                raise errors.InvalidRngError.missing(
                    name, self.name, self.path_text, self._rng_base
                )
            name = "params"
        self._check_valid()
        counters = self.rng_counters
        count = counters[name] = counters.get(name, 0) + 1
        return LazyRng(key_here(name, lazy.rng), (*lazy.suffix, *self._rng_suffix, count))

    # Collections -------------------------------------------------------------------------

    def is_mutable_collection(self, col: str) -> bool:
        """Tell whether the collection may be written."""
        known = self._tree.mutability.get(col)
        if known is None:
            known = self._tree.mutability[col] = in_filter(self.mutable, col)
        return known

    def _collection(self, col: str) -> Collection:
        """Return this scope's part of a collection, for reading."""
        mine = self._variables.get(col)
        if mine is not None:
            return mine
        parent = self.parent
        if parent is None:
            return {}
        above = plain(parent._collection(col))
        found = above.get(self.name)  # type: ignore[arg-type]
        if found is None:
            return {}
        if type(found) is not dict:
            if not isinstance(found, Mapping):
                raise errors.ApplyScopeInvalidVariablesTypeError(
                    found=f"{type(found).__name__} at {col}{self.path_text}, where a module lies"
                )
            if self.is_mutable_collection(col):
                return self._mutable_collection(col)
            found = plain(found)
        self._variables[col] = found
        return found

    def _mutable_collection(self, col: str) -> MutableCollection:
        """Return this scope's part of a collection, for writing; make it if needed."""
        mine = self._variables.get(col)
        if type(mine) is dict:
            return mine
        above = None if self.parent is None else self.parent._mutable_collection(col)
        found = mine if above is None else above.get(self.name)  # type: ignore[arg-type]
        made = found if type(found) is dict else copied(found or {})
        if above is not None:
            above[self.name] = made  # type: ignore[index]
        self._variables[col] = made
        return made

    def has_collection(self, col: str) -> bool:
        """Tell whether the collection was given or made, if only as an empty one."""
        return col in self._tree.variables

    def is_collection_empty(self, col: str) -> bool:
        """Tell whether the collection holds nothing at all, anywhere in the tree."""
        return not self._tree.variables.get(col)

    def _own(self) -> dict[str, Any]:
        parts = {col: self._collection(col) for col in self._tree.variables}
        return parts if self.parent is None else {c: part for c, part in parts.items() if part}

    def variables(self) -> Any:
        """Return a snapshot of the variables of this scope, by collection."""
        whole = self.parent is None
        return as_returned(
            {
                col: part if whole and not self.is_mutable_collection(col) else copied(part)
                for col, part in self._own().items()
            }
        )

    def mutable_variables(self) -> Any:
        """Return a snapshot of the variables in those collections that may be written."""
        own = self._own()
        return as_returned({c: copied(p) for c, p in own.items() if self.is_mutable_collection(c)})

    def take_mutable_variables(self) -> Any:
        """Return the collections that may be written, themselves: for a scope that ends now."""
        own = self._own()
        return as_returned({c: p for c, p in own.items() if self.is_mutable_collection(c)})

    # Variables ---------------------------------------------------------------------------

    def has_variable(self, col: str, name: str) -> bool:
        """Tell whether a variable exists."""
        return name in self._collection(col)

    def get_variable(self, col: str, name: str, default: Any = None) -> Any:
        """Return the value of a variable, boxed if it was stored boxed, or the default."""
        return self._collection(col).get(name, default)

    def put_variable(self, col: str, name: str, value: Any) -> None:
        """Set a variable, making it if needed.

        Raises:
          InvalidScopeError: if this scope has ended.
          ModifyScopeVariableError: if the collection is immutable.
          JaxTransformError: if the value belongs to a JAX transformation that was begun after
            this scope was made, so that storing it would leak it.
        """
        self._check_valid()
        if not self.is_mutable_collection(col):
            raise errors.ModifyScopeVariableError(col, name, self.path_text)
        if is_leak(self._tree.trace_level, value):
            raise errors.JaxTransformError(module=self.path_text)
        kid = self._kids.get(name)
        if kid is not None and isinstance(value, Mapping):
            value = copied(value)
            kid._forget(col)
        self._mutable_collection(col)[name] = value

    def _forget(self, col: str) -> None:
        """Drop what was looked up in a collection that is being replaced."""
        self._variables.pop(col, None)
        for kid in self._kids.values():
            kid._forget(col)

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Variable[Any]:
        """Return a handle on a variable, making the variable with `init_fn` if it is missing.

        Args:
          col: its collection.
          name: its name.
          init_fn: called as ``init_fn(*init_args, **init_kwargs)``.
          *init_args: see above.
          unbox: whether the handle's value is taken out of its metadata box.
          **init_kwargs: see above.

        Raises:
          ScopeCollectionNotFound: if it is missing, cannot be made, and the collection is empty.
          ScopeVariableNotFoundError: if it is missing and cannot be made.
          TypeError: if it is missing and `init_fn` is no function.
          ValueError: if the name is taken.
        """
        self.reserve(name, col)
        if name not in self._collection(col):
            if init_fn is None or not self.is_mutable_collection(col):
                if self.is_collection_empty(col):
                    raise errors.ScopeCollectionNotFound(col, name, self.path_text)
                raise errors.ScopeVariableNotFoundError(name, col, self.path_text)
            if not callable(init_fn):
                raise no_function(col, name, self.path_text, init_fn)
            self.put_variable(col, name, create(init_fn, init_args, init_kwargs))
        return Variable(self, col, name, unbox)

    def param(
        self,
        name: str,
        init_fn: Callable[..., Any],
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Any:
        """Return a parameter, making it with ``init_fn(key, *init_args, **init_kwargs)``.

        A parameter that exists is compared with the shape that the initializer would give.

        Raises:
          ScopeParamShapeError: if the shapes differ.
          ScopeCollectionNotFound: if it is missing, cannot be made, and there are no parameters.
          ScopeParamNotFoundError: if it is missing and cannot be made.
          TypeError: if what the initializer returns is an initializer.
          ValueError: if the name is taken.
        """
        self.reserve(name, "params")
        held = self._collection("params")
        if name in held:
            value = held[name]
            bare = unboxed(value)
            differs = mismatch(bare, init_fn, init_args, init_kwargs)
            if differs is not None:
                raise errors.ScopeParamShapeError(name, self.path_text, *differs)
            return bare if unbox else value
        if not self.is_mutable_collection("params"):
            if self.is_collection_empty("params"):
                raise errors.ScopeCollectionNotFound("params", name, self.path_text)
            raise errors.ScopeParamNotFoundError(name, self.path_text)
        value = param_in(self, name, init_fn, self._next_rng("params"), init_args, init_kwargs)
        self.put_variable("params", name, value)
        return unboxed(value) if unbox else value


def _columns(held: Any) -> tuple[Any, ...]:
    return held if isinstance(held, tuple) else (held,)
