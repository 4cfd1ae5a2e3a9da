"""Linen modules inside of NNX models, and NNX modules inside of Linen models."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import jax

from ramie import linen
from ramie.core.meta import AxisMetadata
from ramie.linen.machinery.context import context
from ramie.nnx.bridge.module import current_module
from ramie.nnx.bridge.variables import (
    collections_of,
    linen_vars_to_nnx_attrs,
    nnx_attrs_to_linen_vars,
    to_linen_var,
    to_nnx_var,
)
from ramie.nnx.graph.editing import update
from ramie.nnx.graph.functional import split, state
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.modules.module import Module, iter_modules
from ramie.nnx.objects.marks import Mark
from ramie.nnx.objects.pytree import PytreeState
from ramie.nnx.randomness.rng import Rngs, RngState
from ramie.nnx.states.nested import Path, flattened, nested
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.trees.frozen import FrozenDict
from ramie.typing import PRNGKey

__all__ = [
    "Functional",
    "ToLinen",
    "ToNNX",
    "current_linen_module",
    "functional",
    "lazy_init",
    "linen_rngs_dict",
    "to_linen",
    "to_linen_class",
]

M = TypeVar("M", bound=Module)
_MODULE, _RNGS = "to_nnx__module", "to_nnx__rngs"


# --- NNX modules as pairs of functions ------------------------------------------------------------


@dataclasses.dataclass
class Functional(Generic[M]):
    """An NNX module that is made by `init` and called by `apply`. `functional` makes it.

    Attributes:
      module_type: the class.
      graphdef: the structure, once `init` has run.
      args: for the class.
      kwargs: for the class.
    """

    module_type: type[M]
    graphdef: GraphDef[M] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def init(self, *, rngs: Rngs | None = None) -> Any:
        """Make the module, remember its structure, and return its state.

        Args:
          rngs: passed to the class, if given.
        """
        more = {} if rngs is None else {"rngs": rngs}
        self.graphdef, found = split(self.module_type(*self.args, **self.kwargs, **more))
        return found

    def apply(self, *states: Any) -> Any:
        """Return what stands for the module with a state; see `GraphDef.apply`.

        Raises:
          ValueError: before `init`.
        """
        if self.graphdef is None:
            raise ValueError(
                f"The structure of this {self.module_type.__name__} is not known yet: call init() "
                "before apply()."
            )
        return self.graphdef.apply(*states)  # type: ignore[attr-defined]


def functional(cls: type[M]) -> Callable[..., Functional[M]]:
    """Make a function that takes the arguments of a class and returns a `Functional`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> linear = nnx.bridge.functional(nnx.Linear)(2, 3)
        >>> state = linear.init(rngs=nnx.Rngs(0))
        >>> y, (graphdef, state) = linear.apply(state)(jnp.ones((1, 2)))
        >>> y.shape
        (1, 3)
    """

    def make(*args: Any, **kwargs: Any) -> Functional[M]:
        return Functional(cls, None, args, kwargs)

    return make


# --- Linen modules in NNX -------------------------------------------------------------------------


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

    def __init__(self, module: linen.Module, rngs: Rngs | PRNGKey | None = None) -> None:
        if isinstance(rngs, Rngs):
            rngs = rngs.fork()  # what other modules draw does not change what this one draws
        elif rngs is not None:
            rngs = Rngs(params=rngs)
        setattr(self, _MODULE, module)
        setattr(self, _RNGS, rngs)

    @property
    def module(self) -> linen.Module:
        """The Linen module."""
        found: linen.Module = vars(self)[_MODULE]
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


# --- NNX modules in Linen -------------------------------------------------------------------------


def current_linen_module() -> linen.Module | None:
    """Return the Linen module whose method runs now, or None."""
    found: linen.Module | None = context.stack[-1] if context.stack else None
    return found


def linen_rngs_dict(linen_module: linen.Module, add_default: bool = False) -> dict[str, PRNGKey]:
    """Draw a key from each random stream of a bound Linen module.

    Args:
      linen_module: the module.
      add_default: whether to add a fixed key named `default`, for streams that it does not have.
    """
    scope = linen_module.scope
    if scope is None:
        raise ValueError(
            "linen_rngs_dict takes a bound module, as inside of init or apply, but this "
            f"{type(linen_module).__name__} is not bound."
        )
    keys = {name: scope.make_rng(name) for name in scope.rngs}
    if add_default and "default" not in keys:
        keys["default"] = jax.random.key(0)
    return keys


class ToLinen(linen.Module):
    """An NNX module as a Linen module, whose variables are in collections.

    The module is made in `init`, and made again in `apply`, where it gets the variables.
    Collections are named after the kinds of variables; states of random streams are not kept.

    Attributes:
      nnx_class: the class, or any function that returns a module.
      args: for the class.
      kwargs: for the class.
      skip_rng: whether the class takes no argument `rngs`.
      metadata_fn: what is kept of a variable; see `to_linen_var`. None keeps values.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> model = nnx.bridge.ToLinen(nnx.Linear, args=(32, 64))
        >>> variables = model.init(jax.random.key(0), jnp.ones((1, 32)))
        >>> variables["params"]["kernel"].shape
        (32, 64)
    """

    nnx_class: Callable[..., Module]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = FrozenDict({})
    skip_rng: bool = False
    metadata_fn: Callable[[Variable[Any]], Any] | None = to_linen_var

    @linen.compact
    def __call__(
        self, *args: Any, nnx_method: Callable[..., Any] | str | None = None, **kwargs: Any
    ) -> Any:
        """Call the NNX module.

        Args:
          *args: for the method.
          nnx_method: by default `__call__`.
          **kwargs: for the method.

        Raises:
          AttributeError: if the class has no such method.
        """
        model = self._made()
        if self.is_initializing():
            self._keep(model)
        else:
            self._fill(model)
        output = self._method(nnx_method)(model, *args, **kwargs)
        if not self.is_initializing():
            self._keep(model)
        return output

    def __getattr__(self, name: str) -> Any:
        cls = self.__dict__.get("nnx_class")
        if cls is None or name.startswith("_") or not callable(getattr(cls, name, None)):
            return super().__getattr__(name)
        return functools.partial(self.__call__, nnx_method=name)

    def _method(self, method: Callable[..., Any] | str | None) -> Callable[..., Any]:
        if callable(method):
            return method
        name = "__call__" if method is None else method
        owner: Any = self.nnx_class

        def call(model: Any, *args: Any, **kwargs: Any) -> Any:
            found = getattr(model, name, None)
            if found is None:
                raise AttributeError(
                    f"{type(model).__name__}, which {type(self).__name__} wraps, has no method "
                    f"{name!r}."
                )
            return found(*args, **kwargs)

        return getattr(owner, name, call) if isinstance(owner, type) else call

    def _made(self) -> Module:
        more = {} if self.skip_rng else {"rngs": Rngs(**linen_rngs_dict(self, add_default=True))}
        return self.nnx_class(*self.args, **self.kwargs, **more)

    def _fill(self, model: Module) -> None:
        """Give the variables from the collections to a module."""
        attributes: dict[Path, Any] = {}
        for collection, tree in self.variables.items():
            for path, x in _entries(tree, ()):
                attributes[path] = to_nnx_var(collection, x) if _is_known_box(x) else x
        update(model, State(nested(attributes.items()), _copy=False))

    def _keep(self, model: Module) -> None:
        """Put the variables of a module into the collections that may change."""
        leaves = [
            (path, leaf)
            for path, leaf in state(model).flat_state()
            if isinstance(leaf, Variable) and not isinstance(leaf, RngState)
        ]
        found = collections_of(leaves, self.metadata_fn, allow_register=True)
        for collection, tree in found.items():
            if self.is_mutable_collection(collection):
                for name, value in tree.items():
                    self.put_variable(collection, name, value)


def _is_known_box(x: Any) -> bool:
    return isinstance(x, AxisMetadata)


def _entries(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    for key, x in tree.items():
        if isinstance(x, Mapping):
            yield from _entries(x, (*path, key))
        else:
            yield (*path, key), x


def to_linen(
    nnx_class: Callable[..., Module],
    *args: Any,
    metadata_fn: Callable[[Variable[Any]], Any] | None = to_linen_var,
    name: str | None = None,
    skip_rng: bool = False,
    abstract_init: bool = True,
    **kwargs: Any,
) -> ToLinen:
    """Make a `ToLinen` of a class and its arguments.

    Args:
      nnx_class: the class.
      *args: for the class.
      metadata_fn: see `ToLinen`.
      name: of the Linen module.
      skip_rng: see `ToLinen`.
      abstract_init: accepted for compatibility; it changes nothing.
      **kwargs: for the class.
    """
    del abstract_init
    return ToLinen(
        nnx_class,
        args=args,
        kwargs=FrozenDict(kwargs),
        metadata_fn=metadata_fn,
        skip_rng=skip_rng,
        name=name,
    )


def to_linen_class(
    base_nnx_class: type[Module],
    base_metadata_fn: Callable[[Variable[Any]], Any] | None = to_linen_var,
    base_skip_rng: bool = False,
    **partial_kwargs: Any,
) -> type[ToLinen]:
    """Make a subclass of `ToLinen` for one class of modules.

    Args:
      base_nnx_class: the class.
      base_metadata_fn: the default of `metadata_fn`.
      base_skip_rng: the default of `skip_rng`.
      **partial_kwargs: arguments for the class that all instances share.

    Example:
        >>> from ramie import nnx
        >>> LinearToThree = nnx.bridge.wrappers.to_linen_class(nnx.Linear, out_features=3)
        >>> LinearToThree(kwargs={"in_features": 2}).name is None
        True
    """

    class Wrapped(ToLinen):
        nnx_class: Callable[..., Module] = base_nnx_class
        skip_rng: bool = base_skip_rng
        metadata_fn: Callable[[Variable[Any]], Any] | None = base_metadata_fn

        def _made(self) -> Module:
            more = {} if self.skip_rng else {"rngs": Rngs(**linen_rngs_dict(self, True))}
            return self.nnx_class(*self.args, **{**partial_kwargs, **self.kwargs}, **more)

    Wrapped.__name__ = Wrapped.__qualname__ = f"{base_nnx_class.__name__}ToLinen"
    return Wrapped
