"""JAX transformations of module classes and of methods.

Each takes a module class, and returns a subclass whose methods are transformed, or a function
whose first argument is a module, such as a method in a class body. What a transformation does to
variables and random streams is documented at its namesake in `ramie.core.lift`.

Interceptors see the methods that run inside of a transformation, once for each time it is traced.
Differs from Flax: of a transformed class they see its methods, not a function around them as well.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ramie.core import lift
from ramie.core import meta as meta
from ramie.core.filters import Filter
from ramie.core.lift.compilation import StaticResult
from ramie.core.scope.scope import Scope as Scope
from ramie.core.scope.variables import Variable as Variable
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import (
    Boundary,
    Lifter,
    as_module_function,
    checked_output,
    lift_target,
    lifted_by,
    names_of_first_call,
    require_module,
    run_setup_if_bound,
)
from ramie.linen.transforms.boundary import fork_rngs as fork_rngs
from ramie.linen.transforms.differentiation import cond as cond
from ramie.linen.transforms.differentiation import custom_vjp as custom_vjp
from ramie.linen.transforms.differentiation import grad as grad
from ramie.linen.transforms.differentiation import jvp as jvp
from ramie.linen.transforms.differentiation import switch as switch
from ramie.linen.transforms.differentiation import value_and_grad as value_and_grad
from ramie.linen.transforms.differentiation import vjp as vjp
from ramie.linen.transforms.differentiation import while_loop as while_loop
from ramie.linen.transforms.fingerprint import ModuleKey as _HashableProxy
from ramie.trees.frozen import FrozenDict

__all__ = [
    "add_metadata_axis",
    "checkpoint",
    "cond",
    "custom_vjp",
    "fold_rngs",
    "fork_rngs",
    "grad",
    "jit",
    "jvp",
    "map_variables",
    "named_call",
    "remat",
    "remat_scan",
    "scan",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

Target = TypeVar("Target")

_NOTHING: FrozenDict[Any, Any] = FrozenDict({})
_FIRST_AXIS: FrozenDict[Any, Any] = FrozenDict({True: 0})
_ALL_SPLIT: FrozenDict[Any, Any] = FrozenDict({True: True})


def vmap(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
    methods: Any = None,
) -> Target:
    """Lift `jax.vmap` to modules.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections, each with the axis along which its variables are
        mapped, or None for variables that all copies share.
      split_rngs: filters for random streams, each with whether the copies draw different numbers.
      in_axes: the mapped axis of each argument but the module.
      out_axes: the mapped axis of the result.
      axis_size: the number of copies, if no argument or variable tells.
      axis_name: a name for the axis, for `jax.lax` collectives inside.
      spmd_axis_name: the mesh axis over which JAX may distribute the copies.
      metadata_params: passed on to the metadata boxes of mapped variables.
      methods: the methods of a class to transform: names, or a dictionary from names to options
        of their own; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      Four dense layers with parameters of their own, each for one slice of the batch:

      >>> import jax, ramie.linen as nn
      >>> Dense = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
      >>> variables = Dense(features=3).init(jax.random.key(0), jax.numpy.ones((4, 2)))
      >>> variables["params"]["kernel"].shape
      (4, 2, 3)

    Differs from Flax: keyword arguments reach the module, unmapped.
    """
    options = {
        "variable_axes": variable_axes,
        "split_rngs": split_rngs,
        "in_axes": in_axes,
        "out_axes": out_axes,
        "axis_size": axis_size,
        "axis_name": axis_name,
        "spmd_axis_name": spmd_axis_name,
        "metadata_params": metadata_params,
    }
    return lift_target(target, "Vmap", _vmap_lifter, options, methods)


def _vmap_lifter(
    variable_axes: Mapping[Any, Any] = _NOTHING,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    **options: Any,
) -> Lifter:
    return lifted_by(lift.vmap, variable_axes, split_rngs, **options)


def scan(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    split_rngs: Mapping[Any, bool] = _NOTHING,
    in_axes: Any = 0,
    out_axes: Any = 0,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    data_transform: Callable[..., Any] | None = None,
    metadata_params: Mapping[Any, Any] = _NOTHING,
    methods: Any = None,
    _split_transpose: bool = False,
    check_constancy_invariants: bool = True,
) -> Target:
    """Lift `jax.lax.scan` to modules: a method ``(carry, *xs) -> (carry, y)`` in a loop.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections of which every step has its own slice, each with the
        axis along which the slices lie.
      variable_broadcast: the collections that all steps share.
      variable_carry: the collections that each step hands on to the next.
      split_rngs: filters for random streams, each with whether the steps draw different numbers.
      in_axes: the axis to scan of each of the xs, or `broadcast`: a tree prefix.
      out_axes: the axis at which y is stacked, or `broadcast`: a tree prefix.
      length: the number of steps, if no input or variable tells.
      reverse: begin with the last slice.
      unroll: how many steps one iteration of the loop makes.
      data_transform: applied inside each step to the groups of variables and random streams.
      metadata_params: passed on to the metadata boxes of variables with an axis.
      methods: the methods of a class to transform: names, or a dictionary from names to options
        of their own; by default ``__call__``.
      _split_transpose: passed on to `jax.lax.scan`.
      check_constancy_invariants: find out beforehand which results are the same for all steps.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      Three layers in a loop, each with its own parameters:

      >>> import jax, ramie.linen as nn
      >>> class Layer(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, carry, _):
      ...         return nn.Dense(features=2)(carry), None
      >>> Layers = nn.scan(
      ...     Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
      ... )
      >>> variables = Layers().init(jax.random.key(0), jax.numpy.ones((1, 2)), None)
      >>> variables["params"]["Dense_0"]["kernel"].shape
      (3, 2, 2)

    Differs from Flax: keyword arguments reach the module, unscanned.
    """
    options = {
        "variable_axes": variable_axes,
        "variable_broadcast": variable_broadcast,
        "variable_carry": variable_carry,
        "split_rngs": split_rngs,
        "in_axes": in_axes,
        "out_axes": out_axes,
        "length": length,
        "reverse": reverse,
        "unroll": unroll,
        "_split_transpose": _split_transpose,
        "data_transform": data_transform,
        "metadata_params": metadata_params,
        "check_constancy_invariants": check_constancy_invariants,
    }
    return lift_target(target, "Scan", _plain_lifter(lift.scan), options, methods)


def _plain_lifter(transform: Callable[..., Any]) -> Callable[..., Lifter]:
    def lifter(**options: Any) -> Lifter:
        return lifted_by(transform, **options)

    return lifter


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


def _remat_lifter(static_argnums: int | Iterable[int] = (), **options: Any) -> Lifter:
    positions = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
    without_module = tuple(i - 1 if i > 0 else i for i in positions if i != 0)
    return lifted_by(lift.remat, static_argnums=without_module, **options)


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
        position 0.
      static_argnames: the names of keyword arguments that are compile-time constants.
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
    return lift_target(target, "Jit", _keyed_lifter(lift.jit), options, methods)


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
    return lift_target(target, "Fold_rngs", _keyed_lifter(lift.fold_rngs), options)


def _keyed_lifter(transform: Callable[..., Any]) -> Callable[..., Lifter]:
    """Lift a transformation whose functions are made once and keep their traces."""

    def with_options(**options: Any) -> Lifter:
        def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
            method = as_module_function(fn)

            def inside(scopes: Any, key: _HashableProxy, *args: Any, **kwargs: Any) -> Any:
                boundary: Boundary = key.payload
                inner, args, kwargs = boundary.enter(scopes, cls, args, kwargs)
                y = checked_output(method(inner, *args, **kwargs), method)
                return y, StaticResult(tuple(sorted(boundary.reached(inner).items())))

            inside.__name__ = getattr(fn, "__name__", "lifted")
            lifted = transform(inside, **options)

            def call(module: Any, /, *call_args: Any, **call_kwargs: Any) -> Any:
                with fork_rngs(require_module(module, fn)), names_of_first_call(module, call):
                    # What setup makes is the same for all calls, so it is made outside.
                    run_setup_if_bound(module)
                    boundary = Boundary(module, call_args, call_kwargs)
                    key = _HashableProxy(boundary.held, boundary)
                    try:
                        y, reached = lifted(boundary.scopes, key, *boundary.args, **boundary.kwargs)
                    finally:
                        key.payload = None
                boundary.finish(dict(reached.value))
                return y

            return call

        return lifter

    return with_options


def remat_scan(
    target: Target,
    lengths: Sequence[int] | None = (),
    policy: Callable[..., bool] | None = None,
    variable_broadcast: Filter = False,
    variable_carry: Filter = False,
    variable_axes: Mapping[Any, Any] = _FIRST_AXIS,
    split_rngs: Mapping[Any, bool] = _ALL_SPLIT,
) -> Target:
    """Scan a module over many layers in nested loops, and store only what the loops hand on.

    With two loops of n layers each, the backward pass of n * n layers needs memory for 2 * n of
    them and computes each once more.

    Args:
      target: a module class, or a function of a module, from a carry to the next.
      lengths: the number of layers of each loop, the outermost first.
      policy: what to store after all, see `remat`.
      variable_broadcast: see `scan`.
      variable_carry: see `scan`.
      variable_axes: see `scan`; variables get one axis for each loop.
      split_rngs: see `scan`.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
      ValueError: if there is no loop.

    Example:
      >>> import jax, ramie.linen as nn
      >>> layers = nn.remat_scan(nn.Dense, lengths=(2, 3))(features=4)
      >>> variables = layers.init(jax.random.key(0), jax.numpy.ones((1, 4)))
      >>> variables["params"]["kernel"].shape
      (2, 3, 4, 4)
    """
    options = {
        "lengths": lengths,
        "policy": policy,
        "variable_broadcast": variable_broadcast,
        "variable_carry": variable_carry,
        "variable_axes": variable_axes,
        "split_rngs": split_rngs,
    }
    return lift_target(target, "Remat_scan", _plain_lifter(lift.remat_scan), options)


def map_variables(
    target: Target,
    mapped_collections: Filter = True,
    trans_in_fn: Callable[[Any], Any] = lambda collections: collections,
    trans_out_fn: Callable[[Any], Any] = lambda collections: collections,
    init: bool = False,
    mutable: bool = False,
    rngs: Filter = True,
    variables: Filter = True,
    methods: Any = None,
) -> Target:
    """Let a module see its variables through a mapping.

    Args:
      target: a module class, or a function of a module.
      mapped_collections: the collections to map.
      trans_in_fn: from a dictionary of the stored collections to the one that the module sees.
      trans_out_fn: from what the module leaves behind to what is stored.
      init: while the collections may be written, run once without the mapping to make the
        variables, store them through `trans_out_fn`, and run again.
      mutable: whether the module may write the mapped collections.
      rngs: the random streams that may be used inside.
      variables: the other collections that may be used inside.
      methods: the methods of a class to transform; by default ``__call__``.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.

    Example:
      A dense layer that computes with the signs of its weights:

      >>> import jax, ramie.linen as nn
      >>> signs = lambda variables: jax.tree.map(jax.numpy.sign, variables)
      >>> SignDense = nn.map_variables(nn.Dense, "params", signs, init=True)
      >>> y, _ = SignDense(features=3).init_with_output(jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> y.shape
      (1, 3)
    """
    options = {
        "mapped_collections": mapped_collections,
        "map_in_fn": trans_in_fn,
        "map_out_fn": trans_out_fn,
        "init": init,
        "mutable": mutable,
        "rngs": rngs,
        "variables": variables,
    }
    by_name = {"trans_in_fn": "map_in_fn", "trans_out_fn": "map_out_fn"}

    def lifter(**given: Any) -> Lifter:
        renamed = {by_name.get(name, name): value for name, value in given.items()}
        return lifted_by(lift.map_variables, **{"mapped_collections": True, **renamed})

    return lift_target(target, "Map_variables", lifter, options, methods)


def add_metadata_axis(
    target: Target,
    variable_axes: Mapping[Any, Any] = _NOTHING,
    metadata_params: Mapping[Any, Any] = _NOTHING,
) -> Target:
    """Let the metadata boxes of variables describe one axis more outside than inside.

    For modules that are mapped by other means than a lifted transformation, for example by
    `jax.vmap` around `apply`. The values are left alone.

    Args:
      target: a module class, or a function of a module.
      variable_axes: filters for collections, each with the position of the axis.
      metadata_params: passed on to the boxes.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
    """
    options = {"variable_axes": variable_axes, "metadata_params": metadata_params}
    return lift_target(target, "", _plain_lifter(lift.add_metadata_axis), options)


def named_call(class_fn: Target, force: bool = True) -> Target:
    """Return a module class as it is: methods show in profiles under their module's name anyway.

    Args:
      class_fn: a module class or a method.
      force: of no effect; `linen.override_named_call` switches the names.
    """
    del force
    return class_fn
