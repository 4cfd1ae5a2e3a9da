"""Models whose variables keep their values elsewhere: in boxes, in array references, or plainly."""

import warnings
from typing import Any, TypeVar

from ramie.nnx.cache import flatten
from ramie.nnx.filters import Filter, to_predicate
from ramie.nnx.functional import find_duplicates
from ramie.nnx.nested import Path
from ramie.nnx.variable import Variable
from ramie.nnx.walk import build

__all__ = ["vars_as", "with_vars"]

A = TypeVar("A")


def with_vars(
    node: A,
    /,
    *,
    hijax: bool | None = None,
    ref: bool | None = None,
    mutable: bool | None = None,
    only: Filter = ...,
    allow_duplicates: bool = False,
) -> A:
    """Copy a model with other settings for its variables; variables that have them stay the same.

    Args:
      node: a Module or other Pytree, a State, a variable, or any pytree of them.
      hijax: whether values are kept in boxes of JAX's high-level types; None for as it is.
      ref: whether values are kept in array references; None for as it is.
      mutable: accepted for compatibility: no variable has this setting.
      only: a filter: which variables.
      allow_duplicates: whether a variable that is changed may be at several places of the model.
        It still is, then.

    Returns:
      The copy.

    Raises:
      ValueError: if a variable to be changed is at several places, or `mutable` is given.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.with_vars(nnx.Dict(count=nnx.Variable(jnp.array(0))), ref=True)
        >>> @jax.jit
        ... def step(model):
        ...     model.count[...] += 1
        >>> step(model)
        >>> int(model.count[...])
        1
    """
    if mutable is not None:
        raise ValueError(
            f"No variable has a setting `mutable`, which was given as {mutable}: leave it out. "
            "hijax=True and ref=True make variables that any function can change."
        )
    wished = {"hijax": hijax, "ref": ref}
    settings = {name: bool(value) for name, value in wished.items() if value is not None}
    structure, leaves = flatten(node)
    is_chosen = to_predicate(only)
    converted = list(leaves)
    changed: list[Path] = []
    for index, (path, leaf) in enumerate(zip(structure.paths, leaves, strict=True)):
        if not isinstance(leaf, Variable) or not is_chosen(path, leaf):
            continue
        if any(getattr(leaf, name) is not value for name, value in settings.items()):
            converted[index] = leaf.replace(**settings)
            changed.append(path)
    if changed and not allow_duplicates:
        _refuse_duplicates(node, changed)
    copied: A = build(structure, converted)
    return copied


def _refuse_duplicates(node: Any, changed: list[Path]) -> None:
    """Raise if a variable at one of the paths, or a node above it, is somewhere else, too."""
    for places in find_duplicates(node):
        if any(path[: len(place)] == place for place in places for path in changed):
            listed = "\n".join(f"  - {'/'.join(map(str, place))}" for place in places)
            raise ValueError(
                f"Found duplicate at paths:\n{listed}\nOne object is at all of them, so changing "
                "how its values are kept at one changes the others. Pass allow_duplicates=True if "
                "that is intended."
            )


def vars_as(
    node: A,
    /,
    *,
    hijax: bool | None = None,
    ref: bool | None = None,
    mutable: bool | None = None,
    only: Filter = ...,
    allow_duplicates: bool = False,
) -> A:
    """Call `with_vars`, of which this is the former name; warns that it is."""
    warnings.warn("vars_as is deprecated: use with_vars.", DeprecationWarning, stacklevel=2)
    return with_vars(
        node,
        hijax=hijax,
        ref=ref,
        mutable=mutable,
        only=only,
        allow_duplicates=allow_duplicates,
    )
