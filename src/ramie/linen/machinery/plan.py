"""What can be decided about a module class once, when it is created.

A plan lists the fields of the class and how to copy, compare and look through them; the
constructor is generated from it and fills the instance dictionary without passing each value
through `__setattr__`.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from ramie import errors

__all__ = ["SHARES", "UNSPECIFIED", "ClassPlan", "make_plan", "note_revised"]


class _Unspecified:
    """Stands for a parent that was not given: the module whose method is running, if any."""

    def __copy__(self) -> "_Unspecified":
        return self

    def __deepcopy__(self, memo: Any) -> "_Unspecified":
        return self

    def __reduce__(self) -> str:
        return "UNSPECIFIED"

    def __repr__(self) -> str:
        return "<unspecified parent>"


UNSPECIFIED = _Unspecified()

SHARE_TRACES = "share_traces"  # an argument of constructors; a class may have a field of this name
SHARES = "_share_traces"  # where an instance keeps it

_OWN_FIELDS = ("parent", "name")
_NOT_FIELDS = ("_parent_ref", "_revised", SHARES, "_state", "name", "scope")


class ClassPlan:
    """The decisions about one module class.

    Attributes:
      fields: names of the fields the user declared, in order.
      init_fields: those of them that the constructor takes.
      compared: those that equality and the hash look at.
      shown: those that the repr lists.
      has_setup: whether `setup` is overridden.
      rebuilds: whether `__post_init__` is overridden: it runs again when a module is bound, and
        for a copy without what `setup` made, because it may compute attributes from the fields.
      name_scopes: names of the methods marked with `compact_name_scope`.
    """

    __slots__ = (
        "compared",
        "fields",
        "has_setup",
        "init_fields",
        "name_scopes",
        "rebuilds",
        "shown",
    )

    def __init__(
        self, fields: list[Any], *, has_setup: bool, rebuilds: bool, name_scopes: tuple[str, ...]
    ) -> None:
        self.fields = tuple(f.name for f in fields)
        self.init_fields = frozenset(f.name for f in fields if f.init)
        self.compared = tuple(f.name for f in fields if f.compare)
        self.shown = tuple(f.name for f in fields if f.repr)
        self.has_setup = has_setup
        self.rebuilds = rebuilds
        self.name_scopes = name_scopes


def _declare_fields(cls: type, kw_only: bool) -> None:
    """Make `cls` a dataclass whose last fields are `parent` and `name`."""
    annotations = dict(inspect.get_annotations(cls))
    if any(name in annotations for name in _OWN_FIELDS):
        raise errors.ReservedModuleAttributeError(annotations)
    cls.__annotations__ = {**annotations, "parent": Any, "name": str | None}
    # Marked keyword-only, so that a subclass may add fields without a default.
    as_fields: Any = cls
    own = {name: cls.__dict__.get(name) for name in _OWN_FIELDS}
    as_fields.parent = dataclasses.field(
        default=UNSPECIFIED, kw_only=True, repr=False, compare=False
    )
    as_fields.name = dataclasses.field(default=None, kw_only=True)
    dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    declared: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    for name in _OWN_FIELDS:
        declared[name] = declared.pop(name)
    for name, value in own.items():
        if value is None:
            delattr(cls, name)  # the property of the base class answers
        else:
            setattr(cls, name, value)


def _is_init_var(field: Any) -> bool:
    return field._field_type is dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]


def _is_class_var(field: Any) -> bool:
    return field._field_type is dataclasses._FIELD_CLASSVAR  # type: ignore[attr-defined]


def make_plan(
    cls: Any, *, kw_only: bool, attach: Callable[[Any], None], base: type | None
) -> ClassPlan:
    """Turn a freshly created class into a dataclass and decide what can be decided.

    Args:
      cls: the class; it gets its dataclass fields and a constructor.
      kw_only: whether the fields declared here are keyword-only.
      attach: called by the constructor with the new instance when the class does not override
        `__post_init__`.
      base: the root of all module classes, None for that class itself.

    Raises:
      ReservedModuleAttributeError: if the class declares a field called `parent` or `name`.
      TypeError: if a field without a default follows one with a default.
    """
    _declare_fields(cls, kw_only)
    fields = [f for f in dataclasses.fields(cls) if f.name not in _OWN_FIELDS]
    post_init = base is not None and cls.__post_init__ is not base.__post_init__  # type: ignore[attr-defined]
    own_setattr = base is not None and cls.__setattr__ is not base.__setattr__
    plan = ClassPlan(
        fields,
        has_setup=base is not None and cls.setup is not base.setup,  # type: ignore[attr-defined]
        rebuilds=post_init
        and "__init__" not in cls.__dict__
        and not any(map(_is_init_var, cls.__dataclass_fields__.values())),
        name_scopes=tuple(
            name
            for name in dir(cls)
            if getattr(getattr(cls, name, None), "compact_name_scope", False)
        ),
    )
    if "__init__" not in cls.__dict__:
        cls.__init__ = _generate_init(cls, attach, post_init, own_setattr)
    return plan


def note_revised(own: dict[str, Any], before: dict[str, Any]) -> None:
    """Keep what `__post_init__` was given where it changed a field: it may have to run again.

    Args:
      own: the attributes of a module.
      before: what they were before.
    """
    changed = {
        name: (given, own.get(name))
        for name, given in before.items()
        if own.get(name) is not given and name not in _NOT_FIELDS
    }
    if changed:
        own["_revised"] = changed


class _Constructor:
    """Collects the source of a constructor, field by field."""

    def __init__(self, cls: type, names: dict[str, Any], through_setattr: bool) -> None:
        self.cls = cls
        self.names = names
        self.through_setattr = through_setattr
        self.positional: list[str] = []
        self.keyword: list[str] = []
        self.body: list[str] = []
        self.post_init_args: list[str] = []
        self.annotations: dict[str, Any] = {}
        self.default_seen = ""

    def _parameter(self, f: Any) -> str:
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            if not f.kw_only and self.default_seen:
                raise TypeError(
                    f"In {self.cls.__qualname__} the non-default argument {f.name!r} follows the "
                    f"default argument {self.default_seen!r}. Give it a default, or make the "
                    "class or the field keyword-only (kw_only=True)."
                )
            return str(f.name)
        if not f.kw_only:
            self.default_seen = f.name
        return f"{f.name}=_ramie_default_{f.name}"

    def add(self, f: Any) -> None:
        """Add one field: a parameter, an assignment, or both."""
        name = f.name
        made = None
        if f.default_factory is not dataclasses.MISSING:
            self.names[f"_ramie_factory_{name}"] = f.default_factory
            self.names[f"_ramie_default_{name}"] = _FACTORY
            made = f"_ramie_factory_{name}()"
        elif f.default is not dataclasses.MISSING:
            self.names[f"_ramie_default_{name}"] = f.default
            made = f"_ramie_default_{name}"
        if f.init:
            (self.keyword if f.kw_only else self.positional).append(self._parameter(f))
            self.annotations[name] = f.type
            if f.default_factory is not dataclasses.MISSING:
                made = f"{made} if {name} is _ramie_default_{name} else {name}"
            else:
                made = name
        if _is_init_var(f):
            self.post_init_args.append(name)
        elif made is not None:
            target = f"self.{name}" if self.through_setattr else f"_ramie_d[{name!r}]"
            self.body.append(f"{target} = {made}")


def _generate_init(
    cls: Any, attach: Callable[[Any], None], post_init: bool, through_setattr: bool
) -> Callable[..., None]:
    """Write the constructor: one assignment per field into the instance dictionary."""
    declared = cls.__dataclass_fields__
    names: dict[str, Any] = {
        "_ramie_attach": attach,
        "_ramie_unspecified": UNSPECIFIED,
        "_ramie_extra": _extra_arguments,
    }
    code = _Constructor(cls, names, through_setattr)
    for f in declared.values():
        if f.name not in _OWN_FIELDS and not _is_class_var(f):
            code.add(f)
    # What nobody knows is taken as well, for a message that says how to write a field.
    parameters = ["self", *code.positional, "*_ramie_more", *code.keyword]
    parameters += ["parent=_ramie_unspecified", "name=None", "**_ramie_unknown"]
    lines = ["if _ramie_more or _ramie_unknown: _ramie_extra(self, _ramie_more, _ramie_unknown)"]
    lines += ["_ramie_d = self.__dict__", "_ramie_d['_parent_ref'] = parent"]
    lines += ["_ramie_d['name'] = name", *code.body]
    if post_init:
        arguments = ", ".join(code.post_init_args)
        names["_ramie_note"] = note_revised
        lines += ["_ramie_before = dict(_ramie_d)", f"self.__post_init__({arguments})"]
        lines.append("_ramie_note(_ramie_d, _ramie_before)")
    else:
        lines.append("_ramie_attach(self)")
    source = f"def __init__({', '.join(parameters)}):\n    " + "\n    ".join(lines) + "\n"
    exec(source, names)  # as dataclasses does; every name in it is an identifier of the class
    init: Any = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    init.__annotations__ = {
        **code.annotations,
        "parent": Any,
        "name": str | None,
        "return": None,
    }
    full = inspect.signature(init)
    known = [p for p in full.parameters.values() if not p.name.startswith("_ramie_")]
    init.__signature__ = full.replace(parameters=known)
    return init


def _extra_arguments(module: Any, more: tuple[Any, ...], unknown: dict[str, Any]) -> None:
    """Take the argument `share_traces`, and refuse others that are no fields.

    Args:
      module: the module that is being made.
      more: positional arguments after the last field.
      unknown: keyword arguments that are no fields.

    Raises:
      TypeError: for other arguments, or if `share_traces` is no bool.
    """
    if SHARE_TRACES in unknown:
        wanted = unknown.pop(SHARE_TRACES)
        if wanted is not None and not isinstance(wanted, bool):
            raise TypeError(
                f"{type(module).__qualname__}(share_traces=...) is True, False, or None for what "
                f"is said around it; got {wanted!r}."
            )
        if wanted is not None:
            module.__dict__[SHARES] = wanted
    if more or unknown:
        _refuse_arguments(module, more, unknown)


def _refuse_arguments(module: Any, more: tuple[Any, ...], unknown: dict[str, Any]) -> None:
    """Raise TypeError for arguments of a constructor that are no fields.

    Args:
      module: the module that was to be made.
      more: positional arguments after the last field.
      unknown: keyword arguments that are no fields.
    """
    cls = type(module)
    constructor = f"{cls.__qualname__}.__init__()"
    fields = [f for f in dataclasses.fields(cls) if f.init and f.name not in _OWN_FIELDS]
    declared = (
        f"Its fields are {', '.join(f.name for f in fields)}" if fields else "It has no fields"
    )
    declared += ", and attributes become fields by an annotation: `name: type = default`."
    if unknown:
        name = next(iter(unknown))
        problem = f"got an unexpected keyword argument {name!r}"
        value = getattr(cls, name, None)
        is_method = getattr(value, "__qualname__", "").startswith(f"{cls.__qualname__}.")
        if name in vars(cls) and not is_method:
            kind = "Callable" if callable(value) else type(value).__name__
            raise TypeError(
                f"{constructor} {problem}: the class has this attribute without an annotation, "
                f"which makes it no field. Write `{name}: {kind} = ...` in {cls.__name__}."
            )
    else:
        count = 1 + sum(not f.kw_only for f in fields)
        problem = f"takes {count} positional argument{'s' * (count != 1)} but {count + len(more)} "
        problem += "were given"
        if [f.name for f in fields] == ["layers"]:
            declared = f"Put the layers into a list: {cls.__name__}([first, second, ...])."
    raise TypeError(f"{constructor} {problem}. {declared}")


class _Factory:
    """Shown as the default of a field that has a factory."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()
