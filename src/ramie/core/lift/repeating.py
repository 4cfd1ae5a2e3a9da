"""Repeated layers: the same numbers in a loop and in a scan, and what both styles check."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ramie.core.scope.rng import LazyRng
from ramie.core.scope.scope import Scope
from ramie.core.tracing.trace import at_traced_forward, outside_traces
from ramie.typing import PRNGKey

__all__ = [
    "begin_layer",
    "check_carried",
    "check_settings",
    "check_whole",
    "divided",
    "draw_streams",
    "split_arguments",
    "split_streams",
    "stacked",
]


def draw_streams(scope: Scope) -> dict[str, PRNGKey]:
    """Draw one key of each stream of a scope, for all layers of one call."""
    return {name: scope.make_rng(name) for name in scope.rngs}


def split_streams(streams: Mapping[str, PRNGKey], count: int) -> list[dict[str, PRNGKey]]:
    """Give each layer its keys: those that `lift.scan` gives to its steps."""
    if at_traced_forward():  # the keys are real: so are those of the layers
        with outside_traces():
            split = {name: list(jax.random.split(key, count)) for name, key in streams.items()}
    else:
        split = {name: list(jax.random.split(key, count)) for name, key in streams.items()}
    return [{name: keys[i] for name, keys in split.items()} for i in range(count)]


def begin_layer(scope: Scope, streams: Mapping[str, PRNGKey] | None = None) -> None:
    """Let a layer count its requests for keys from the beginning.

    Keys are drawn anew for each call of the tower, so none is given twice; and a body that is
    traced again draws the same ones.

    Args:
      scope: that of the layer.
      streams: keys that replace those of the scope and of the scopes below.
    """
    if streams is not None:
        _reroot(scope, {name: LazyRng(key) for name, key in streams.items()}, ())
    _restart(scope.rng_counters)


def _reroot(scope: Scope, base: dict[str, LazyRng], suffix: tuple[str, ...]) -> None:
    scope._rng_base, scope._rng_suffix = base, suffix
    for name, kid in scope._kids.items():  # modules in fields have theirs already
        _reroot(kid, base, (*suffix, name))


def _restart(counters: dict[Any, Any]) -> None:
    # In place: the scopes below hold the dictionaries inside.
    for name, count in list(counters.items()):
        if isinstance(count, dict):
            _restart(count)
        else:
            del counters[name]


def stacked(*values: Any) -> Any:
    """Stack trees of equal structure leaf by leaf along a new first axis, as a scan does."""
    return jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *values)


def check_settings(tower: str, policy: Any, remat: bool, **numbers: int) -> None:
    """Refuse settings that make no tower.

    Args:
      tower: the name of the class.
      policy: what `remat` stores, or None.
      remat: whether it is used.
      **numbers: what has to be 1 or more.

    Raises:
      ValueError: if a number is below 1, or a policy is given without remat.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} of {tower} has to be 1 or more, found {number}.")
    if policy is not None and not remat:
        raise ValueError(
            f"policy of {tower} says what remat stores: set remat=True beside {policy}."
        )


def split_arguments(
    args: tuple[Any, ...], carried: int, tower: str
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Divide arguments into those that go from layer to layer, and those that each layer gets.

    Raises:
      TypeError: if there are fewer than are carried.
    """
    if len(args) < carried:
        raise TypeError(
            f"{tower} carries {carried} arguments from layer to layer, but was called with "
            f"{len(args)}. Give them by position, or set carried."
        )
    return args[:carried], args[carried:]


def divided(y: Any, carried: int, has_aux: bool, layer: str) -> tuple[tuple[Any, ...], Any]:
    """Divide what a layer returned into what is carried and its output.

    Raises:
      TypeError: if it is something else.
    """
    aux = None
    if has_aux:
        if not isinstance(y, tuple) or len(y) != 2:
            raise TypeError(
                "With has_aux of Repeat a layer returns a pair, what is carried and its output, "
                f"but {layer} returned {_counted(y)}."
            )
        y, aux = y
    if carried == 1:
        return (y,), aux
    if not isinstance(y, tuple) or len(y) != carried:
        raise TypeError(
            f"A layer returns the {carried} arguments that are carried as a tuple, but {layer} "
            f"returned {_counted(y)}. See carried of Repeat."
        )
    return y, aux


def check_carried(before: tuple[Any, ...], after: tuple[Any, ...], layer: str) -> None:
    """Check that what a layer of a scan hands on is as what it got: the next one gets it, too.

    Args:
      before: what is carried, as it reached the layer.
      after: the same, as the layer returned it.
      layer: what to call the layer in a message.

    Raises:
      TypeError: if structures, shapes, dtypes or shardings differ.
    """
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        difference = _difference(old, new)
        if difference is not None:
            raise TypeError(
                "With scan=True the layers of Repeat hand on what they got, of the same structure, "
                f"shape, dtype and sharding, but {layer} got {difference[0]} as carried argument "
                f"{number} and returned {difference[1]}. Let it return what the next layer can "
                "take, with y.astype(x.dtype) for example, or set scan=False."
            )


def _difference(before: Any, after: Any) -> tuple[str, str] | None:
    """Return what in the first tree is not as in the second, and what is there in its place."""
    tree: Any
    new_tree: Any
    old, tree = jax.tree_util.tree_flatten_with_path(before)
    new, new_tree = jax.tree_util.tree_flatten_with_path(after)
    if tree != new_tree:
        return f"the structure {tree}", f"the structure {new_tree}"
    for (path, x), (_, y) in zip(old, new, strict=True):
        was, now = jax.typeof(x), jax.typeof(y)
        if _differ(was, now):
            name = jax.tree_util.keystr(path)
            at = f" at {name}" if name else ""
            return f"{was.str_short()}{at}", f"{now.str_short()}{at}"
    return None


def _differ(before: Any, after: Any) -> bool:
    """Tell whether JAX's scan would refuse the change of a type."""
    if not hasattr(before, "shape") or not hasattr(after, "shape"):
        return False  # no array, so that JAX has its own rules
    if before.shape != after.shape:
        return True
    if before.dtype != after.dtype and not before.weak_type:  # JAX promotes weak types
        return True
    specs = _spec(before), _spec(after)
    return None not in specs and specs[0] != specs[1]


def _spec(kind: Any) -> tuple[Any, ...] | None:
    """Return the explicit mesh axes of each dimension of a type, or None if there are none."""
    sharding = getattr(kind, "sharding", None)
    if sharding is None or not sharding.mesh.explicit_axes:
        return None
    return (*sharding.spec, *(None for _ in range(len(kind.shape) - len(sharding.spec))))


def check_whole(variables: Iterable[tuple[str, Any]], tower: str) -> None:
    """Check that the first axes of stacked arrays are not divided over explicit mesh axes.

    `jax.lax.scan` refuses such ones. On automatic axes they may be.

    Args:
      variables: names, and what has them: stacks, or trees of stacks.
      tower: what to call the tower in a message.

    Raises:
      ValueError: if one is divided.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or not mesh.explicit_axes:
        return
    for name, x in _named_arrays(variables):
        kind = jax.typeof(x)
        axis = next(iter(_spec(kind) or ()), None)
        if axis is not None:
            raise ValueError(
                f"The layers of {tower} are divided over the mesh axis {axis!r}: its variable "
                f"{name} is {kind.str_short()}. JAX scans over whole axes only where the axes of "
                "the mesh are explicit. Make the mesh with AxisType.Auto, lay the variable out "
                "with None in the first place of its spec (partition_name=None), or set "
                "scan=False."
            )


def _named_arrays(variables: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, tree in variables:
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            yield f"{name}{jax.tree_util.keystr(path)}", x


def _counted(y: Any) -> str:
    if isinstance(y, tuple):
        return f"a tuple of {len(y)}"
    return f"one value of type {type(y).__name__}"
