"""Modules crossing the boundary of a lifted transformation.

`core` lifts functions of scopes. Here a function of a module becomes one: the scopes of the module,
of the modules in its fields and of those among the arguments are lifted, and on the inside copies
of the modules are bound to the scopes there.
"""

import collections
import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy as shallow_copy
from typing import Any, cast

import jax

from ramie import errors
from ramie.core.scope.rng import LazyRng
from ramie.core.scope.scope import Scope
from ramie.core.scope.variables import Variable
from ramie.linen.machinery.adopt import map_modules
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.methods import run_setup, wrap_method_once
from ramie.linen.machinery.state import DONE, NEW, RUNNING, ModuleState
from ramie.linen.module import Module
from ramie.trees.frozen import FrozenDict

__all__ = [
    "Boundary",
    "as_module_function",
    "fork_rngs",
    "names_of_first_call",
    "require_module",
    "run_setup_if_bound",
]


@jax.tree_util.register_static
class _Slot:
    """Stands for a module or variable among the arguments: a pytree without leaves."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Slot) and other.index == self.index

    def __hash__(self) -> int:
        return hash((_Slot, self.index))


@jax.tree_util.register_pytree_node_class
class _Opened:
    """An object that holds modules, taken apart: its class may look at its fields.

    Args:
      treedef: its structure, one level deep.
      children: what it holds.
    """

    __slots__ = ("children", "treedef")

    def __init__(self, treedef: Any, children: Sequence[Any]) -> None:
        self.treedef = treedef
        self.children = children

    def tree_flatten(self) -> tuple[Sequence[Any], Any]:
        """Split into what it holds and its structure."""
        return self.children, self.treedef

    @classmethod
    def tree_unflatten(cls, treedef: Any, children: Sequence[Any]) -> "_Opened":
        """Rebuild from what it holds and its structure."""
        return cls(treedef, children)


_CONTAINERS = (dict, collections.OrderedDict, collections.defaultdict, list, tuple, FrozenDict)


def _one_level(tree: Any) -> tuple[list[Any], Any]:
    return jax.tree_util.tree_flatten(tree, is_leaf=lambda x: x is not tree)


def _is_place(value: Any) -> bool:
    return isinstance(value, _Slot | _Opened)


def _filled(tree: Any, items: Sequence[Any]) -> Any:
    """Put items into slots, and objects together."""

    def fill(x: Any) -> Any:
        if isinstance(x, _Slot):
            return items[x.index]
        if isinstance(x, _Opened):
            return x.treedef.unflatten([_filled(child, items) for child in x.children])
        return x

    return jax.tree_util.tree_map(fill, tree, is_leaf=_is_place)


def _opened_like(axes: Any, arg: Any) -> Any:
    """Take a tree of axes apart where an argument was."""
    if jax.tree_util.all_leaves([axes]) or axes is None:
        return axes
    if not any(isinstance(x, _Opened) for x in jax.tree_util.tree_leaves(arg, is_leaf=_is_place)):
        return axes
    inner, treedef = _one_level(axes)
    held = arg.children if isinstance(arg, _Opened) else _one_level(arg)[0]
    if len(inner) != len(held):
        return axes
    inner = list(map(_opened_like, inner, held))
    return _Opened(arg.treedef, inner) if isinstance(arg, _Opened) else treedef.unflatten(inner)


class TestScope(Scope):
    """The scope of a trial run of `setup`, which code can tell by the name of this class."""

    __slots__ = ()
    __test__ = False  # its name must not make pytest take it for tests


class Boundary:
    """The modules of one call of a transformed function, outside and inside.

    Args:
      module: the first argument of the function.
      args: its other arguments.
      kwargs: its keyword arguments.

    Attributes:
      held: the module, and then the modules and variables among the arguments.
      scopes: the scopes to lift.
      args: the arguments, with a placeholder for each module and variable.
      kwargs: the keyword arguments, likewise.
      has_opened: whether objects of other classes than Python's hold modules among the arguments.
      reached: how far automatic names have come in the copies of the module.
    """

    def __init__(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.held: list[Any] = [module]
        self.has_opened = False
        self.args, self.kwargs = self._with_slots((args, kwargs))
        self.scopes: list[Scope] = []
        seen: set[int] = set()
        # The order is that in which new variables enter their collections: arguments first.
        for item in (*self.held[1:], module):
            self._collect(item, seen)
        self._check_setup()
        self._start = dict(module._state.autoname_cursor)
        self.reached: dict[str, int] = {}

    def _with_slots(self, tree: Any) -> Any:
        if isinstance(tree, Module | Variable):
            self.held.append(tree)
            return _Slot(len(self.held) - 1)
        leaves = jax.tree_util.tree_leaves(tree)
        if not any(isinstance(leaf, Module | Variable) for leaf in leaves):
            return tree
        children, treedef = _one_level(tree)
        inside = [self._with_slots(child) for child in children]
        if type(tree) in _CONTAINERS or hasattr(tree, "_fields"):
            return treedef.unflatten(inside)
        self.has_opened = True
        return _Opened(treedef, inside)

    def axes(self, axes: Any, first: int) -> Any:
        """Return axes of the arguments as a transformation sees them.

        Args:
          axes: one for all, or a sequence with one, or a tree, for each.
          first: how many arguments come before.
        """
        args = self.args[first:]
        if not self.has_opened or not isinstance(axes, tuple | list) or len(axes) != len(args):
            return axes
        return tuple(map(_opened_like, axes, args))

    def restored(self, tree: Any) -> Any:
        """Put objects together in something like the arguments, such as their gradients.

        Modules of the arguments stand where modules stood in an object of the user's class.
        """
        if not self.has_opened:
            return tree
        return jax.tree_util.tree_map(
            lambda x: _filled(x, self.held) if isinstance(x, _Opened) else x,
            tree,
            is_leaf=_is_place,
        )

    def _collect(self, item: Any, seen: set[int]) -> None:
        scope = item.scope
        if scope is None or id(item) in seen:
            return
        seen.add(id(item))
        for held in _in_fields(item) if isinstance(item, Module) else ():
            self._collect(held, seen)
        if all(scope is not known for known in self.scopes):
            self.scopes.append(scope)

    def _check_setup(self) -> None:
        """In `init`, run `setup` on a copy without variables before it runs inside.

        A mistake in it then shows outside of the transformation, with a plain traceback.
        """
        module = self.held[0]
        pending = module._plan.has_setup and module._state.setup_called is NEW
        outer = module.__dict__["scope"]
        if not pending or outer is None or not outer.get_flag("initializing", False):
            return

        def on_its_own() -> None:
            rngs = {name: jax.random.key(0) for name in outer.rngs}
            with TestScope({}, rngs, mutable=True, flags=outer.flags).temporary() as root:
                places = {id(scope): root.push(f"_{i}") for i, scope in enumerate(self.scopes)}
                run_setup(_Copies({**places, id(outer): root}).of(module))

        jax.eval_shape(on_its_own)

    def enter(
        self, scopes: Sequence[Scope], cls: type[Module] | None, args: Any, kwargs: Any
    ) -> tuple[Module, tuple[Any, ...], dict[str, Any]]:
        """Bind copies of the modules to the scopes inside.

        Args:
          scopes: the scopes inside, as `self.scopes` outside.
          cls: the class that the copy of the first module gets; by default its own.
          args: the arguments as they are inside.
          kwargs: the keyword arguments as they are inside.

        Returns:
          The copy of the first module, and the arguments with copies for placeholders.
        """
        copies = _Copies(dict(zip(map(id, self.scopes), scopes, strict=True)))
        inside = [copies.of(item, cls if i == 0 else None) for i, item in enumerate(self.held)]
        copies.finish()
        # A transformation may trace several times: each time names go on from the same numbers.
        inside[0]._state.autoname_cursor = dict(self._start)
        if len(inside) > 1:
            args, kwargs = _filled((args, kwargs), inside)
        return inside[0], args, kwargs

    def inside(self, fn: Callable[..., Any], cls: type[Module] | None = None) -> Callable[..., Any]:
        """Turn a function of the first module into one of the scopes inside.

        Args:
          fn: called as ``fn(copy, *args, **kwargs)``.
          cls: the class that the copy gets; by default its own.

        Returns:
          A function ``(scopes, *args, **kwargs)`` of the arguments as they are inside. It raises
          `TransformedMethodReturnValueError` if a module or variable hides in the result.
        """
        method = as_module_function(fn)

        def run(scopes: Any, *args: Any, **kwargs: Any) -> Any:
            copy, args, kwargs = self.enter(scopes, cls, args, kwargs)
            y = method(copy, *args, **kwargs)
            if any(isinstance(leaf, Module | Variable) for leaf in jax.tree_util.tree_leaves(y)):
                name = getattr(method, "__name__", repr(method))
                raise errors.TransformedMethodReturnValueError(name)
            for kind, number in copy._state.autoname_cursor.items():
                self.reached[kind] = max(number, self.reached.get(kind, 0))
            return y

        return run

    def finish(self, reached: Mapping[str, int] | None = None) -> None:
        """Let automatic names outside go on where they were left inside.

        Args:
          reached: as `self.reached`, of the trace that served this call, if that was another's.
        """
        state = self.held[0]._state
        if state.in_compact_method:
            cursor = state.autoname_cursor
            for kind, number in (self.reached if reached is None else reached).items():
                cursor[kind] = max(number, cursor.get(kind, 0))


@contextlib.contextmanager
def names_of_first_call(module: Module, function: Callable[..., Any]) -> Iterator[None]:
    """Let automatic names begin where they began at the first call of a function.

    Calls of one compiled function within one run of a compact method share their submodules, as
    they share their program.
    """
    state = module._state
    if not state.in_compact_method:
        yield
        return
    cursor = state.autoname_cursor
    if state.first_calls is None or state.first_calls[0] is not cursor:  # another run
        # Weakly: a function made in the method often closes over the module.
        state.first_calls = (cursor, weakref.WeakKeyDictionary())
    state.autoname_cursor = dict(state.first_calls[1].setdefault(function, dict(cursor)))
    try:
        yield
    finally:
        state.autoname_cursor = cursor


class _Copies:
    """Copies of modules and variables in other scopes, each made once."""

    def __init__(self, scopes: dict[int, Scope]) -> None:
        self._scopes = scopes
        self._made: dict[int, Module] = {}

    def scope(self, outer: Scope) -> Scope:
        """Return the scope inside for one outside that is lifted or lies in a lifted one."""
        inner = self._scopes.get(id(outer))
        if inner is None and outer.parent is not None and outer.name is not None:
            inner = self.scope(outer.parent).push(outer.name, reuse=True)
            self._scopes[id(outer)] = inner
        return outer if inner is None else inner

    def of(self, item: Any, cls: type[Module] | None = None) -> Any:
        """Return the copy of a bound module or variable; anything unbound is returned itself."""
        if isinstance(item, Variable):
            inside = shallow_copy(item)  # of its own class, with all it carries
            inside.scope = self.scope(cast(Scope, item.scope))
            return inside
        own = item.__dict__
        if own["scope"] is None:
            return item
        made = self._made.get(id(item))
        if made is None:
            made = self._made[id(item)] = object.__new__(cls or type(item))
            self._fill(made, own)
        return made

    def _fill(self, copy: Module, outer: dict[str, Any]) -> None:
        state = outer["_state"]
        fields = copy._plan.fields
        own = copy.__dict__
        for name, value in outer.items():
            if name in fields or state.setup_called is RUNNING:
                own[name] = self._inside(value)
            elif state.setup_called is NEW or (copy._plan.rebuilds and not _modules_in(value)):
                own[name] = value  # made by __post_init__; setup will make its own again
        own["name"] = outer["name"]
        own["scope"] = own["_parent_ref"] = self.scope(outer["scope"])
        own["_state"] = _state_inside(state, copy._plan.has_setup)

    def _inside(self, value: Any) -> Any:
        if isinstance(value, Variable):
            return self.of(value)
        return map_modules(value, lambda module, _: self.of(module))

    def finish(self) -> None:
        """Let `setup` of the copies take names again that the lifted scopes have."""
        for copy in self._made.values():
            copy._state.lifted_names = set(copy.__dict__["scope"].reservations)


def _state_inside(outer: ModuleState, has_setup: bool) -> ModuleState:
    state = ModuleState()
    state.is_initialized = True
    state.in_compact_method = outer.in_compact_method
    state.in_setup = outer.in_setup
    state.setup_called = outer.setup_called if outer.setup_called is RUNNING else DONE
    if has_setup and outer.setup_called is not RUNNING:
        state.setup_called = NEW
    state.autoname_cursor = dict(outer.autoname_cursor)
    return state


def _in_fields(module: Module) -> list[Any]:
    """Return the modules and variables in a module's fields."""
    found: list[Any] = []
    running = module._state.setup_called is RUNNING
    own = module.__dict__
    for name in list(own) if running else module._plan.fields:
        value = own.get(name)
        if isinstance(value, Variable):
            found.append(value)
        else:
            found.extend(_modules_in(value))
    return found


def _modules_in(value: Any) -> list[ModuleBase]:
    found: list[ModuleBase] = []

    def note(module: ModuleBase, _: str) -> ModuleBase:
        found.append(module)
        return module

    map_modules(value, note)
    return found


@contextlib.contextmanager
def fork_rngs(module: Module) -> Iterator[None]:
    """Give a module streams of random keys that do not depend on its path.

    Each stream is seeded with one key drawn from the present one, which goes on counting.
    """
    scope = module.__dict__["scope"]
    if scope is None:
        yield
        return
    counters = scope.rng_counters  # before the streams change, which they belong to
    base, suffix = scope._rng_base, scope._rng_suffix
    scope.rngs = {name: LazyRng(scope.make_rng(name)) for name in base}
    scope._counters = counters
    try:
        yield
    finally:
        scope._rng_base, scope._rng_suffix = base, suffix


def as_module_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of a module behave like a method: setup, naming, the place in profiles."""
    return wrap_method_once(getattr(fn, "__func__", fn))


def require_module(module: Any, target: Any) -> Module:
    """Return the first argument of a transformed function, if it is a module.

    Raises:
      TransformTargetError: if it is not.
    """
    if not isinstance(module, Module):
        raise errors.TransformTargetError(target)
    return module


def run_setup_if_bound(module: Module) -> None:
    """Run `setup` of a module now, if it has variables and has not been set up."""
    if module.__dict__["scope"] is not None:
        run_setup(module)
