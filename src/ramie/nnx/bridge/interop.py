"""Modules of NNX and of Linen as submodules of a module of the bridge."""

from collections.abc import Callable
from typing import Any

from ramie.linen.module import Module as LinenModule
from ramie.nnx.bridge.linen_in_nnx import ToNNX
from ramie.nnx.bridge.module import Module, adopt_submodule, current_context
from ramie.nnx.modules.module import Module as NNXModule
from ramie.nnx.randomness.rng import Rngs

__all__ = ["linen_in_bridge_mdl", "nnx_in_bridge_mdl"]


def nnx_in_bridge_mdl(factory: Callable[[Rngs], NNXModule], name: str | None = None) -> Any:
    """Make a module of NNX a submodule of the module of the bridge that runs.

    Args:
      factory: makes the module of random streams. In `apply`, the variables are then those that
        `apply` was given.
      name: the attribute, in a compact method; by default one after the class. In `setup`, assign
        the result to an attribute.

    Raises:
      ValueError: if no module of the bridge runs.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> from ramie.nnx import bridge
        >>> class Net(bridge.Module):
        ...     @bridge.compact
        ...     def __call__(self, x):
        ...         return bridge.nnx_in_bridge_mdl(lambda r: nnx.Linear(2, 3, rngs=r))(x)
        >>> list(Net().init(0, jnp.ones((1, 2)))["params"])
        ['Linear_0']
    """
    parent = _running()
    module = factory(_streams(parent))
    return _adopted(parent, module, type(module), name)


def linen_in_bridge_mdl(linen_module: LinenModule, name: str | None = None) -> Any:
    """Make a module of Linen a submodule of the module of the bridge that runs.

    Args:
      linen_module: the module.
      name: see `nnx_in_bridge_mdl`.

    Raises:
      ValueError: if no module of the bridge runs.
    """
    parent = _running()
    assert parent.scope is not None
    return _adopted(parent, ToNNX(linen_module, parent.scope.rngs), type(linen_module), name)


def _running() -> Module:
    entry = current_context()
    if entry is None or entry.module.scope is None:
        where = "no module" if entry is None else f"a {type(entry.module).__name__} without a scope"
        raise ValueError(
            f"No module of the bridge runs here, but {where}. Call this in `setup` or in a compact "
            "method of a bridge.Module, while its init or apply runs."
        )
    found: Module = entry.module
    return found


def _streams(parent: Module) -> Rngs:
    """Return the streams of the call; with a fixed one for what is only made to be replaced."""
    assert parent.scope is not None
    streams = parent.scope.rngs
    return streams if "default" in streams or parent.is_initializing() else _with_default(streams)


def _with_default(streams: Rngs) -> Rngs:
    return Rngs._of({**dict(streams.items()), "default": Rngs(0).default})


def _adopted(parent: Module, module: Any, kind: type, name: str | None) -> Any:
    entry = current_context()
    if entry is not None and entry.in_compact:
        adopt_submodule(parent, entry.name_for(kind) if name is None else name, module)
    return module
