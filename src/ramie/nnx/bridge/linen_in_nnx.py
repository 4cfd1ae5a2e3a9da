"""Linen modules inside of NNX models."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from ramie.linen.module import Module as LinenModule
from ramie.nnx.bridge.module import current_module
from ramie.nnx.bridge.variables import linen_vars_to_nnx_attrs, nnx_attrs_to_linen_vars
from ramie.nnx.modules.module import Module, iter_modules
from ramie.nnx.objects.marks import Mark
from ramie.nnx.objects.pytree import PytreeState
from ramie.nnx.randomness.rng import Rngs
from ramie.nnx.states.nested import flattened, nested
from ramie.nnx.variable.base import Variable
from ramie.typing import PRNGKey

__all__ = ["ToNNX", "lazy_init"]

_MODULE, _RNGS = "to_nnx__module", "to_nnx__rngs"


@contextmanager
def _initializing(model: Any) -> Iterator[None]:
    """Let all modules inside know that a forward pass runs only to create what it needs."""
    try:
        _set_initializing(model, True)
        yield
    finally:
        _set_initializing(model, False)


def _set_initializing(model: Any, value: bool) -> None:
    for _, module in iter_modules(model, graph=True):
        life = PytreeState(value, module._pytree__state.is_setup)
        object.__setattr__(module, "_pytree__life", life)


def lazy_init(fn: Module | Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a method of a model so that all `ToNNX` inside create their variables.

    Args:
      fn: the model, or a method of it.
      *args: what to run it with.
      **kwargs: what to run it with.

    Returns:
      `fn`. The result of the run is dropped.

    Raises:
      ValueError: if `fn` belongs to no module.
    """
    owner = fn if isinstance(fn, Module) else getattr(fn, "__self__", None)
    if isinstance(fn, functools.partial):  # a method of a Linen module, as ToNNX gives them
        owner = getattr(fn.func, "__self__", None)
    if not isinstance(owner, Module):
        raise ValueError(
            f"{fn = } needs to be a method of an NNX Module, or a Module itself, so that the "
            "variables have a place."
        )
    with _initializing(owner):
        call: Any = fn
        call(*args, **kwargs)
    return fn


class ToNNX(Module):
    """A Linen module as an NNX module, with its variables as attributes.

    Linen creates variables when it sees an input, so call `lazy_init` first.

    Args:
      module: the Linen module.
      rngs: random streams for creating variables and for calls, which are forked; one named
        `default` stands for `params`. Or a key for creating variables.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import linen as nn, nnx
        >>> x = jnp.ones((1, 32))
        >>> model = nnx.bridge.ToNNX(nn.Dense(64), rngs=nnx.Rngs(0)).lazy_init(x)
        >>> model.kernel.shape, model(x).shape
        ((32, 64), (1, 64))
    """

    _pytree__takes_new = True

    def __init__(self, module: LinenModule, rngs: Rngs | PRNGKey | None = None) -> None:
        if not isinstance(module, LinenModule):
            cls = module.__name__ if isinstance(module, type) else type(module).__name__
            got = f"the class {cls}" if isinstance(module, type) else f"an instance of {cls}"
            raise TypeError(
                f"ToNNX wants a Linen module, as in ToNNX(nn.Dense(3), rngs=nnx.Rngs(0)), but got "
                f"{got}. A class is to be given its fields first; modules of NNX need no bridge."
            )
        if isinstance(rngs, Rngs):
            rngs = rngs.fork()  # what other modules draw does not change what this one draws
        elif rngs is not None:
            rngs = Rngs(params=rngs)
        setattr(self, _MODULE, module)
        setattr(self, _RNGS, rngs)

    @property
    def module(self) -> LinenModule:
        """The Linen module."""
        found: LinenModule = vars(self)[_MODULE]
        return found

    @property
    def rngs(self) -> Rngs | None:
        """The random streams."""
        found: Rngs | None = vars(self)[_RNGS]
        return found

    def lazy_init(self, *args: Any, **kwargs: Any) -> "ToNNX":
        """Create the variables by running the module on an input, and return this module."""
        lazy_init(self, *args, **kwargs)
        return self

    def __getattr__(self, name: str) -> Any:
        wrapped = vars(self).get(_MODULE)
        method = None if name.startswith("_") else getattr(type(wrapped), name, None)
        if not callable(method):
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}: neither a variable of "
                f"the wrapped {type(wrapped).__name__} nor a method of it."
            )
        return functools.partial(self.__call__, method=method)

    def __call__(
        self,
        *args: Any,
        rngs: Any = None,
        method: Callable[..., Any] | str | None = None,
        mutable: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Call the Linen module.

        Args:
          *args: for the method.
          rngs: in place of those of this object: Rngs, a key, or keys by name.
          method: by default `__call__`.
          mutable: the collections that may change, as in `linen.Module.apply`; changes and new
            variables become attributes. By default what may change in the module of the bridge
            that runs, or else none. While variables are created, all but `intermediates`.
          **kwargs: for the method.
        """
        keys = _keys(vars(self)[_RNGS] if rngs is None else rngs)
        outer = current_module()
        if mutable is None and outer is not None and outer.scope is not None:
            mutable = outer.scope.mutable
        module = self.module
        if self._pytree__state.initializing:
            output, updates = module.init_with_output(keys, *args, method=method, **kwargs)
        else:
            if isinstance(mutable, str):
                mutable = [mutable]
            options: dict[str, Any] = {"rngs": keys, "method": method, "mutable": mutable or False}
            output = module.apply(self._collections(), *args, **options, **kwargs)
            if not mutable:
                return output
            output, updates = output
        for name, value in linen_vars_to_nnx_attrs(updates).items():
            self._adopt(name, value)
        return output

    def _collections(self) -> dict[str, Any]:
        own = {name: x for name, x in vars(self).items() if name not in (_MODULE, _RNGS)}
        held = {name: x for name, x in own.items() if isinstance(x, Variable | dict)}
        return nnx_attrs_to_linen_vars(held)

    def _adopt(self, name: str, value: Any) -> None:
        """Take a variable, or nested ones, over: into what is there, or as a new attribute."""
        known = vars(self).get(name)
        if isinstance(known, Variable) and type(known) is type(value):
            known.update_from_state(value)
        elif isinstance(known, dict) and isinstance(value, dict):
            before = dict(zip(*flattened(known), strict=True))
            joined = {}
            for path, fresh in zip(*flattened(value), strict=True):
                there = before.get(path)
                if there is not None and type(there) is type(fresh):
                    there.update_from_state(fresh)
                    fresh = there
                joined[path] = fresh
            setattr(self, name, Mark(nested({**before, **joined}.items()), True))
        else:
            setattr(self, name, Mark(value, True))


def _keys(rngs: Any) -> dict[str, PRNGKey]:
    """Return a key for each stream that Linen is to know."""
    if rngs is None:
        return {}
    if isinstance(rngs, jax.Array):
        return {"params": rngs}
    if isinstance(rngs, Mapping):
        return dict(rngs)
    keys = {name: stream() for name, stream in rngs.items()}
    if "params" not in keys and "default" in keys:
        keys["params"] = keys.pop("default")
    return keys
