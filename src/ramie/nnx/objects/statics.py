"""Parameters that nobody finds: in static attributes and Linen modules, or replaced by arrays."""

import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import jax
import numpy as np

from ramie.nnx.objects.marks import is_plain
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import Param

__all__ = ["late_data", "refuse_inside_of_linen", "refuse_late_data", "warn_of_replaced"]


# How many entries of a container are looked at: a walk must not cost more with each line that a
# program logs in a list. The last ones are, because what comes late is there.
_LOOKS = 128


def _entries(value: Any) -> Iterable[Any]:
    """Return what is in a container, the last first; nothing for other values."""
    if isinstance(value, list | tuple | deque):
        return reversed(value)
    if isinstance(value, dict):
        return reversed(value.values())
    if isinstance(value, set | frozenset):
        return value
    try:
        return jax.tree_util.tree_leaves(value, is_leaf=lambda x: x is not value)
    except Exception:  # the class of a user that cannot be taken apart now: not our question
        return ()


def _inside(value: Any, wanted: tuple[type, ...]) -> Iterator[Any]:
    """List what is of some classes inside of containers, pytrees, sets and queues."""
    waiting, seen, left = deque([value]), set(), _LOOKS
    while waiting:
        found = waiting.popleft()  # breadth first: the last entries of all come early
        if isinstance(found, wanted):
            yield found
            continue
        if id(found) in seen:
            continue
        seen.add(id(found))
        for entry in islice(_entries(found), left):
            left -= 1
            if entry is not found and not is_plain(entry):
                waiting.append(entry)


def late_data(
    names: Sequence[str], values: Sequence[Any], kinds: tuple[type, ...]
) -> tuple[str, Any, Any] | None:
    """Find an object inside of static values, where it would be neither state nor parameter.

    Of long containers only the last entries are looked at.

    Args:
      names: the attributes.
      values: their values.
      kinds: which objects to look for.

    Returns:
      The attribute, its value and the object; None if there is none.
    """
    for name, value in zip(names, values, strict=True):
        found = None if is_plain(value) else next(_inside(value, kinds), None)
        if found is not None:
            return name, value, found
    return None


def refuse_late_data(node: Any, name: str, value: Any, found: Any, path: str) -> ValueError:
    """Return the error that says where an object is, and where to put it.

    Args:
      node: whose attribute it is.
      name: the attribute.
      value: its value.
      found: what is in it.
      path: of the node in the model; may be empty.
    """
    kind, cls, held = type(value).__name__, type(node).__name__, type(found).__name__
    where = f"{path}.{name}" if path else name
    what = "variable" if isinstance(found, Variable) else "module"
    better = "nnx.Dict()" if isinstance(value, dict) else "nnx.List()"
    return ValueError(
        f"Found unexpected data: the {kind} '{where}' of a {cls} got a {what} ({held}) after it "
        f"was assigned. It held none then, so that '{name}' is static: what is in it now is no "
        "part of the state, gets no gradients and is trained by no optimizer. Write "
        f"`self.{name} = {better}` before adding to it, or fill the {kind} first and assign "
        f"`self.{name} = nnx.data(...)`."
    )


def refuse_inside_of_linen(node: Any, owner: Any) -> None:
    """Check that an object with parameters was not made by a method of a Linen module.

    Args:
      node: the object.
      owner: the Linen module whose method runs. Classes that look after objects of NNX, such as
        `ramie.nnx.bridge.ToLinen`, say so by an attribute `_keeps_nnx`.

    Raises:
      ValueError: if it was.
    """
    if getattr(type(owner), "_keeps_nnx", False):
        return
    if any(isinstance(value, Param) for value in vars(node).values()):
        cls = type(node).__name__
        raise ValueError(
            f"The NNX module {cls} was made inside of a method of the Linen module "
            f"{type(owner).__name__}, which does not see its parameters: `init` would return "
            f"nothing for them, and they would be drawn anew at each call. Write "
            f"`nnx.bridge.to_linen(nnx.{cls}, ...)` in its place, or use the layer of "
            "ramie.linen, or make it outside of Linen modules."
        )


def warn_of_replaced(node: Any, name: str, before: Variable[Any], value: Any) -> None:
    """Warn if a method of an object puts an array in the place of one of its variables.

    Only ``self.w = self.w * 0.5`` in a method of the object is taken for a mistake: who replaces
    the parameters of a layer from outside wants it so.

    Args:
      node: the object.
      name: the attribute.
      before: the variable.
      value: what takes its place.
    """
    if isinstance(value, Variable) or not isinstance(value, jax.Array | np.ndarray | np.generic):
        return
    frame = sys._getframe(1)
    level = 2
    while frame.f_back is not None and frame.f_code.co_name in ("__setattr__", "_pytree__store"):
        frame, level = frame.f_back, level + 1
    code = frame.f_code
    if code.co_varnames[:1] != ("self",) or frame.f_locals.get("self") is not node:
        return
    kind = type(before).__name__
    warnings.warn(
        f"`self.{name} = ...` in {type(node).__name__}.{code.co_name} replaced a {kind} by an "
        f"array: '{name}' is no {kind} any more, so that filters, gradients and optimizers pass "
        f"it by. Write `self.{name}[...] = value` to change its value, or `self.{name} = "
        f"nnx.{kind}(value)` for a new one.",
        UserWarning,
        stacklevel=level,
    )
