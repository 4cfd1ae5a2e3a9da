"""Values of variables in mutable cells of JAX: array references, and boxes of high-level types.

A function under a transformation of JAX that stores a value in a cell changes it for everybody: the
cell goes in, and nothing needs to come out.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.tracing.trace import has_boxes, is_box, new_box
from ramie.nnx.variable.metadata import VariableDef
from ramie.typing import MISSING

__all__ = ["cell", "contents", "fill", "held_as", "is_ref", "same_form", "with_part"]


def is_ref(x: Any) -> bool:
    """Tell whether something is an array reference, or stands for one under a trace."""
    return isinstance(x, jax.Ref)


def cell(value: Any, definition: VariableDef) -> Any:
    """Put a value into a new cell, as a variable of this class and metadata keeps it.

    Args:
      value: a value, or a cell, whose contents are taken.
      definition: of the variable. An array reference takes an array or a number, a box any pytree;
        there are no boxes in some versions of JAX.

    Returns:
      The cell, or the value if none is wanted or possible, or if only its shape is given.

    Raises:
      TypeError: if the value is no array, and is to go into an array reference.
    """
    value, metadata = contents(value), definition.metadata
    if isinstance(value, jax.ShapeDtypeStruct):
        return value  # of an abstract model: the cell is made for the first value
    if metadata.in_ref:
        if not isinstance(value, jax.Array | np.ndarray | np.generic | int | float | complex):
            raise TypeError(
                "A Variable with ref=True keeps its value in an array reference, which takes "
                f"arrays and numbers only, but its value is {type(value).__name__}: {value!r}."
            )
        return jax.new_ref(jnp.asarray(value))
    if not metadata.in_box or not has_boxes():
        return value
    # A definition without a hash cannot be a part of the type of the cell.
    return new_box(value, definition if type(definition) is VariableDef else None)


def contents(held: Any) -> Any:
    """Return what is in a cell; anything else is returned as it is."""
    if is_ref(held):
        return held[...]
    return held.get() if is_box(held) else held


def held_as(value: Any, definition: VariableDef) -> Any:
    """Return a value as a variable holds it: in a cell, if its metadata says so.

    Args:
      value: a value; a cell stays as it is, and so does what stands for a value or a cell.
      definition: of the variable.
    """
    metadata = definition.metadata
    if not metadata.is_cell or isinstance(value, jax.ShapeDtypeStruct):
        return value
    is_held = is_ref(value) if metadata.in_ref else metadata.in_box and is_box(value)
    return value if is_held else cell(value, definition)


def same_form(held: Any, value: Any) -> bool:
    """Tell whether a cell takes a value: array references keep their shape and element type."""
    if not is_ref(held):
        return True
    return jnp.shape(value) == held.shape and jnp.result_type(value) == held.dtype


def fill(held: Any, value: Any, index: Any = MISSING) -> bool:
    """Put a value into a cell, in place of what is in it.

    Args:
      held: perhaps a cell.
      value: the value.
      index: which part of the contents to replace, keeping its shape and element type. Without
        one, a box takes whatever there is.

    Returns:
      Whether it was a cell.
    """
    if is_ref(held):
        if isinstance(value, int | float | complex):
            value = np.asarray(value, held.dtype)
        held[... if index is MISSING else index] = value
    elif is_box(held):
        held.set(value if index is MISSING else with_part(held.get(), index, value))
    else:
        return False
    return True


def with_part(value: Any, index: Any, part: Any) -> Any:
    """Return `value` with `part` at `index`; what is mutable is changed in place."""
    if isinstance(value, jax.Array):
        if (
            index is Ellipsis
            and isinstance(part, jax.Array)
            and part.shape == value.shape
            and part.dtype == value.dtype
        ):
            return part
        return value.at[index].set(part)
    if index is Ellipsis and not isinstance(value, np.ndarray):
        return part
    value[index] = part
    return value
