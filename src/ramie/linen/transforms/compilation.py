"""Modules that are compiled, recomputed, or draw their random keys as compiled ones do.

Each function takes a module class, and returns a subclass whose methods are transformed, or a
function whose first argument is a module, such as a method in a class body. What it does to
variables and random streams is documented at its namesake in `ramie.core.lift.compilation`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from ramie.core.filters import Filter
from ramie.core.lift import compilation as lift
from ramie.core.lift.compilation import StaticResult
from ramie.core.tracing.arguments import ArgNums, from_start, named_positions
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import (
    Boundary,
    as_module_function,
    fork_rngs,
    names_of_first_call,
    require_module,
    run_setup_if_bound,
)
from ramie.linen.transforms.fingerprint import ModuleKey
from ramie.linen.transforms.targets import Lifter, function_of, lift_target, lifted_by, placed

__all__ = ["checkpoint", "fold_rngs", "jit", "named_call", "remat"]

Target = TypeVar("Target")


def remat(
    target: Target,
    variables: Filter = True,
    rngs: Filter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.checkpoint` to modules: recompute in the backward pass instead of storing.

    Args:
      target: a module class, or a function of a module.
      variables: the collections that may be used inside.
      rngs: the random streams that may be used inside.
      concrete: JAX no longer supports True and says so.
      prevent_cse: keep the compiler from merging the recomputation with the first computation;
        not needed inside a scan.
      static_argnums: the positions of arguments that are not traced; the module has position 0.
        The call may give them by keyword.
      policy: which intermediate values to store after all, from `jax.checkpoint_policies`.
      methods: the methods of a class to transform; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.remat(nn.Dense)(features=3)
      >>> variables = layer.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> layer.apply(variables, jax.numpy.ones((1, 2))).shape
      (1, 3)
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "concrete": concrete,
        "prevent_cse": prevent_cse,
        "static_argnums": static_argnums,
        "policy": policy,
    }
    return lift_target(target, "Checkpoint", _remat_lifter, options, methods)


def _remat_lifter(static_argnums: ArgNums = (), **options: Any) -> Lifter:
    def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
        numbers = from_start(function_of(fn), static_argnums)
        without_module = tuple(i - 1 if i > 0 else i for i in numbers if i != 0)
        lifted = lifted_by(lift.remat, static_argnums=without_module, **options)(fn, cls)
        return placed(fn, lifted, numbers)

    return lifter


checkpoint = remat


def jit(
    target: Target,
    variables: Filter = True,
    rngs: Filter = True,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    device: Any = None,
    backend: str | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.jit` to modules.

    The compiled program serves every module with equal fields, whatever its name; random keys
    inside are derived from one key per stream that is drawn where the call stands. Submodules that
    a compiled method makes without a name are shared by all its calls within one run of a compact
    method: give them names, or compile the class, to get several.

    Args:
      target: a module class, or a function of a module.
      variables: the collections that may be used inside.
      rngs: the random streams that may be used inside.
      static_argnums: the positions of arguments that are compile-time constants; the module has
        position 0. The call may give them by keyword.
      static_argnames: the names of arguments that are compile-time constants.
      donate_argnums: the positions of arguments whose memory may be re-used.
      device: passed on to `jax.jit`.
      backend: passed on to `jax.jit`.
      methods: the methods of a class to transform; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layer = nn.jit(nn.Dense)(features=3)
      >>> variables = layer.init(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> layer.apply(variables, jax.numpy.ones((1, 2))).shape
      (1, 3)
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "static_argnums": static_argnums,
        "static_argnames": static_argnames,
        "donate_argnums": donate_argnums,
        "device": device,
        "backend": backend,
    }
    return lift_target(target, "Jit", _jit_lifter, options, methods)


def _jit_lifter(
    static_argnums: ArgNums = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: ArgNums = (),
    **options: Any,
) -> Lifter:
    def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
        function = function_of(fn)
        # What is named may come by position, and what is counted by name.
        static = (
            *from_start(function, static_argnums),
            *named_positions(function, static_argnames),
        )
        donated = from_start(function, donate_argnums)
        lifted = _keyed(
            lift.jit,
            static_argnums=static,
            static_argnames=static_argnames,
            donate_argnums=donated,
            **options,
        )(fn, cls)
        return placed(fn, lifted, (*static, *donated))

    return lifter


def fold_rngs(target: Target, variables: Filter = True, rngs: Filter = True) -> Target:
    """Derive random keys inside as `jit` does, without compiling.

    Args:
      target: a module class, or a function of a module.
      variables: the collections that may be used inside.
      rngs: the random streams that may be used inside.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
    """
    options = {"variables": variables, "rngs": rngs}
    return lift_target(target, "Fold_rngs", partial(_keyed, lift.fold_rngs), options)


def _keyed(transform: Callable[..., Any], **options: Any) -> Lifter:
    """Lift a transformation whose functions are made once and keep their traces."""

    def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
        method = as_module_function(fn)

        def inside(scopes: Any, key: ModuleKey, *args: Any, **kwargs: Any) -> Any:
            boundary: Boundary = key.payload
            y = boundary.inside(method, cls)(scopes, *args, **kwargs)
            return y, StaticResult(tuple(sorted(boundary.reached.items())))

        inside.__name__ = getattr(fn, "__name__", "lifted")
        lifted = transform(inside, **options)

        def call(module: Any, /, *call_args: Any, **call_kwargs: Any) -> Any:
            with fork_rngs(require_module(module, fn)), names_of_first_call(module, lifted):
                # What setup makes is the same for all calls, so it is made outside.
                run_setup_if_bound(module)
                boundary = Boundary(module, call_args, call_kwargs)
                key = ModuleKey(boundary.held, boundary)
                try:
                    y, reached = lifted(boundary.scopes, key, *boundary.args, **boundary.kwargs)
                finally:
                    key.payload = None
            boundary.finish(dict(reached.value))
            return y

        return call

    return lifter


def named_call(class_fn: Target, force: bool = True) -> Target:
    """Return a module class as it is: methods show in profiles under their module's name anyway.

    Args:
      class_fn: a module class or a method.
      force: of no effect; `linen.override_named_call` switches the names.
    """
    del force
    return class_fn
