"""How a module comes to its place in the tree: naming, binding, and the modules in its fields.

A module is *bound* when it has a scope. It gets one by being constructed in a compact method, by
being assigned to an attribute in `setup`, or by standing in a field of a module that is bound. A
module constructed in `setup` is *pending* until it is assigned or adopted. A module constructed
outside any method is a template: binding a parent of it binds a copy, one per root scope, so that
a template used in two places is shared and the user's own object never changes.

Where a class overrides `__post_init__`, it runs again when a module of the class is bound: with a
scope, it may ask for another place (`share_scope`).
"""

import dataclasses
import types
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from ramie import errors
from ramie.core.scope.rng import watched_paths
from ramie.core.scope.scope import Scope
from ramie.foundation.configurations import config
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.context import context
from ramie.linen.machinery.plan import SHARES, UNSPECIFIED, note_revised
from ramie.linen.machinery.state import ModuleState
from ramie.trees.frozen import FrozenDict

__all__ = [
    "adopt_value",
    "attach",
    "bind_fields",
    "given_fields",
    "map_modules",
    "place",
    "rebind",
    "share_scope",
    "template_copy",
]

M = TypeVar("M", bound=ModuleBase)

# Types of field values that cannot hold a module; filled as values of them are seen.
_CLOSED_TYPES: set[type] = {
    int, float, complex, bool, str, bytes, type(None), type,
    types.FunctionType, types.BuiltinFunctionType,
}  # fmt: skip

ModuleMap = Callable[[ModuleBase, str], Any]


def _is_struct(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and hasattr(type(value), "_flax_dataclass")


def _sorted_keys(mapping: Any) -> list[Any]:
    try:
        return sorted(mapping)
    except TypeError:
        return list(mapping)


def map_modules(value: Any, visit: ModuleMap, suffix: str = "") -> Any:
    """Replace every module in nested containers and freeze the containers.

    Lists become tuples and dictionaries FrozenDicts, since a bound module is immutable.
    Dictionaries are visited in the order of their keys where they can be sorted.

    Args:
      value: a module, a container (list, tuple, named tuple, dict, FrozenDict, struct dataclass)
        or anything else, which is returned as it is.
      visit: called with each module and the suffix that its place in the containers gives it.
      suffix: the suffix of `value` itself.
    """
    kind = type(value)
    if kind in _CLOSED_TYPES:
        return value
    if isinstance(value, ModuleBase):
        return visit(value, suffix)
    if isinstance(value, tuple):
        named = getattr(kind, "_fields", None)
        labels = named or range(len(value))
        items = [map_modules(v, visit, f"{suffix}_{n}") for n, v in zip(labels, value, strict=True)]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return kind(*items) if named else tuple(items)
    if isinstance(value, list):
        return tuple(map_modules(v, visit, f"{suffix}_{n}") for n, v in enumerate(value))
    if isinstance(value, dict | FrozenDict):
        mapped = {k: map_modules(value[k], visit, f"{suffix}_{k}") for k in _sorted_keys(value)}
        return FrozenDict({k: mapped[k] for k in value})
    if _is_struct(value):
        changes = {
            f.name: map_modules(getattr(value, f.name), visit, f"{suffix}_{f.name}")
            for f in dataclasses.fields(value)
        }
        if all(new is getattr(value, name) for name, new in changes.items()):
            return value
        return dataclasses.replace(value, **changes)
    _CLOSED_TYPES.add(kind)
    return value


# Copies --------------------------------------------------------------------------------------


def template_copy(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return an unbound, nameless copy of a module, bound or not.

    Bound or pending modules in its fields are copied too, each once, so that what was shared is
    shared again; templates in its fields are left alone.

    Args:
      module: what to copy.
      memo: copies already made, by the identity of the original.
    """
    memo = {} if memo is None else memo
    if id(module) in memo:
        return memo[id(module)][1]

    def visit(inner: ModuleBase, _: str) -> ModuleBase:
        held = inner.__dict__
        if held["scope"] is None and held["_parent_ref"] is None:
            return inner
        return template_copy(inner, memo)

    plan = module._plan
    source = {**module.__dict__, **given_fields(module)}
    fields = {n: map_modules(source[n], visit) for n in plan.fields if n in source}
    if plan.rebuilds:
        made = {n: v for n, v in fields.items() if n in plan.init_fields}
        kind: Any = type(module)
        copy: M = kind(**made, parent=None)
    else:
        copy = _blank_copy(module, bare=source["scope"] is not None)
        copy.__dict__.update(fields)
    copy.__dict__["name"] = None
    if SHARES in source:
        copy.__dict__[SHARES] = source[SHARES]
    memo[id(module)] = (module, copy)
    return copy


def _blank_copy(module: M, bare: bool = False) -> M:
    """Return an unbound copy that shares the field values; `bare` leaves other attributes out."""
    copy = object.__new__(type(module))
    own = copy.__dict__
    if bare:
        source = module.__dict__
        own.update({n: source[n] for n in module._plan.fields if n in source})
    else:
        own.update(module.__dict__)
    own["name"] = module.__dict__["name"]
    own["_parent_ref"] = None
    own["scope"] = None
    own["_state"] = ModuleState()
    own["_state"].is_initialized = True
    return copy


def rebind(module: M, scope: Scope) -> M:
    """Return a copy of a module whose place is `scope`; the original stays as it is."""
    own = module.__dict__
    if own["scope"] is not None or own["_parent_ref"] is not None:
        name = own["name"]
        copy = template_copy(module)
        copy.__dict__["name"] = name
    else:
        copy = _blank_copy(module)
    if copy._plan.rebuilds:
        _bind_anew(copy, scope)
        return copy
    copy.__dict__["_parent_ref"] = scope
    copy.__dict__["scope"] = scope
    bind_fields(copy)
    return copy


def given_fields(module: ModuleBase) -> dict[str, Any]:
    """Return what fields held before `__post_init__` changed them, as far as nobody has since.

    Only numbers, strings and the like: a module that was put in a field stays the one it is.
    """
    own = module.__dict__
    return {
        name: given
        for name, (given, made) in own.get("_revised", {}).items()
        if own.get(name) is made and type(made) in _CLOSED_TYPES
    }


def _bind_anew(module: ModuleBase, parent: Any) -> None:
    """Let the `__post_init__` of a user bind a module, from the fields that it was given.

    Args:
      module: a copy without a place, or one that is pending.
      parent: a scope, or a reference to the module that it lies in.
    """
    own = module.__dict__
    own.update(given_fields(module), _parent_ref=parent, scope=None, _state=ModuleState())
    before = dict(own)
    context.stack.append(None)  # modules that it makes are named after the fields they go to
    try:
        module.__post_init__()
    finally:
        context.stack.pop()
    note_revised(own, before)
    own["_state"].is_initialized = True


# Binding -------------------------------------------------------------------------------------


def attach(module: ModuleBase) -> None:
    """Give a freshly constructed module its parent and, if it has one, its name and scope.

    Raises:
      AssignSubModuleError: if the parent runs neither `setup` nor a compact method.
      NameInUseError: if the parent has something of that name.
      ValueError: if the parent is neither None, a module nor a scope.
    """
    own = module.__dict__
    if own.get("_state") is None:  # otherwise it is bound anew, and what binds it finishes it
        own["_state"] = ModuleState()
        own["_state"].is_initialized = True
    own.setdefault("scope", None)
    own.setdefault("name", None)
    parent = own.get("_parent_ref", UNSPECIFIED)
    if parent is UNSPECIFIED:
        parent = context.stack[-1]
    if type(parent) is weakref.ref:  # a constructor is given the module itself
        owner: Any = parent()
        place(module, owner, owner.__dict__["_state"])
    elif parent is None:
        own["_parent_ref"] = None
    elif isinstance(parent, ModuleBase):
        own["_parent_ref"] = weakref.ref(parent)
        parent_state = parent.__dict__["_state"]
        if parent_state.in_setup and own["name"] is None:
            return  # pending: named when it is assigned or adopted
        if not parent_state.in_setup and not parent_state.in_compact_method:
            raise errors.AssignSubModuleError(type(module).__name__)
        place(module, parent, parent_state)
    elif isinstance(parent, Scope):
        own["scope"] = parent
        bind_fields(module)
    else:
        own["_parent_ref"] = None
        raise ValueError(
            f"parent must be None, Module or Scope: {type(module).__name__} was given a "
            f"{type(parent).__name__}."
        )


def place(module: ModuleBase, parent: ModuleBase, parent_state: ModuleState) -> None:
    """Name a module in its parent's scope and bind it."""
    own = module.__dict__
    parent_scope = parent.__dict__["scope"]
    kind = type(module).__name__
    if parent_scope is None:
        raise ValueError(
            f"Module {kind} cannot be bound: its parent {type(parent).__name__} is not bound "
            "itself. Construct submodules where the parent runs under init or apply."
        )
    name = own["name"]
    if name is None:
        cursor = parent_state.autoname_cursor
        number = cursor.get(kind, 0)
        cursor[kind] = number + 1
        name = own["name"] = f"{kind}_{number}"
    if name in parent_scope.reservations:
        lifted = parent_state.lifted_names
        if not lifted or name not in lifted or not parent_state.in_setup:
            raise errors.NameInUseError("submodule", name, type(parent).__name__)
        lifted.discard(name)
    parent_state.children[name] = module
    own["scope"] = parent_scope.push(name, reuse=True)
    bind_fields(module)


def bind_fields(module: ModuleBase) -> None:
    """Bind the modules in a bound module's fields, and freeze the containers in them."""
    own = module.__dict__
    for name in module._plan.fields:
        value = own.get(name)
        if type(value) not in _CLOSED_TYPES:
            own[name] = adopt_value(module, name, value)


def adopt_value(owner: ModuleBase, attribute: str, value: Any) -> Any:
    """Make `owner` the parent of the modules in `value` that have no place yet."""
    return map_modules(value, lambda module, suffix: _adopt(owner, attribute + suffix, module))


def _keeps_name(owner: ModuleBase) -> bool:
    by_class = getattr(type(owner), "preserve_adopted_names", None)
    return bool(config.flax_preserve_adopted_names if by_class is None else by_class)


def _adopt(owner: ModuleBase, name: str, module: ModuleBase) -> ModuleBase:
    own = module.__dict__
    if own["scope"] is not None:
        return module
    if own["_parent_ref"] is None:
        adopted = owner.__dict__["scope"].adopted
        held = adopted.get(id(module))
        if held is not None:
            return held[1]
        template, keeps = module, _keeps_name(owner)
        module = _blank_copy(template)
        own = module.__dict__
        if not keeps or own["name"] is None:
            own["name"] = name
        adopted[id(template)] = (template, module)
    elif own["name"] is None:
        own["name"] = name
    if module._plan.rebuilds:
        _bind_anew(module, weakref.ref(owner))
        return module
    own["_parent_ref"] = weakref.ref(owner)
    place(module, owner, owner.__dict__["_state"])
    return module


# Sharing a scope -----------------------------------------------------------------------------


def share_scope(module: ModuleBase, other: ModuleBase) -> None:
    """Make two modules use one scope, so that their variables lie side by side.

    If `other` is a submodule of `module` it moves up into the scope of `module`; otherwise
    `module` moves into the scope of `other`. Call it in `setup`.

    Args:
      module: a bound module.
      other: a bound module, usually one that `module` wraps.

    Raises:
      CallShareScopeOnUnboundModuleError: if one of them is not bound.
    """
    if (watch := watched_paths()) is not None:
        watch.refuse("shares its scope")
    mine, theirs = module.__dict__, other.__dict__
    if mine["scope"] is None or theirs["scope"] is None:
        raise errors.CallShareScopeOnUnboundModuleError(module=type(module).__name__)
    if other.parent is module:
        _move(other, mine["scope"])
    else:
        mine["scope"] = theirs["scope"]


def _move(module: ModuleBase, scope: Scope) -> None:
    """Put a module, and those below it that were bound through it, into another scope."""
    own = module.__dict__
    own["scope"] = scope
    for name, child in own["_state"].children.items():
        if isinstance(child, ModuleBase) and child.parent is module:
            _move(child, scope.push(name, reuse=True))
