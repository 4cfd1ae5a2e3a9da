"""Random streams of repeated layers: the same numbers in a loop of Python and in a scan."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ramie.core.scope.rng import LazyRng
from ramie.core.scope.scope import Scope
from ramie.core.tracing.trace import at_traced_forward, outside_traces
from ramie.typing import PRNGKey

__all__ = ["begin_layer", "draw_streams", "split_streams", "stacked"]


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
