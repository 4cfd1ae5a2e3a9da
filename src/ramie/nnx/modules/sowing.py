"""What `Module.sow` and `Module.perturb` do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ramie.foundation.configurations import config
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import variable_type_from_name
from ramie.typing import MISSING

__all__ = ["ATTRIBUTE", "append", "perturbed", "sown", "stored"]

ATTRIBUTE = "__captures__"
"""Where a module holds the variables that collect, while `capture` runs."""

_Kind = type[Variable[Any]]


def append(values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Return a tuple with one more value."""
    return (*values, value)


def stored(variable: Variable[Any], name: str, content: Any) -> None:
    """Store an entry in a variable that collects."""
    variable.set_raw_value({**variable.get_raw_value(), name: content})


def _collector(module: Pytree, kind: _Kind) -> Variable[Any] | None:
    return next((x for x in vars(module)[ATTRIBUTE] if type(x) is kind), None)


def _kind_of(variable_type: str | _Kind) -> _Kind:
    if isinstance(variable_type, str):
        return variable_type_from_name(variable_type, allow_register=True)
    return variable_type


def _attribute(module: Pytree, name: str, kind: _Kind, verb: str) -> Variable[Any] | None:
    """Return the variable at an attribute, None if there is no attribute.

    Raises:
      ValueError: if the attribute is something else already.
    """
    found = getattr(module, name, MISSING)
    if found is MISSING:
        return None
    owner = type(module).__name__
    if not isinstance(found, Variable):
        raise ValueError(
            f"Expected '{name}' of {owner} to be a Variable, got {type(found).__name__}: "
            f"{verb} under another name."
        )
    if type(found) is not kind:
        raise ValueError(
            f"Expected '{name}' of {owner} to be of type '{kind.__name__}', got "
            f"'{type(found).__name__}': {verb} under another name."
        )
    return found


def sown(
    module: Pytree,
    variable_type: str | _Kind,
    name: str,
    value: Any,
    reduce_fn: Callable[[Any, Any], Any],
    init_fn: Callable[[], Any],
    capture_noop: bool | None,
) -> bool:
    """Keep a value; see `Module.sow`."""
    kind = _kind_of(variable_type)
    if ATTRIBUTE in vars(module):
        collector = _collector(module, kind)
        if collector is None:
            return False
        held = collector.get_raw_value()
        stored(collector, name, reduce_fn(held[name] if name in held else init_fn(), value))
        return True
    if _does_nothing(capture_noop):
        return False
    variable = _attribute(module, name, kind, "sow")
    if variable is None:
        setattr(module, name, kind(reduce_fn(init_fn(), value)))
    else:
        variable.set_value(reduce_fn(variable.get_raw_value(), value))
    return True


def perturbed(
    module: Pytree,
    name: str,
    value: Any,
    variable_type: str | _Kind,
    capture_noop: bool | None,
) -> Any:
    """Add a perturbation to a value; see `Module.perturb`."""
    kind = _kind_of(variable_type)
    if ATTRIBUTE in vars(module):
        collector = _collector(module, kind)
        if collector is None:
            return value
        held = collector.get_raw_value()
        if name not in held:
            stored(collector, name, _zeros(value))
        return _sum(value, collector.get_raw_value()[name])
    if _does_nothing(capture_noop):
        return value
    variable = _attribute(module, name, kind, "perturb")
    if variable is None:
        variable = kind(_zeros(value))
        setattr(module, name, variable)
    return _sum(value, variable.get_value())


def _does_nothing(capture_noop: bool | None) -> bool:
    """Tell whether nothing is kept where nobody captures."""
    return config.nnx_sow_capture_noop if capture_noop is None else capture_noop


def _zeros(value: Any) -> Any:
    return jax.tree_util.tree_map(jnp.zeros_like, value)


def _sum(value: Any, perturbation: Any) -> Any:
    return jax.tree_util.tree_map(lambda x, y: x + y, value, perturbation)
