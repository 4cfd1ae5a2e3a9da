"""Matching: what was saved against what it is restored into, all differences at once."""

import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from ramie.errors import CheckpointMismatchError
from ramie.errors.base import saved_instead
from ramie.serialization.decode_layers import Forms
from ramie.serialization.state_dict import (
    are_leaves,
    dicts_are_plain,
    from_state_dict,
    to_state_dict,
)

__all__ = ["Report", "find_differences", "judge", "restore_into"]

T = TypeVar("T")

_MANY = 16
"""Entries of a level from which on it is worth while to compare all of them at once."""
_FORM = (attrgetter("shape"), attrgetter("dtype"))
_AVAL = attrgetter("aval")

Report = Callable[[CheckpointMismatchError], None]
"""What is told of misfits that are accepted."""

_FAMILIES = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)


def restore_into(
    target: T,
    state: Any,
    source: str,
    *,
    strict: bool = True,
    report: Report | None = None,
    forms: Forms | None = None,
) -> T:
    """Return a copy of a target with the values of a state dict, if they fit.

    Values come as they were saved, never cast. A container in the place of a value is refused
    always, as is a value in the place of a container.

    Args:
      target: a tree; None for the state dict itself. An array in it, or a `jax.ShapeDtypeStruct`,
        demands an array of its shape and dtype; a number of Python one number of its kind, or of
        a lesser one (an int for a float); a string a string; None nothing.
      state: what was read; it is given away, and its dicts may become those of the copy.
      source: the file it was read from, for error messages.
      strict: whether values of another shape, dtype or type are refused.
      report: if they are not, is told of them, once.
      forms: what is known of the dicts in the state.

    Raises:
      CheckpointMismatchError: if the structure differs or, in a strict restore, a shape, dtype or
        type; lists all differences.
    """
    if type(target) is dict and type(state) is dict and dicts_are_plain():
        with suppress(Exception):  # whatever it is, what follows says it as ever
            return cast(T, _take_over(cast(Any, target), state, (), forms or {}))
    wanted = to_state_dict(target)
    try:
        restored = from_state_dict(target, state)
    except ValueError as error:
        differences = find_differences(wanted, state)
        if not any(differences.values()):
            raise  # the function registered for some type has other wishes, and says them
        raise CheckpointMismatchError(source, **differences) from error
    if target is None:
        return restored
    if any(_misfits(wanted, state).values()):
        # What types of the target made of what was saved may fit where that did not.
        judge(wanted, to_state_dict(restored), source, strict=strict, report=report)
    return restored


class _DoesNotFit(Exception):
    """Something differs, and all that does is to be listed."""


def _take_over(
    target: dict[Any, Any], state: dict[Any, Any], names: tuple[str, ...], forms: Forms
) -> dict[Any, Any]:
    """Return a copy of dicts with the values of a state dict, if all of them fit.

    There may be very many arrays: each is looked at once, and no state dict made of the target.

    Raises:
      Exception: if something differs, or a part of the target cannot be restored.
    """
    has_names = set(map(type, target)) == {str}
    if has_names and are_leaves(set(map(type, target.values()))):
        if list(target) == list(state) and _are_like_arrays(target.values(), state, forms):
            return state
        found = {name: state[name] for name in target}
        if any(_misfits(target, found).values()):
            raise _DoesNotFit
        return found
    restored, others = dict.fromkeys(target), target
    if has_names:
        others = {}
        for name, value in target.items():
            if type(value) is dict and type(state.get(name)) is dict:
                restored[name] = _take_over(value, state[name], (*names, name), forms)
            else:
                others[name] = value
    if others:
        restored |= from_state_dict(others, state, name="/".join((".", *names)))
        if any(_misfits(to_state_dict(others), state).values()):
            raise _DoesNotFit
    return restored


def judge(
    wanted: Any, found: Any, source: str, *, strict: bool, report: Report | None = None
) -> None:
    """Refuse or report what differs between the state dicts of a target and of what it became.

    Raises:
      CheckpointMismatchError: see `restore_into`, as for the arguments.
    """
    misfits = _misfits(wanted, found)
    if misfits["kinds"] or (strict and any(misfits.values())):
        raise CheckpointMismatchError(source, **misfits)
    if report is not None and any(misfits.values()):
        report(CheckpointMismatchError(source, **misfits))


def _misfits(wanted: Any, found: Any) -> dict[str, list[str]]:
    """Return differences without those of names: `from_state_dict` has found all that it needs.

    Entries that the target lacks are left in the file, as that says.
    """
    return find_differences(wanted, found) | {"missing": [], "extra": []}


def find_differences(wanted: Any, found: Any) -> dict[str, list[str]]:
    """Compare two state dicts.

    Args:
      wanted: the state dict of the target.
      found: the one that was read.

    Returns:
      Lists of lines: paths that are "missing" or "extra" in what was found, and paths with what
      was wanted and found under "shapes", "dtypes", "types" (leaves that are no numbers) and
      "kinds" (a container against a leaf).
    """
    differences: dict[str, list[str]] = {
        kind: [] for kind in ("missing", "extra", "shapes", "dtypes", "types", "kinds")
    }
    for kind, line in _compare(wanted, found, "."):
        differences[kind].append(line)
    return differences


def _compare(wanted: Any, found: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        if len(wanted) >= _MANY and _have_like_arrays(wanted, found):
            return
        for key, value in wanted.items():
            if key not in found:
                yield "missing", f"{path}/{key}"
            elif not _are_alike(value, found[key]):
                yield from _compare(value, found[key], f"{path}/{key}")
        for key in found:
            if key not in wanted:
                yield "extra", f"{path}/{key}"
    elif isinstance(wanted, Mapping) or isinstance(found, Mapping):
        if wanted is not None:
            line = f"{path}: {_describe(wanted)} wanted, {_describe(found)} found"
            instead = "" if isinstance(wanted, Mapping) else saved_instead(wanted)
            yield "kinds", f"{line}. {instead}" if instead else line
    else:
        yield from _compare_leaves(wanted, found, path)


def _have_like_arrays(wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> bool:
    """Tell whether two levels have the same keys and, for each, arrays of one shape and dtype."""
    if len(wanted) != len(found):
        return False
    try:
        # In the same order.
        return _are_like_arrays(wanted.values(), {key: found[key] for key in wanted}, {})
    except KeyError:
        return False


def _are_like_arrays(wanted: Iterable[Any], found: Mapping[Any, Any], forms: Forms) -> bool:
    """Tell whether two levels hold as many arrays, of the same shapes and dtypes in order."""
    with suppress(AttributeError):  # JAX knows the form of an array in C, its parts in Python
        wanted = list(map(_AVAL, wanted))
    known = forms.get(id(found))
    try:
        shapes, dtypes = (list(map(attribute, wanted)) for attribute in _FORM)
        if known is not None and known.level is found:
            return shapes == known.shapes and dtypes == known.dtypes
        theirs = found.values()
        return shapes == list(map(_FORM[0], theirs)) and dtypes == list(map(_FORM[1], theirs))
    except AttributeError:
        return False


def _are_alike(wanted: Any, found: Any) -> bool:
    """Tell of arrays, of which there may be very many, whether there is nothing to say."""
    return (
        type(found) is np.ndarray
        and isinstance(wanted, (np.ndarray, jax.Array, jax.ShapeDtypeStruct))
        and wanted.shape == found.shape
        and wanted.dtype == found.dtype
    )


def _compare_leaves(wanted: Any, found: Any, path: str) -> Iterator[tuple[str, str]]:
    if _is_numeric(wanted):
        if not _is_numeric(found):
            yield "types", f"{path}: {_describe(wanted)} wanted, {_describe(found)} found"
            return
        shapes = tuple(np.shape(wanted)), tuple(np.shape(found))
        if shapes[0] != shapes[1]:
            yield "shapes", f"{path}: {shapes[0]} wanted, {shapes[1]} found"
        if not _holds(wanted, found):
            yield "dtypes", f"{path}: {_dtype_of(wanted)} wanted, {_dtype_of(found)} found"
    elif isinstance(wanted, (str, bytes)) and not isinstance(found, type(wanted)):
        yield "types", f"{path}: {_describe(wanted)} wanted, {_describe(found)} found"


def _is_numeric(value: Any) -> bool:
    """Tell whether something is an array, stands for one, or is a number."""
    return isinstance(value, numbers.Number) or (
        hasattr(value, "shape") and hasattr(value, "dtype")
    )


def _holds(wanted: Any, found: Any) -> bool:
    """Tell whether what was found is of the wanted dtype; numbers of Python have only a family."""
    if hasattr(wanted, "dtype") and hasattr(found, "dtype"):
        return bool(wanted.dtype == found.dtype)
    more, less = _family(wanted), _family(found)
    return more is not None and less is not None and less <= more


def _family(value: Any) -> int | None:
    """Return the place of a number among truth values, integers, real and complex numbers."""
    dtype = getattr(value, "dtype", None) or type(value)
    for place, family in enumerate(_FAMILIES):
        if jnp.issubdtype(dtype, family):
            return place
    return None


def _dtype_of(value: Any) -> str:
    return str(getattr(value, "dtype", type(value).__name__))


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a container of {len(value)}"
    if isinstance(value, np.ndarray) or hasattr(value, "shape"):
        return f"an array {value.dtype}{list(value.shape)}"
    return f"a value of type {type(value).__name__}"
