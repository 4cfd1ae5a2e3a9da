"""How a module prints: its fields, then its children."""

from typing import Any

import jax
import numpy as np

from ramie.core.inspection.summary_text import without_addresses
from ramie.linen.machinery.base import ModuleBase

__all__ = ["module_repr"]

_INDENT = "    "


def _field_text(value: Any) -> str:
    if isinstance(value, ModuleBase):  # asking it for attributes would run its setup
        return repr(value)
    if isinstance(value, type):
        return value.__name__
    if callable(value) and not isinstance(value, jax.Array | np.ndarray):
        name = getattr(value, "__name__", None)
        if name:
            return str(name)
    scalar = getattr(value, "dtype", None)  # jnp.float32 and its like are instances
    if callable(value) and scalar is not None:
        return str(np.dtype(scalar))
    if type(value) in (list, tuple) and value:
        inside = ", ".join(map(_field_text, value))
        comma = "," if len(value) == 1 else ""
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{comma})"
    if type(value) is dict:
        return "{" + ", ".join(f"{k!r}: {_field_text(v)}" for k, v in value.items()) + "}"
    return repr(value) if isinstance(value, str) else without_addresses(repr(value))


def module_repr(module: ModuleBase) -> str:
    """List a module's fields and children, each on a line, without running its setup."""
    own = module.__dict__
    state = own.get("_state")
    fields = [(n, own[n]) for n in module._plan.shown if n in own]
    children = [
        (name, child)
        for name, child in (state.children.items() if state else ())
        if isinstance(child, ModuleBase)
    ]
    if not fields and not children:
        return f"{type(module).__name__}()"
    lines = [f"{type(module).__name__}("]
    if fields:
        lines.append(f"{_INDENT}# attributes")
        lines += [f"{_INDENT}{n} = {_nested(_field_text(v))}" for n, v in fields]
    if children:
        lines.append(f"{_INDENT}# children")
        lines += [f"{_INDENT}{n} = {_nested(module_repr(c))}" for n, c in children]
    return "\n".join([*lines, ")"])


def _nested(text: str) -> str:
    return text.replace("\n", f"\n{_INDENT}")
