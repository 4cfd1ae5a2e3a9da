"""Models whose variables keep their values elsewhere: in boxes, in array references, or plainly."""

import warnings
from collections.abc import Mapping
from typing import Any, TypeVar

from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.functional import find_duplicates
from ramie.nnx.graph.walk import build
from ramie.nnx.states.filters import Filter, to_predicate
from ramie.nnx.states.nested import Path
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.cells import cell
from ramie.nnx.variable.metadata import metadata_of

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
    is_mutable: bool | None = None,
) -> A:
    """Copy a model with other settings for its variables; variables that have them stay the same.

    Args:
      node: a Module or other Pytree, a State, a variable, or any pytree of them.
      hijax: whether variables are of JAX's high-level types; None for as it is.
      ref: whether values are kept in array references; None for as it is.
      mutable: False for copies of variables of high-level types that keep their values as arrays,
        not in boxes or references, and so can be differentiated but not changed; True takes that
        back. Other variables stay as they are.
      only: a filter: which variables.
      allow_duplicates: whether a variable that is changed may be at several places of the model.
        It still is, then.
      is_mutable: another spelling of `mutable`.

    Returns:
      The copy.

    Raises:
      ValueError: if a variable to be changed is at several places, or `mutable` is given and no
        variable is of high-level types.

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
    wished = {"hijax": hijax, "ref": ref, "mutable": is_mutable if mutable is None else mutable}
    settings = {name: bool(value) for name, value in wished.items() if value is not None}
    structure, leaves = flatten(node)
    is_chosen = to_predicate(only)
    chosen = {
        index: leaf
        for index, (path, leaf) in enumerate(zip(structure.paths, leaves, strict=True))
        if isinstance(leaf, Variable) and is_chosen(path, leaf)
    }
    if "mutable" in settings and not (hijax or any(leaf.hijax for leaf in chosen.values())):
        raise ValueError(
            f"No variable here has a setting `mutable`, which was given as {settings['mutable']}: "
            "only those with hijax=True have it. Leave it out: jax.grad and the like take other "
            "variables as they are."
        )
    converted = list(leaves)
    changed: list[Path] = []
    for index, leaf in chosen.items():
        its = _applicable(leaf, settings)
        if any(getattr(leaf, name, True) is not value for name, value in its.items()):
            converted[index] = _with_settings(leaf, its)
            changed.append(structure.paths[index])
    if changed and not allow_duplicates:
        _refuse_duplicates(node, changed)
    copied: A = build(structure, converted)
    return copied


def _applicable(variable: Variable[Any], settings: Mapping[str, bool]) -> dict[str, bool]:
    """Return those of the settings that such a variable can have."""
    is_high = settings.get("hijax", variable.hijax)
    return {k: value for k, value in settings.items() if is_high or k != "mutable"}


def _with_settings(variable: Variable[Any], settings: Mapping[str, bool]) -> Variable[Any]:
    """Return a copy. Only that a variable cannot change is an entry of its metadata."""
    entries = {**variable.get_metadata(), **settings}
    if settings.get("mutable") or (variable.hijax and not entries["hijax"]):
        entries.pop("mutable", None)
    definition = metadata_of(entries).definition(variable.type)
    copied: Variable[Any] = definition.of(cell(variable._raw_value, definition))
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
