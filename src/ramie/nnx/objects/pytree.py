"""Pytree: objects with attributes that are pytrees, and nodes of the graphs of NNX."""

import copy
from abc import ABCMeta
from collections.abc import Callable, Mapping
from types import MemberDescriptorType
from typing import Any, NamedTuple, Self, TypeVar

import jax
from jax.tree_util import all_leaves

from ramie import errors
from ramie.core.running import running
from ramie.core.tracing.trace import made_and_used, trace_token
from ramie.foundation.configurations import config
from ramie.foundation.signatures import SignatureOfInit
from ramie.nnx.objects.layout import Layout, layout_of
from ramie.nnx.objects.marks import Mark, data_in, declared, is_data, is_plain, register_data_type
from ramie.nnx.objects.statics import (
    late_data,
    refuse_inside_of_linen,
    refuse_late_data,
    warn_of_replaced,
)
from ramie.nnx.printing.text import Parts, describe, size_note, size_of
from ramie.nnx.printing.visualization import rendered
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.trace_state import TraceState

__all__ = [
    "Object",
    "Pytree",
    "PytreeMeta",
    "PytreeState",
    "check_pytree",
    "check_statics",
    "layout",
]


class _Life(NamedTuple):
    initializing: bool = False
    is_setup: bool = False


class PytreeState(_Life):
    """What a Pytree knows of its own life; part of its structure.

    Attributes:
      initializing: whether a forward pass runs only to create what it needs.
      is_setup: whether creation is over.
    """

    _trace_token: Any = None

    @property
    def _trace_state(self) -> TraceState:
        return TraceState(self)


T = TypeVar("T")

_NEW = PytreeState()
_MUTABLE = frozenset((list, dict))


class PytreeMeta(ABCMeta):
    """Makes objects of Pytree classes, and looks at them once more when they are made."""

    # Typed so that type checkers go on to `__init__` for the arguments.
    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        """Make an object.

        Raises:
          ValueError: if a list or dictionary that is a static attribute was filled with data, or if
            this has a variable of its own and is made inside of a method of a Linen module.
        """
        node: Any = super().__call__(*args, **kwargs)  # type: ignore[misc]
        attributes = node.__dict__
        if running.modules[-1] is not None and not running.initializers:
            refuse_inside_of_linen(node, running.modules[-1])
        for name, status in node._pytree__status.items():
            if not status and type(attributes.get(name)) in _MUTABLE:
                check_pytree(node)
        return node


class Pytree(metaclass=PytreeMeta):
    """An object whose data attributes are the children of a pytree.

    Arrays, variables and other Pytrees become data when they are assigned; numbers, strings,
    functions and all else become static: part of the structure, and compared. `data` and `static`
    decide otherwise. An attribute keeps its status, and a static one refuses values that hold
    data. An object changes only under the JAX transformation under which it was made.

    A class is a pytree unless it says ``class Foo(nnx.Pytree, pytree=False)``; what derives from
    that one is a pytree again, unless it says so as well.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Point(nnx.Pytree):
        ...     def __init__(self, x, label):
        ...         self.x, self.label = jnp.array(x), label
        >>> jax.tree.map(lambda x: x + 1, Point(2, "here")).label
        'here'
    """

    __signature__ = SignatureOfInit()
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_pytree__layout",
        "_pytree__life",
        "_pytree__status",
        "_pytree__trace",
        "_pytree__walk",
    )

    _pytree__layout: Layout | None
    _pytree__life: PytreeState
    _pytree__status: dict[str, bool]
    _pytree__trace: Any
    _pytree__walk: Any
    _pytree__declared: Mapping[str, bool] = {}
    _pytree__as_index = False
    _pytree__is_pytree = True
    _pytree__takes_new = False  # whether a state may bring attributes that are not there yet
    _nnx_shows_arrays = False

    def __init_subclass__(cls, *, pytree: bool | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if pytree is None:
            pytree = bool(config.flax_pytree_module)
        cls._pytree__is_pytree = bool(pytree)
        cls._pytree__declared = {**cls._pytree__declared, **declared(cls)}
        if pytree:
            jax.tree_util.register_pytree_with_keys(
                cls, _children_with_keys, cls._pytree__from_children, _children
            )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an object without attributes."""
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments, but got {args} {kwargs}")
        self = object.__new__(cls)
        setattribute = object.__setattr__
        setattribute(self, "_pytree__trace", trace_token())
        setattribute(self, "_pytree__life", _NEW)
        setattribute(self, "_pytree__status", {})
        setattribute(self, "_pytree__layout", None)
        setattribute(self, "_pytree__walk", None)
        return self

    @classmethod
    def _pytree__empty(cls, layout: Layout, life: PytreeState = _NEW, trace: Any = None) -> Self:
        """Make an object with a layout, whose attributes are still to be stored."""
        self = object.__new__(cls)
        setattribute = object.__setattr__
        setattribute(self, "_pytree__trace", trace_token() if trace is None else trace)
        setattribute(self, "_pytree__life", life)
        setattribute(self, "_pytree__status", layout.status)
        setattribute(self, "_pytree__layout", layout)
        setattribute(self, "_pytree__walk", None)
        return self

    @classmethod
    def _pytree__from_children(cls, structure: "_Statics", children: Any) -> Self:
        self = cls._pytree__empty(structure.layout, structure.life)
        attributes = vars(self)
        attributes.update(structure.layout.blank)
        attributes.update(zip(structure.layout.static, structure.values, strict=True))
        attributes.update(zip(structure.layout.data, children, strict=True))
        return self

    def _pytree__become(
        self, layout: Layout, life: PytreeState, attributes: dict[str, Any]
    ) -> None:
        """Take over what another object of this class is like; do nothing if that is the same."""
        own = vars(self)
        if life is not self._pytree__life and life != self._pytree__life:
            object.__setattr__(self, "_pytree__life", life)
        if layout is self._pytree__layout and all(
            name in own and own[name] is value for name, value in attributes.items()
        ):
            return
        self._check_valid_context(self._made_elsewhere)
        for name in [name for name in self._pytree__status if name not in attributes]:
            own.pop(name, None)
        own.update(attributes)
        object.__setattr__(self, "_pytree__status", layout.status)
        object.__setattr__(self, "_pytree__layout", layout)

    # --- attributes ---------------------------------------------------------------------------

    def _check_valid_context(self, error_msg: Callable[[], str]) -> None:
        """Raise `TraceContextError` unless the object may change here.

        Frameworks override it, and call this one.

        Args:
          error_msg: what to say then.
        """
        now = trace_token()
        if self._pytree__trace is now:
            return
        # A framework stores a state of its own there, and says in it where the object belongs.
        given = vars(self).get("_pytree__state")
        if not isinstance(given, PytreeState) or given._trace_token is not now:
            raise errors.TraceContextError(error_msg())

    def _made_elsewhere(self) -> str:
        return (
            f"Cannot mutate '{type(self).__name__}' from different trace level: "
            f"{made_and_used(self._pytree__trace)}. Pass it into the function as an argument and "
            "return it, or use the transformations of nnx."
        )

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_valid_context(self._made_elsewhere)
        self._pytree__store(name, value)

    def _pytree__store(self, name: str, value: Any) -> None:
        """Decide whether the attribute is data, check the value, and store it."""
        mark = None
        if type(value) is Mark:
            mark, value = value.is_data, value.value
        known = self._pytree__status.get(name)
        if known is None:
            descriptor = _of_class(type(self), name)
            # A property, a slot of this class, or what Python itself keeps.
            if hasattr(type(descriptor), "__set__") or name in ("__class__", "__dict__"):
                if mark is not None and not isinstance(descriptor, MemberDescriptorType):
                    value = Mark(value, mark)  # for the attribute in which a setter stores it
                object.__setattr__(self, name, value)
                return
            known = mark if mark is not None else self._pytree__declared.get(name)
        if self._pytree__is_pytree:
            status = self._pytree__decided(name, value, known, mark)
        else:
            status = _may_hold_data(value)
        if self._pytree__status.get(name) is not status:
            if self._pytree__layout is not None:
                object.__setattr__(self, "_pytree__layout", None)
                object.__setattr__(self, "_pytree__status", {**self._pytree__status, name: status})
            else:
                self._pytree__status[name] = status
        attributes = vars(self)
        if known is not None and isinstance(attributes.get(name), Variable):
            warn_of_replaced(self, name, attributes[name], value)
        attributes[name] = value

    def _pytree__decided(
        self, name: str, value: Any, known: bool | None, mark: bool | None
    ) -> bool:
        """Return whether an attribute is data, after checking that its value goes with that."""
        if known is None and mark is None and is_data(value):
            return True
        status = known if mark is None else mark
        if status or is_plain(value):
            if status and type(value) in (list, tuple, dict):
                self._pytree__refuse_marks(name, value)
            return bool(status)
        found = data_in(value)
        if found:
            self._pytree__refuse_marks(name, value)
            raise ValueError(_data_in_static(self, name, value, found, mark, status))
        return False

    def _pytree__refuse_marks(self, name: str, value: Any) -> None:
        marks = [x for x in data_in(value) if type(x) is Mark]
        if marks:
            raise ValueError(
                f"Found unexpected tags {marks} on attribute '{type(self).__name__}.{name}'. "
                "Values from nnx.data(...) and nnx.static(...) are assigned to an attribute "
                "themselves; they do not go inside of other structures."
            )

    def __delattr__(self, name: str) -> None:
        self._check_valid_context(self._made_elsewhere)
        if name not in self._pytree__status or name not in vars(self):
            object.__delattr__(self, name)
            return
        del vars(self)[name]
        rest = {key: status for key, status in self._pytree__status.items() if key != name}
        object.__setattr__(self, "_pytree__status", rest)
        object.__setattr__(self, "_pytree__layout", None)

    @property
    def _pytree__nodes(self) -> Mapping[str, bool]:
        """For each attribute, whether it is data."""
        return dict(self._pytree__status)

    @property
    def _pytree__state(self) -> PytreeState:
        return self._pytree__life

    # --- copies -------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        return {"attributes": dict(vars(self)), "status": dict(self._pytree__status)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_pytree__trace", trace_token())
        object.__setattr__(self, "_pytree__life", _NEW)
        object.__setattr__(self, "_pytree__status", dict(state["status"]))
        object.__setattr__(self, "_pytree__layout", None)
        object.__setattr__(self, "_pytree__walk", None)
        vars(self).update(state["attributes"])

    def __copy__(self) -> Self:
        other: Self = type(self)._pytree__empty(layout(self), self._pytree__life)
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other: Self = type(self)._pytree__empty(layout(self), self._pytree__life)
        memo[id(self)] = other
        vars(other).update(copy.deepcopy(vars(self), memo))
        return other

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _blank, (type(self),), self.__getstate__()

    def _nnx_parts(self) -> Parts:
        note = _sizes(self)
        first = f"{type(self).__name__}({f' # {note}' if note else ''}"
        return first, [(f"{name}=", value) for name, value in vars(self).items()], ")"

    def __repr__(self) -> str:
        return describe(self)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        return rendered(self, dict(vars(self)), path, subtree_renderer)


class Object(Pytree, pytree=False):
    """A node of the graphs of NNX that is no pytree, nor are classes derived from it.

    What it holds is data or static by itself, without any checks: lists may hold arrays, and an
    attribute may change from one to the other. JAX's transformations take it for a leaf; those of
    NNX know it, in graph mode.

    Raises:
      ValueError: for a derived class that says ``pytree=True``.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> class Points(nnx.Object):
        ...     def __init__(self):
        ...         self.rows = [jnp.array(1), jnp.array(2)]
        >>> points = Points()
        >>> @nnx.jit
        ... def double(points):
        ...     points.rows = [2 * x for x in points.rows]
        >>> double(points)
        >>> [int(x) for x in points.rows]
        [2, 4]
    """

    def __init_subclass__(cls, *, pytree: bool | None = None, **kwargs: Any) -> None:
        if pytree:
            raise ValueError(
                "Object is not a pytree, but 'pytree' was explicitly set to True for type "
                f"{cls!r}. Derive from nnx.Pytree or nnx.Module."
            )
        super().__init_subclass__(pytree=False, **kwargs)


register_data_type(Variable)
register_data_type(Pytree)


def _of_class(cls: type, name: str) -> Any:
    """Return what a class has under a name, without asking it as a descriptor; None if nothing."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


def _blank(cls: type[Pytree]) -> Pytree:
    return cls._pytree__empty(layout_of({}))


def layout(node: Pytree) -> Layout:
    """Return the layout of a node."""
    known = node._pytree__layout
    if known is None:
        known = layout_of(_status_of_all(node), node._pytree__as_index)
        # From here on the status is shared, and copied before it changes.
        object.__setattr__(node, "_pytree__status", known.status)
        object.__setattr__(node, "_pytree__layout", known)
    return known


def _status_of_all(node: Pytree) -> Mapping[str, bool]:
    """Return for each attribute whether it is data; also for those stored past `__setattr__`.

    Frameworks do so with `object.__setattr__` for what may change under any transformation.
    """
    status, held = node._pytree__status, vars(node)
    if len(held) == len(status):
        return status
    others = {
        name: bool(data_in(value)) if node._pytree__is_pytree else _may_hold_data(value)
        for name, value in held.items()
        if name not in status and not name.startswith("_pytree__")
    }
    return {**status, **others}


def _may_hold_data(value: Any) -> bool:
    return is_data(value) or not (is_plain(value) or all_leaves([value]))


class _Statics:
    """The static part of one Pytree, as auxiliary data of the pytree registry of JAX."""

    __slots__ = ("layout", "life", "values")

    def __init__(self, layout: Layout, values: tuple[Any, ...], life: PytreeState) -> None:
        self.layout = layout
        self.values = values
        self.life = life

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Statics) and (
            self.layout is other.layout
            and self.life == other.life
            and list(map(type, self.values)) == list(map(type, other.values))
            and self.values == other.values
        )

    def __hash__(self) -> int:
        return hash((self.layout, self.values))

    def __repr__(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in zip(self.layout.static, self.values, strict=True))


def _children(node: Pytree) -> tuple[tuple[Any, ...], _Statics]:
    known, attributes = layout(node), vars(node)
    values = known.static_of(attributes)
    try:
        hash(values)
    except TypeError:
        check_statics(node, values)
    statics = _Statics(known, values, node._pytree__life)
    return known.data_of(attributes), statics


def _children_with_keys(node: Pytree) -> tuple[tuple[Any, ...], _Statics]:
    children, statics = _children(node)
    return tuple(zip(statics.layout.key_entries, children, strict=True)), statics


def check_pytree(pytree: Any) -> None:
    """Check that no static attribute of a Pytree holds data, as an edit in place can bring about.

    Args:
      pytree: the Pytree; only its own attributes are looked at.

    Raises:
      ValueError: if one does.
    """
    for name, status in pytree._pytree__status.items():
        value = vars(pytree)[name]
        found = data_in(value) if not status and pytree._pytree__is_pytree else []
        if found:
            raise ValueError(
                "Found unexpected data on value of type "
                + _data_in_static(pytree, name, value, found, None, None).partition("of type ")[2]
            )


def check_statics(
    node: Pytree, values: tuple[Any, ...], place: Callable[[], str] = lambda: ""
) -> None:
    """Check that no module or variable was put into a static attribute after it was assigned.

    Only values without a hash need a look: lists, dictionaries, sets and queues have none, inside
    of tuples too.

    Args:
      node: the node.
      values: its static attributes, in the order of its layout.
      place: says where the node is in the model, for the message.

    Raises:
      ValueError: if there is one.
    """
    found = late_data(layout(node).static, values, (Pytree, Variable))
    if found is not None:
        raise refuse_late_data(node, *found, place())


def _sizes(node: Pytree) -> str:
    """Say how many elements of which kinds of variables are in a node."""
    by_kind: dict[str, list[Variable[Any]]] = {}
    seen: set[int] = set()

    def collect(x: Any, again: Any) -> None:  # else it held itself and the variables
        if id(x) in seen:
            return
        seen.add(id(x))
        if isinstance(x, Variable):
            kind = [c for c in x.__class__.__mro__ if issubclass(c, Variable) and c is not Variable]
            by_kind.setdefault(kind[-1].__name__ if kind else "Variable", []).append(x)
        elif isinstance(x, Pytree):
            for value in vars(x).values():
                again(value, again)
        elif not is_plain(x):
            for leaf in data_in(x):
                again(leaf, again)

    collect(node, collect)
    raw = {kind: [v.get_raw_value() for v in found] for kind, found in by_kind.items()}
    notes = [f"{kind}: {size_note(values)}" for kind, values in raw.items() if size_of(values)[0]]
    if len(notes) > 1:
        notes.append(f"Total: {size_note(list(raw.values()))}")
    return ", ".join(notes)


def _data_in_static(
    node: Pytree, name: str, value: Any, found: list[Any], mark: bool | None, known: bool | None
) -> str:
    """Say what is wrong with a value that holds data and goes to a static attribute."""
    cls, kind = type(node).__name__, type(value)
    kinds = ", ".join(sorted({type(x).__name__ for x in found}))
    if mark is False:
        return (
            f"Found data in value of type '{kind}' that is marked as static, for attribute "
            f"'{name}' of Pytree type '{type(node)}': data of type(s) {kinds}. Leave nnx.static "
            "away, or take the data out."
        )
    if found[0] is value and known is False and name in node._pytree__status:
        return (
            f"Cannot assign data value of type '{kind}' to static attribute '{name}' of Pytree "
            f"type '{type(node)}': an attribute keeps its status. Write `_.{name} = "
            "nnx.data(...)` to change it."
        )
    how = "Found unexpected data" if found[0] is value else "Found data"
    return (
        f"{how} on value of type '{kind}' assigned to static attribute '{name}' of Pytree type "
        f"'{type(node)}': data of type(s) {kinds}. Static attributes belong to the structure and "
        f"hold no data. Write `_.{name} = nnx.data(...)`, declare `{name}: nnx.Data[...]` in the "
        "class, use nnx.List or nnx.Dict in place of a list or dict, take the data out, or make "
        f"the class no pytree: `class {cls}(..., pytree=False)`."
    )
