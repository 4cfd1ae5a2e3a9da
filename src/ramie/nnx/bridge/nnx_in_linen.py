"""NNX modules inside of Linen models."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax

from ramie.core.meta import AxisMetadata
from ramie.linen.machinery.context import context
from ramie.linen.machinery.methods import compact
from ramie.linen.module import Module as LinenModule
from ramie.nnx.bridge.variables import collections_of, to_linen_var, to_nnx_var
from ramie.nnx.graph.functional import state
from ramie.nnx.graph.updating import fill
from ramie.nnx.modules.module import Module
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.randomness.rng import Rngs, RngState
from ramie.nnx.states.nested import Path, nested
from ramie.nnx.states.state import State
from ramie.nnx.variable.base import Variable
from ramie.trees.frozen import FrozenDict
from ramie.typing import PRNGKey

__all__ = ["ToLinen", "current_linen_module", "linen_rngs_dict", "to_linen", "to_linen_class"]


def current_linen_module() -> LinenModule | None:
    """Return the Linen module whose method runs now, or None."""
    found: LinenModule | None = context.stack[-1] if context.stack else None
    return found


def linen_rngs_dict(linen_module: LinenModule, add_default: bool = False) -> dict[str, PRNGKey]:
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


class ToLinen(LinenModule):
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
    _keeps_nnx: ClassVar[bool] = True

    @compact
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
          TypeError: if there is a module in the place of the class.
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
        _check_class(self.nnx_class, type(self).__name__)
        more = {} if self.skip_rng else {"rngs": Rngs(**linen_rngs_dict(self, add_default=True))}
        return self.nnx_class(*self.args, **self.kwargs, **more)

    def _fill(self, model: Module) -> None:
        """Give the variables from the collections to a module."""
        attributes: dict[Path, Any] = {}
        for collection, tree in self.variables.items():
            for path, x in _entries(tree, ()):
                attributes[path] = to_nnx_var(collection, x) if _is_known_box(x) else x
        fill(model, State(nested(attributes.items()), _copy=False))

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


def _check_class(nnx_class: Any, taker: str) -> None:
    """Check that something makes modules of NNX."""
    is_class = isinstance(nnx_class, type)
    if not callable(nnx_class) or isinstance(nnx_class, Pytree | LinenModule):
        got = f"an instance of {type(nnx_class).__name__}"
    elif is_class and issubclass(nnx_class, LinenModule):
        got = f"{nnx_class.__name__}, a class of Linen modules, which needs no bridge"
    else:
        return
    raise TypeError(
        f"{taker} wants a class of NNX modules and its arguments, as in "
        f"ToLinen(nnx.Linear, args=(2, 3)) or to_linen(nnx.Linear, 2, 3), but got {got}. It makes "
        "the module itself, so that Linen keeps its variables."
    )


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

    Raises:
      TypeError: if it is a module already, or a class of Linen.
    """
    del abstract_init
    _check_class(nnx_class, "to_linen")
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

    _check_class(base_nnx_class, "to_linen_class")

    class Wrapped(ToLinen):
        nnx_class: Callable[..., Module] = base_nnx_class
        skip_rng: bool = base_skip_rng
        metadata_fn: Callable[[Variable[Any]], Any] | None = base_metadata_fn

        def _made(self) -> Module:
            more = {} if self.skip_rng else {"rngs": Rngs(**linen_rngs_dict(self, True))}
            return self.nnx_class(*self.args, **{**partial_kwargs, **self.kwargs}, **more)

    Wrapped.__name__ = Wrapped.__qualname__ = f"{base_nnx_class.__name__}ToLinen"
    return Wrapped
