"""Variable: a mutable box around an array, with a kind (its class) and metadata."""

import copy
from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar, overload

import jax
import numpy as np

from ramie import errors
from ramie.core.tracing.trace import made_and_used, trace_token
from ramie.foundation.configurations import config
from ramie.foundation.signatures import SignatureOfInit
from ramie.nnx.modes import use_eager_sharding
from ramie.nnx.printing.text import Parts, describe, size_note
from ramie.nnx.printing.visualization import rendered
from ramie.nnx.variable.cells import cell, contents, fill, held_as, is_ref, same_form, with_part
from ramie.nnx.variable.defaults import here
from ramie.nnx.variable.metadata import (
    HOOKS,
    REQUIRED,
    Metadata,
    VariableDef,
    VariableMetadata,
    completed,
    metadata_of,
    required,
)
from ramie.nnx.variable.operators import VariableOperators
from ramie.nnx.variable.placement import placed
from ramie.nnx.variable.trace_state import TraceState
from ramie.typing import MISSING

__all__ = ["Variable", "definition_of"]

A = TypeVar("A")
V = TypeVar("V", bound="Variable[Any]")


def _run(hooks: Any, variable: "Variable[Any]", *args: Any) -> Any:
    """Call a hook, or several one after the other, each on what the one before returned."""
    if callable(hooks):
        return hooks(variable, *args)
    result = args[0]
    for hook in hooks:
        result = hook(variable, result, *args[1:])
    return result


class Variable(VariableOperators, Generic[A]):
    """A box around a value that may change; what kind of value it is, is the subclass.

    Read the value with ``variable[...]`` and change it with ``variable[...] = x``. Operators and
    functions of `jax.numpy` take the variable as they take the value, and unknown attributes are
    looked up in the metadata, then in the value. A variable changes only under the JAX
    transformation under which it was made.

    As a pytree it has one child, the value, at the key ``.value``.

    Args:
      value: an array, usually; any pytree works.
      hijax: whether to keep the value in a box of JAX's experimental high-level types: functions
        under any transformation may then change it, its structure included. The result is a
        `HijaxVariable`, which counts as an instance of this class. By default as `var_defaults`
        says.
      ref: whether to keep the value in an array reference, which is then the raw value; the same
        for one array or number. By default as `var_defaults` says.
      eager_sharding: whether an `out_sharding` among the metadata places the value at once.
      **metadata: further entries, read as ``variable.name``. Functions named `on_get_value`,
        `on_set_value` and `on_create_value` get the variable and a value, and return what is
        taken in its place; a subclass may define them as methods. `on_add_axis` and
        `on_remove_axis` get the variable, an axis and its name.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> weight = nnx.Param(jnp.ones(3), note="a row")
        >>> weight[...] = weight + 1
        >>> weight.sum(), weight.note
        (Array(6., dtype=float32), 'a row')
    """

    __signature__ = SignatureOfInit()
    __slots__ = ("__weakref__", "_raw_value", "_trace_token", "_var_metadata")

    _raw_value: Any  # the value, or the cell that holds it
    _trace_token: Any
    _var_metadata: Metadata
    _default_metadata: Metadata = metadata_of(REQUIRED)
    _class_of_boxed: Any  # assigned where that class is defined
    required_metadata = frozenset(REQUIRED)
    _nnx_is_short = True  # on one line in the text of a model

    def __init_subclass__(cls, *, registered: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        hooks = {name: getattr(cls, name) for name in HOOKS if callable(getattr(cls, name, None))}
        cls._default_metadata = metadata_of({**hooks, **REQUIRED})
        if registered:
            _register(cls)

    def __new__(cls, *args: Any, hijax: bool | None = None, **kwargs: Any) -> Self:
        """Make an empty variable; one that is to be of a high-level type is another class."""
        self = object.__new__(cls)
        wanted = here.hijax if hijax is None else hijax
        if wanted is None:
            wanted = config.flax_hijax_variable
        if not wanted or not (args or kwargs):
            return self
        if hijax is not None:
            kwargs["hijax"] = hijax
        self.__init__(*args, **kwargs)  # type: ignore[misc]
        return cls._make(self._raw_value, self._var_metadata, self._trace_token)

    def __init__(
        self,
        value: A | VariableMetadata[A],
        *,
        hijax: bool | None = None,
        ref: bool | None = None,
        eager_sharding: bool | None = None,
        **metadata: Any,
    ) -> None:
        if type(value) is jax.Ref:
            raise ValueError(
                "Cannot pass a Ref directly into Variable constructor. Pass its value, and "
                f"ref=True to have a reference made: {type(self).__name__}(x, ref=True)."
            )
        known = type(self)._default_metadata
        if isinstance(value, VariableMetadata):
            metadata = {**value.entries(), **metadata}
            value = value.raw_value
        if eager_sharding is None and not use_eager_sharding.current_value():
            eager_sharding = False
        if hijax is None:
            hijax = config.flax_hijax_variable if here.hijax is None else here.hijax
        if ref is None:
            ref = config.flax_array_ref if here.ref is None else here.ref
        if metadata or eager_sharding is not None or hijax or ref:
            known = completed(metadata, known, eager_sharding, (hijax, ref))
            value = placed(value, known, type(self).__name__)
        setattribute = object.__setattr__
        setattribute(self, "_trace_token", trace_token())
        setattribute(self, "_var_metadata", known)
        setattribute(self, "_raw_value", value)
        if "on_create_value" in known:
            setattribute(self, "_raw_value", self.create_value(self._raw_value))
        if known.is_cell:
            setattribute(self, "_raw_value", cell(self._raw_value, known.definition(type(self))))

    @classmethod
    def _make(cls, value: Any, metadata: Metadata, trace: Any = None) -> Self:
        """Box a value or a cell as it is: no hooks, no placement."""
        if metadata.is_cell and metadata.get("hijax"):
            boxed: Self = cls._class_of_boxed._of(cls, value, metadata, trace)
            return boxed
        self = object.__new__(cls)
        setattribute = object.__setattr__
        setattribute(self, "_trace_token", trace_token() if trace is None else trace)
        setattribute(self, "_var_metadata", metadata)
        setattribute(self, "_raw_value", value)
        return self

    @classmethod
    def from_metadata(cls, value: A, attributes: Mapping[str, Any]) -> Self:
        """Make a variable of a raw value and all of its metadata; hooks do not run."""
        metadata = metadata_of({**attributes, **required(attributes)})
        return cls._make(held_as(value, metadata.definition(cls)), metadata)

    def _plain(self) -> Any:
        """Return the value without hooks, read from the cell that it may be in."""
        held = self._raw_value
        return contents(held) if self._var_metadata.is_cell else held

    # --- the value ----------------------------------------------------------------------------

    def _check_can_update(self) -> None:
        if not self._var_metadata.is_cell:  # a cell takes a value under any transformation
            self._check_trace()

    @property
    def _trace_state(self) -> TraceState:
        return TraceState(self)

    @_trace_state.setter
    def _trace_state(self, state: TraceState) -> None:
        object.__setattr__(self, "_trace_token", state.jax_trace)

    def _check_trace(self) -> None:
        if self._trace_token is not trace_token():
            raise errors.TraceContextError(
                f"Cannot mutate {type(self).__name__} from a different trace level: "
                f"{made_and_used(self._trace_token)}. Pass it into the function as an argument and "
                "return it, or use the transformations of nnx."
            )

    def get_raw_value(self) -> Any:
        """Return what is stored, without hooks: with `ref`, the array reference."""
        metadata = self._var_metadata
        if metadata.is_cell and not metadata.in_ref:
            return contents(self._raw_value)
        return self._raw_value

    def set_raw_value(self, value: Any, *, _unsafe_bypass_check: bool = False) -> None:
        """Store a value as it is, without hooks. An array reference replaces the one there is.

        Raises:
          TraceContextError: under another transformation than the variable was made under.
        """
        if self._var_metadata.is_cell:
            held = self._raw_value
            if not is_ref(value) and same_form(held, value) and fill(held, value):
                return
            value = held_as(value, definition_of(self))
        if not _unsafe_bypass_check:
            self._check_trace()
        object.__setattr__(self, "_raw_value", value)

    def get_value(self, *, index: Any = MISSING) -> Any:
        """Return the value, or the part of it at `index`; ``variable[index]`` does the same."""
        metadata = self._var_metadata
        value: Any = self._raw_value
        if metadata.is_cell:
            value = contents(value)
        if metadata.get_hook:
            value = _run(metadata.get_hook, self, value)
        if index is MISSING or index is Ellipsis:
            return value
        return value[index]

    def set_value(self, value: Any, *, index: Any = MISSING) -> None:
        """Store a value, or replace the part at `index`; ``variable[index] = value`` does this.

        Args:
          value: the new value. With an index, it is broadcast and cast to what is there.
          index: which part; `...` is all of an array.

        Raises:
          TraceContextError: under another transformation than the variable was made under.
        """
        metadata = self._var_metadata
        self._check_can_update()
        if metadata.set_hook:
            value = _run(metadata.set_hook, self, value)
        if metadata.is_cell:
            if fill(self._raw_value, value, index):
                return
            self._check_trace()
        if index is not MISSING:
            value = with_part(self._raw_value, index, value)
        if metadata.in_ref:  # only its shape was given
            value = held_as(value, definition_of(self))
        object.__setattr__(self, "_raw_value", value)

    def create_value(self, value: A) -> A:
        """Return what the hooks `on_create_value` make of a first value."""
        hooks = self._var_metadata.get("on_create_value", ())
        made: A = _run(hooks, self, value)
        return made

    @property
    def value(self) -> Any:
        """The value; ``variable[...]`` is the usual way to write it."""
        return self.get_value()

    @value.setter
    def value(self, value: Any) -> None:
        self.set_value(value)

    @property
    def raw_value(self) -> Any:
        """What is stored, without hooks."""
        return self.get_raw_value()

    @raw_value.setter
    def raw_value(self, value: Any) -> None:
        self.set_raw_value(value)

    def __getitem__(self, index: Any) -> Any:
        return self.get_value(index=index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.set_value(value.get_value() if isinstance(value, Variable) else value, index=index)

    def __delitem__(self, index: Any) -> None:
        self._check_can_update()
        value = self.get_value()
        del value[index]
        fill(self._raw_value, value)  # a box gave a copy

    def __jax_array__(self) -> Any:
        return self.get_value()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.get_value(), dtype, copy=copy)

    # --- copies -------------------------------------------------------------------------------

    def copy(self, value: Any = MISSING, *, _copy_ref: bool = True, **updates: Any) -> Self:
        """Return another variable with the same value and metadata, or what is given of them."""
        return self.replace(value, _copy_ref=_copy_ref, **updates)

    def replace(self, value: Any = MISSING, *, _copy_ref: bool = True, **updates: Any) -> Self:
        """Return another variable with a new value, new metadata entries, or both.

        Args:
          value: the new value.
          _copy_ref: whether a cell, as `hijax` and `ref` bring about, becomes another one with the
            same contents; else both variables share it.
          **updates: entries of the metadata; `hijax` and `ref` are among them.
        """
        before = metadata = self._var_metadata
        if updates:
            metadata = metadata_of({**metadata, **updates})
        cls = self.__class__
        if value is MISSING:
            value = self._raw_value
            shared = not _copy_ref and (before.in_box, before.in_ref) == (
                metadata.in_box,
                metadata.in_ref,
            )
            if (before.is_cell or metadata.is_cell) and not shared:
                value = cell(value, metadata.definition(cls))
        elif metadata.is_cell:
            value = cell(value, metadata.definition(cls))
        return cls._make(value, metadata)

    def to_state(self, value: Any = MISSING, *, _copy_ref: bool = True, **updates: Any) -> Self:
        """Return another variable; the former name of `replace`."""
        return self.replace(value, _copy_ref=_copy_ref, **updates)

    def copy_from(self, other: "Variable[A]") -> None:
        """Take over the value and the metadata of another variable of the same class.

        Raises:
          ValueError: if the class is another one.
        """
        if other.__class__ is not self.__class__:
            raise ValueError(
                f"Cannot copy from incompatible container, expected {self.__class__.__name__}, "
                f"got {other.__class__.__name__}"
            )
        self.update_from_state(other)

    def update_from_state(self, variable_state: "Variable[A]") -> None:
        """Take over the value and the metadata of another variable of any class.

        Whether the value is kept in a cell stays as it is.

        Raises:
          TraceContextError: under another transformation than the variable was made under.
        """
        before, metadata = self._var_metadata, variable_state._var_metadata
        if before.is_cell or metadata.is_cell:
            self.set_raw_value(contents(variable_state._raw_value))
            own = {name: before[name] for name in ("hijax", "ref", "mutable") if name in before}
            entries = {**metadata, **own}
            if "mutable" not in own:
                entries.pop("mutable", None)
            metadata = metadata_of(entries)
            if metadata is not before:
                self._check_trace()
                object.__setattr__(self, "_var_metadata", metadata)
            return
        self._check_trace()
        object.__setattr__(self, "_raw_value", variable_state._raw_value)
        object.__setattr__(self, "_var_metadata", variable_state._var_metadata)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        metadata = self._var_metadata
        value = copy.deepcopy(contents(self._raw_value), memo)
        return self.__class__._make(held_as(value, definition_of(self)), metadata)

    def __getstate__(self) -> dict[str, Any]:
        held = contents(self._raw_value) if self._var_metadata.is_cell else self._raw_value
        return {"_raw_value": held, "_var_metadata": dict(self._var_metadata)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        metadata = metadata_of(state["_var_metadata"])
        held = held_as(state["_raw_value"], metadata.definition(self.__class__))
        object.__setattr__(self, "_raw_value", held)
        object.__setattr__(self, "_var_metadata", metadata)
        object.__setattr__(self, "_trace_token", trace_token())

    # --- metadata -----------------------------------------------------------------------------

    @overload
    def get_metadata(self, *, exclude_required: bool = False) -> dict[str, Any]: ...
    @overload
    def get_metadata(self, name: str, default: Any = MISSING) -> Any: ...
    def get_metadata(
        self, name: str | None = None, default: Any = MISSING, *, exclude_required: bool = False
    ) -> Any:
        """Return one entry of the metadata, or a new dictionary of all.

        Args:
          name: the entry.
          default: what to return if there is none.
          exclude_required: leave out the entries that every variable has.

        Raises:
          KeyError: if there is no such entry and no default.
        """
        metadata = self._var_metadata
        if name is None:
            left_out = self.required_metadata if exclude_required else ()
            return {key: entry for key, entry in metadata.items() if key not in left_out}
        if default is MISSING and name not in metadata:
            raise KeyError(f"{type(self).__name__} has no metadata {name!r}, only {[*metadata]}")
        return metadata.get(name, default)

    def set_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Change metadata: ``set_metadata(name, value)``, keywords, or a mapping that replaces all.

        Raises:
          TraceContextError: under another transformation than the variable was made under.
        """
        self._check_trace()
        entries = dict(self._var_metadata)
        if len(args) == 1 and isinstance(args[0], Mapping):
            entries = {**args[0], **required(args[0])}
        elif len(args) == 2:
            entries[args[0]] = args[1]
        elif args:
            raise ValueError(
                f"set_metadata takes a name and a value, or one mapping, but got {args!r}."
            )
        object.__setattr__(self, "_var_metadata", metadata_of({**entries, **kwargs}))

    def has_metadata(self, name: str) -> bool:
        """Tell whether there is such an entry."""
        return name in self._var_metadata

    def del_metadata(self, name: str) -> None:
        """Remove an entry.

        Raises:
          KeyError: if there is none of this name.
        """
        self._check_trace()
        if name not in self._var_metadata:
            raise KeyError(
                f"{type(self).__name__} has no metadata {name!r}, only {[*self._var_metadata]}"
            )
        rest = {key: entry for key, entry in self._var_metadata.items() if key != name}
        object.__setattr__(self, "_var_metadata", metadata_of(rest))

    def add_axis(self, axis_index: int, axis_name: str | None) -> None:
        """Tell the hook `on_add_axis` that the value got another axis."""
        self._tell("on_add_axis", axis_index, axis_name)

    def remove_axis(self, axis_index: int, axis_name: str | None) -> None:
        """Tell the hook `on_remove_axis` that the value lost an axis."""
        self._tell("on_remove_axis", axis_index, axis_name)

    def _tell(self, name: str, *args: Any) -> None:
        hooks = self._var_metadata.get(name, ())
        for hook in (hooks,) if callable(hooks) else hooks:
            hook(self, *args)

    @property
    def type(self) -> type:
        """The class: the kind of variable."""
        return self.__class__

    @property
    def var_type(self) -> Any:
        """The class: the kind of variable."""
        return self.__class__

    @property
    def hijax(self) -> bool:
        """Whether the variable is of JAX's experimental high-level types."""
        return bool(self._var_metadata.get("hijax"))

    @property
    def ref(self) -> bool:
        """Whether the value is kept in an array reference."""
        return self._var_metadata.in_ref

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        value: Any = self.get_raw_value()
        return () if isinstance(value, int | float | complex) else tuple(value.shape)

    @property
    def sharding_names(self) -> Any:
        """The entry `out_sharding` of the metadata."""
        return self._var_metadata.get("out_sharding")

    def __getattr__(self, name: str) -> Any:
        """Look up in the metadata, then in the value."""
        if name.startswith("__") or name in Variable.__slots__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        metadata = self._var_metadata
        if name in metadata:
            return metadata[name]
        return getattr(self.get_value(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _SETTABLE:
            raise AttributeError(
                f"Cannot set attribute {name} of {type(self).__name__}. To set metadata write "
                f"variable.set_metadata({name}=value); to set the value, variable[...] = value."
            )
        object.__setattr__(self, name, value)

    def _nnx_parts(self) -> Parts:
        entries = self._var_metadata
        shown = {name: entries[name] for name in entries if name not in self.required_metadata}
        shown |= {name: True for name in ("hijax", "ref") if entries.get(name)}
        size = size_note(contents(self._raw_value))
        start = f"{self.__class__.__name__}({f' # {size}' if size else ''}"
        return start, [("value=", self.get_value()), *((f"{k}=", v) for k, v in shown.items())], ")"

    def __repr__(self) -> str:
        return describe(self)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        entries = self.get_metadata(exclude_required=True)
        return rendered(self, {"value": self._raw_value, **entries}, path, subtree_renderer)


_SETTABLE = frozenset({"value", "raw_value", *Variable.__slots__})
_VALUE_KEY = jax.tree_util.GetAttrKey("value")


def definition_of(variable: Variable[Any]) -> VariableDef:
    """Return what stands for the class and the metadata of a variable in structures."""
    cls, metadata = variable.__class__, variable._var_metadata
    return metadata.defs.get(cls) or metadata.definition(cls)


def _children(variable: Variable[Any]) -> tuple[tuple[Any], VariableDef]:
    return (variable._raw_value,), definition_of(variable)


def _children_with_keys(variable: Variable[Any]) -> tuple[tuple[Any], VariableDef]:
    return ((_VALUE_KEY, variable._raw_value),), definition_of(variable)


def _from_children(definition: VariableDef, children: Any) -> Any:
    (value,) = children
    cls: Any = definition.type
    return cls._make(value, definition.metadata)


def _register(cls: "type[Variable[Any]]") -> None:
    jax.tree_util.register_pytree_with_keys(cls, _children_with_keys, _from_children, _children)


_register(Variable)
