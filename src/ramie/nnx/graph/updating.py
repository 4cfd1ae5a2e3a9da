"""Models that take over values from states, in place and wholly or not at all."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.functional import as_states
from ramie.nnx.graph.walk import is_object, members, rebuilt
from ramie.nnx.objects.marks import is_plain
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.nested import Path, raw
from ramie.nnx.states.state import FlatState, State
from ramie.nnx.variable.base import Variable
from ramie.nnx.variable.kinds import BatchStat, Param

__all__ = ["fill", "update"]

_ARRAYS = (jax.Array, np.ndarray, np.generic, jax.ShapeDtypeStruct)
_NO_ARRAYS = (list, tuple, dict, set, frozenset, str, bytes, type(None))
_KEEP_THEIR_SHAPE = (Param, BatchStat)


def update(node: Any, state: Any, /, *states: Any) -> None:
    """Change a model in place: take values over from states.

    Variables that are there get the value and the metadata of those in the state, or a plain
    value; other attributes are replaced. Tuples, struct dataclasses and other containers that
    cannot be changed are made anew where a plain array in them is replaced. Nothing changes if
    anything does not fit.

    A `Param` or `BatchStat` keeps its shape, or gains or loses whole axes, as the states of models
    do that are stacked for `jax.vmap`; other kinds take any shape: caches grow, streams are split.
    New names are taken for variables that are no `Param`, as calls make them (sown values, caches),
    and by modules of the bridge, whose variables wait there.

    Args:
      node: the model.
      state: a State or nested dictionary of variables or plain values, for some or all paths.
      *states: more of them.

    Raises:
      TraceContextError: under another transformation than a variable was made under.
      ValueError: if the states have names that the model has not, containers in the place of
        arrays, or other shapes; the message lists all.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.Dict(w=nnx.Param(jnp.ones(2)), pair=nnx.data((jnp.ones(1), 2)))
        >>> nnx.update(model, {"w": jnp.zeros(2), "pair": {0: jnp.zeros(1)}})
        >>> model.w[...], model.pair
        (Array([0., 0.], dtype=float32), (Array([0.], dtype=float32), 2))

    Differs from Flax, which takes unknown names, containers and other shapes, and raises for plain
    arrays in containers that cannot be changed.
    """
    taking = _Taking(node, strict=True)
    for one in (state, *states):
        taking.take(one)
    taking.apply()


def fill(node: Any, state: Any) -> None:
    """Change a model in place as `update` does, and add what it has not yet.

    Args:
      node: the model.
      state: the values.
    """
    taking = _Taking(node, strict=False)
    taking.take(state)
    taking.apply()


class _Taking:
    """What is to change in a model: first collected, then done.

    Args:
      node: the model.
      strict: whether what does not fit is refused.
    """

    def __init__(self, node: Any, strict: bool) -> None:
        self.node = node
        self.strict = strict
        self.values: list[tuple[Variable[Any], Any]] = []
        self.writes: list[tuple[Any, Any, Any]] = []
        self.unknown: list[tuple[Path, Any]] = []
        self.misfits: list[str] = []

    def take(self, state: Any) -> None:
        """Collect what a state changes."""
        if isinstance(state, FlatState):
            state = state.to_nested_state()
        if isinstance(self.node, Variable):
            self.child(self.node, state, ())
            return
        taken = self.members(self.node, _mapping(state), state, ())
        if taken is not self.node:
            self.misfits.append(
                f"the {type(self.node).__name__} itself cannot be changed: put it into a list, a "
                "dict or a module"
            )

    def members(self, node: Any, mapping: Any, given: Any, path: Path) -> Any:
        """Collect what a mapping changes in a node; return the node, or a new one in its place."""
        if mapping is None:
            self.misfits.append(
                f"{_written(path)}: the model has a {type(node).__name__} there, with entries of "
                f"its own, and the state {_described(given)}"
            )
            return node
        is_node = is_object(node)
        inside = node.__dict__ if is_node else dict(members(node))
        changed: dict[Any, Any] = {}
        for key, value in mapping.items():
            name = str(key) if is_node else key
            held = inside.get(name, inside)
            if held is value:
                continue
            inner = (*path, key)
            if held is inside:
                if _is_nothing(value):
                    continue
                if self.strict and not _takes_new(node, value):
                    self.unknown.append((inner, node))
                    continue
                changed[name] = State(value) if isinstance(value, dict) else value
                continue
            taken = self.child(held, value, inner)
            if taken is not held:
                changed[name] = taken
        if not is_node and not isinstance(node, list | dict):
            return rebuilt(node, changed) if changed else node
        self.writes.extend((node, name, taken) for name, taken in changed.items())
        return node

    def child(self, child: Any, value: Any, path: Path) -> Any:
        """Collect what a value changes; return what takes the place of the child."""
        if isinstance(child, Variable):
            if value is child:
                return child
            if type(value) is type(child) and _is_alike(child._raw_value, value._raw_value):
                self.values.append((child, value))  # the usual case
                return child
            if _is_nothing(value) and not isinstance(child._plain(), Mapping):
                return child
            wrong = _misfit(child, value) if self.strict else None
            if wrong is None:
                self.values.append((child, value))
            else:
                self.misfits.append(f"{_written(path)}: {wrong}")
            return child
        if _is_nothing(value):
            return child
        if _has_members(child):
            mapping = _mapping(value, child)
            if mapping is not None or self.strict:
                return self.members(child, mapping, value, path)
        elif self.strict and isinstance(raw(value), list | tuple | dict | Pytree):
            has = "nothing" if child is None else f"a {type(child).__name__}"
            self.misfits.append(f"{_written(path)}: {_described(value)}, where the model has {has}")
            return child
        return State(value) if isinstance(value, dict) else value

    def apply(self) -> None:
        """Do all that was collected.

        Raises:
          ValueError: if something does not fit, before anything is done.
        """
        if self.unknown or self.misfits:
            raise ValueError(_said(self.node, self.unknown, self.misfits))
        trace = trace_token()
        for variable, value in self.values:
            _assign(variable, value, trace)
        for node, name, value in self.writes:
            if isinstance(node, Pytree):
                setattr(node, name, value)
            else:
                node[name] = value


def _mapping(value: Any, child: Any = None) -> Mapping[Any, Any] | None:
    """Return the entries of a state, or of a model or container in the place of one."""
    value = raw(value)
    if isinstance(value, Mapping):
        return value
    if is_object(value):
        found = raw(as_states(*flatten(value), ())[0])
        return found if isinstance(found, Mapping) else None
    if child is not None and type(value) is type(child) and _has_members(value):
        return dict(members(value))
    return None


def _is_nothing(value: Any) -> bool:
    return isinstance(raw(value), dict) and not raw(value)


def _has_members(x: Any) -> bool:
    """Tell whether something is a node or a container."""
    if isinstance(x, Variable | jax.Array | np.ndarray) or is_plain(x):
        return False
    return isinstance(x, Pytree | list | tuple | dict) or not jax.tree_util.all_leaves([x])


def _takes_new(node: Any, value: Any) -> bool:
    # What a call makes comes back from transformations with the rest: sown values, caches. A
    # parameter that nothing uses is a mistake.
    if isinstance(value, Variable) and not isinstance(value, Param):
        return True
    return isinstance(node, Pytree) and node._pytree__takes_new


def _is_alike(held: Any, new: Any) -> bool:
    return isinstance(held, jax.Array) and isinstance(new, jax.Array) and held.shape == new.shape


def _misfit(variable: Variable[Any], value: Any) -> str | None:
    """Say why a value does not fit a variable; None if it does."""
    held = variable._raw_value
    if variable._var_metadata.is_cell:
        held = variable._plain()
    if not isinstance(held, _ARRAYS):
        return None
    new = value._plain() if isinstance(value, Variable) else raw(value)
    if not isinstance(value, Variable) and (
        type(new) in _NO_ARRAYS or isinstance(new, Mapping | Pytree)
    ):
        what = _BOX if isinstance(new, Mapping) and [*new] == ["value"] else _described(value)
        return f"{what}, where the model has an array of shape {held.shape}"
    if isinstance(variable, _KEEP_THEIR_SHAPE) and isinstance(new, _ARRAYS):
        before, after = tuple(held.shape), tuple(jnp.shape(new))
        if before != after and not _is_stack(before, after) and not _is_stack(after, before):
            return f"shape {after}, where the model has {before}"
    return None


_BOX = "a dict of a single `value`"


def _is_stack(inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    """Tell whether a shape is another one with more axes."""
    sizes = iter(outer)
    return len(inner) < len(outer) and all(size in sizes for size in inner)


def _written(path: Path) -> str:
    return "/".join(map(str, path)) or "the model itself"


def _described(value: Any) -> str:
    value = raw(value)
    return "None" if value is None else f"a {type(value).__name__}"


def _said(node: Any, unknown: list[tuple[Path, Any]], misfits: list[str]) -> str:
    """Say all that does not fit, and what to do."""
    lines = [f"nnx.update: the state does not fit the {type(node).__name__}. Nothing was changed."]
    if unknown:
        lines.append("There is nothing of the name:")
        for path, owner in unknown:
            known = sorted(str(key) for key, _ in members(owner))
            shown = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
            lines.append(
                f"  - {_written(path)}: the {type(owner).__name__} has {shown or 'nothing'}"
            )
        lines.append(
            "Set a new attribute first (`model.name = nnx.Param(x)`), or take the name out of the "
            "state."
        )
    if misfits:
        lines.append("What is there is something else:")
        lines += [f"  - {text}" for text in misfits]
        lines.append(
            "Give arrays of these shapes; a variable of another shape is replaced by assigning "
            "one: `model.name = nnx.Param(x)`."
        )
        if any(_BOX in text for text in misfits):
            lines.append(
                "Orbax keeps variables as dicts of a single `value`: restore with the target "
                "nnx.state(model)."
            )
    return "\n".join(lines)


def _assign(variable: Variable[Any], value: Any, trace: Any) -> None:
    if value.__class__ is dict and type(variable._plain()) is not dict:
        value = State(value)
    if variable._var_metadata.is_cell:
        if isinstance(value, Variable):
            variable.update_from_state(value)
        else:
            variable.set_raw_value(value)
        return
    if variable._trace_token is not trace:
        variable._check_can_update()
    if isinstance(value, Variable):
        if value._var_metadata.is_cell:
            variable.update_from_state(value)
            return
        if value._var_metadata is not variable._var_metadata:
            object.__setattr__(variable, "_var_metadata", value._var_metadata)
        value = value._raw_value
    object.__setattr__(variable, "_raw_value", value)
