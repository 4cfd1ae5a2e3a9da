"""Mistakes in writing or calling a module."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ramie.errors.base import RamieError, in_module

__all__ = [
    "ApplyModuleInvalidMethodError",
    "AssignSubModuleError",
    "CallCompactUnboundModuleError",
    "CallSetupUnboundModuleError",
    "CallShareScopeOnUnboundModuleError",
    "CallUnbindOnUnboundModuleError",
    "DescriptorAttributeError",
    "IncorrectPostInitOverrideError",
    "InputShapeError",
    "InvalidInstanceModuleError",
    "MultipleMethodsCompactError",
    "ReservedModuleAttributeError",
    "SetAttributeFrozenModuleError",
    "SetAttributeInModuleSetupError",
]

# None of these derives from AttributeError, although some are about attributes: Python answers an
# AttributeError raised inside a property, or inside setup that runs on the first access of an
# attribute, by asking `__getattr__` again or by `hasattr` being False, and the message is lost.


class AssignSubModuleError(RamieError, ValueError):
    """A submodule is created in a method that is neither ``setup`` nor compact.

    Only there does the module know which name to give it::

        class Block(nn.Module):
            def __call__(self, x):          # add @nn.compact above, or
                return nn.Dense(4)(x)       # write self.dense = nn.Dense(4) in setup

    A ``functools.partial`` of a layer made in ``setup`` and completed in another method counts as
    creating it there.

    Args:
        cls: Name of the submodule's class.
    """

    def __init__(self, cls: str) -> None:
        super().__init__(
            f"Submodule {cls} must be defined in `setup()` or in a method wrapped in `@compact`. "
            "Assign it to self in setup, or decorate the method that creates it with @nn.compact."
        )


class SetAttributeInModuleSetupError(RamieError, TypeError):
    """``setup`` assigns to a dataclass field of its own module.

    Fields are the configuration given at construction, and copies of the module are made from
    them; derive a new attribute, or take another value in the constructor.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Module construction attributes are frozen: setup(){in_module(module)} assigns to a "
            "dataclass field. Give the value to the constructor, or store what you derive from it "
            "under another name."
        )


class SetAttributeFrozenModuleError(RamieError, TypeError):
    """An attribute of a module is assigned outside of its ``setup``.

    Modules are frozen, like frozen dataclasses, from the end of ``setup`` on. State belongs in
    variables; configuration in fields; other configurations in a ``clone(field=...)``.

    Args:
        module_cls: Class of the module.
        attr_name: Name of the attribute.
        attr_val: The value that was assigned.
    """

    def __init__(self, module_cls: str, attr_name: str, attr_val: Any) -> None:
        super().__init__(
            f"Can't set {attr_name}={_short(attr_val)} for Module of type {module_cls}: Module "
            "instance is frozen outside of setup method. Make it a field set by the constructor, "
            "assign it in setup(), or keep changing state in self.variable(...)."
        )


class MultipleMethodsCompactError(RamieError, ValueError):
    """More than one method of a module is compact.

    Kept for code that names it: several compact methods are accepted, as in Flax 0.12.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Only one method per class can be @compact{in_module(module)}. Define the submodules "
            "in setup() instead, or split the class in two modules."
        )


class ReservedModuleAttributeError(RamieError, TypeError):
    """A module class declares a field that every module already has: ``parent`` or ``name``.

    Args:
        annotations: The annotations of the class.
    """

    def __init__(self, annotations: Any) -> None:
        fields = list(annotations) if isinstance(annotations, Iterable) else annotations
        super().__init__(
            f"properties `parent` and `name` are reserved: {fields}. Every Module has both "
            "already, so a class may not declare fields of these names. Rename the field."
        )


class ApplyModuleInvalidMethodError(RamieError, TypeError):
    """``method=`` of ``apply`` or ``init`` is no method of the module nor a function of one.

    Args:
        method: The value that was given.
    """

    def __init__(self, method: Any) -> None:
        super().__init__(
            f"Cannot call apply(): {method} is not a valid function for apply(). Pass the name of "
            "a method, a method of this class (method=MyModule.encode), or a function whose first "
            "argument is the module."
        )


class CallCompactUnboundModuleError(RamieError, RuntimeError):
    """A compact method is called on a module that has no variables bound to it.

    A module is a description; ``init`` makes its variables and ``apply`` runs it on them::

        variables = model.init(key, x)
        y = model.apply(variables, x)      # not model(x)

    Inside of another module the layer was made where it is not found, as in an ``__init__`` in the
    style of PyTorch: declare fields, and make layers in ``setup`` or in a compact method. In a
    module of NNX it needs a wrapper, ``nnx.bridge.ToNNX``.

    Args:
        module: Class of the module, when known.
        remedy: What to do where it was called; by default, what to do outside of modules.
    """

    def __init__(self, *, module: str | None = None, remedy: str = "") -> None:
        super().__init__(
            f"Can't call compact methods on unbound modules{in_module(module)}. "
            + (
                remedy
                or "Make variables with variables = model.init(key, x) and call "
                "model.apply(variables, x), or get a callable module with model.bind(variables)."
            )
        )


class CallSetupUnboundModuleError(RamieError, RuntimeError):
    """``setup`` is called by hand on a module that is not bound.

    It runs by itself when a bound module first needs what it defines. To look at a submodule::

        inner = nn.apply(lambda m: m.inner.clone(), model)({})

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Can't call `setup()` on unbound modules{in_module(module)}: it is run for you by "
            "init, apply and bind. To reach what it defines use model.bind(variables), or "
            "nn.apply(lambda m: ..., model)({})."
        )


class CallUnbindOnUnboundModuleError(RamieError, RuntimeError):
    """``unbind`` is called on a module that is not bound.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Can't call `unbind()` on unbound modules{in_module(module)}: this one has no "
            "variables to take out. Call it on the result of model.bind(variables)."
        )


class CallShareScopeOnUnboundModuleError(RamieError, RuntimeError):
    """``share_scope`` is called with a module that is not bound.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Can't call `share_scope` on unbound modules{in_module(module)}: one that is not "
            "bound has no scope to share. Call it inside setup() or a compact method, on self and "
            "a submodule."
        )


class InputShapeError(RamieError, TypeError, ValueError):
    """The input of an NNX layer does not fit the parameters that the layer was made with.

    The sizes of a layer are decided when it is made: ``nnx.Linear(3, 4, rngs=rngs)`` multiplies
    inputs whose last axis has 3 entries. JAX raises TypeError for some of these mistakes and
    ValueError for others; this is both. (A layer of Linen takes its sizes from the first input,
    and raises `ScopeParamShapeError` for another one.)

    Args:
        place: Class of the layer and its path.
        expected: The sizes it takes, in words.
        found: Dtype and shape of the input.
        names: The arguments of its constructor that decide the sizes.
        reason: What JAX says about it.
    """

    def __init__(self, place: str, expected: str, found: str, names: str, reason: str) -> None:
        super().__init__(
            f"{place} takes inputs with {expected} ({names}), but got {found}. Make the layer with "
            f"another {names}, or look at what comes before it. JAX says: {reason}"
        )


class InvalidInstanceModuleError(RamieError, TypeError):
    """``init``, ``init_with_output``, ``apply`` or ``bind`` is called on the class itself.

    Write ``MyModule().apply(variables, x)``, not ``MyModule.apply(variables, x)``.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        name = module or "MyModule"
        super().__init__(
            "Can only call init, init_with_output or apply methods on an instance of the Module "
            f"class, and bind too. Construct it first: {name}(...).apply(variables, x)."
        )


class IncorrectPostInitOverrideError(RamieError, TypeError):
    """A module overrides ``__post_init__`` or ``__init__`` and does not call the base class's.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            "Overrode `.__post_init__()` without calling `super().__post_init__()`"
            f"{in_module(module)}. Add that line to it; in place of an __init__ of your own, which "
            "leads here too, declare fields and derive other attributes in setup()."
        )


class DescriptorAttributeError(RamieError, RuntimeError):
    """A property or descriptor of a module raised ``AttributeError`` while it was computed.

    Raised in its stead, because Python would otherwise report that the property itself does not
    exist. The original error is the ``__cause__``.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            f"Trying to access a property that is accessing a non-existent attribute"
            f"{in_module(module)}. The error above names the attribute that is missing."
        )


def _short(value: Any) -> str:
    """Write a value for a message: arrays by shape and dtype, long texts shortened."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{type(value).__name__}(shape={shape}, dtype={dtype})"
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."
