"""Static attributes that were given modules or variables after they were assigned."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from ramie.nnx.objects.marks import is_plain
from ramie.nnx.variable.base import Variable

__all__ = ["late_data", "refuse_late_data"]


def _inside(value: Any, wanted: tuple[type, ...]) -> Iterator[Any]:
    """List what is of some classes inside of containers, pytrees, sets and queues."""
    leaves: Any = (value,)
    if not isinstance(value, set | frozenset | deque):
        leaves = jax.tree_util.tree_leaves(value, is_leaf=lambda x: isinstance(x, wanted))
    for leaf in leaves:
        if isinstance(leaf, wanted):
            yield leaf
        elif isinstance(leaf, set | frozenset | deque):
            for item in leaf:
                yield from _inside(item, wanted)


def late_data(
    names: Sequence[str], values: Sequence[Any], kinds: tuple[type, ...]
) -> tuple[str, Any, Any] | None:
    """Find an object inside of static values, where it would be neither state nor parameter.

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
