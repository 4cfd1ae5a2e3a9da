"""The ways into a module from outside: init, apply, bind, for modules and for functions of one."""

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ramie import errors
from ramie.core.filters import DenyList, Filter, union_filters
from ramie.core.scope import initialise
from ramie.core.scope.entry import bind, bind_new, made_in, on_shapes
from ramie.core.scope.rng import is_valid_rng
from ramie.core.scope.scope import Scope
from ramie.errors.base import belongs_to
from ramie.linen.machinery.adopt import rebind
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.capture import capture_filter
from ramie.linen.machinery.context import CaptureFilter, context
from ramie.ops.eager.dispatch import plain_path_wanted
from ramie.typing import VariableDict

__all__ = [
    "INIT_COLLECTIONS",
    "apply",
    "as_method",
    "check_module",
    "init",
    "init_with_output",
    "lazy_init",
    "run",
]

INIT_COLLECTIONS = DenyList("intermediates")
"""What `init` creates: everything but intermediates."""

# Classes whose variables could not be had from a traced forward pass: their `init` does not try
# again. This decides how fast it is, and nothing else.
_run_forward: weakref.WeakSet[type] = weakref.WeakSet()


def check_module(module: Any) -> None:
    """Refuse a class where an instance belongs, and an instance whose constructor did not finish.

    Raises:
      InvalidInstanceModuleError: for a class.
      IncorrectPostInitOverrideError: for an overridden ``__post_init__`` that does not call super.
    """
    if not isinstance(module, ModuleBase):
        raise errors.InvalidInstanceModuleError()
    state = module.__dict__.get("_state")
    if state is None or not state.is_initialized:
        raise errors.IncorrectPostInitOverrideError(module=type(module).__name__)


def as_method(module: ModuleBase, method: Callable[..., Any] | str | None) -> Callable[..., Any]:
    """Turn the argument `method` into a function whose first argument is the module.

    Raises:
      InvalidInstanceModuleError: see `check_module`.
      IncorrectPostInitOverrideError: see `check_module`.
      AttributeError: if a name is not an attribute of the module.
      TypeError: if the attribute is not callable.
      ApplyModuleInvalidMethodError: if a function takes no argument at all.
    """
    check_module(module)
    kind = type(module)
    if method is None:
        method = "__call__"
    if isinstance(method, str):
        return _named_method(module, method)
    method = getattr(method, "__func__", method)
    if not callable(method):
        raise errors.ApplyModuleInvalidMethodError(method)
    if getattr(method, "_ramie_wrapped", False):
        return method
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):  # some builtins have no signature; calling them will tell
        return method
    if not parameters:
        raise errors.ApplyModuleInvalidMethodError(
            getattr(method, "__qualname__", f"a function passed to {kind.__name__}")
        )
    return method


def _named_method(module: ModuleBase, name: str) -> Callable[..., Any]:
    kind = type(module)
    # Not getattr alone: it would find the `__call__` that every class has from its metaclass.
    found = getattr(kind, name) if any(name in base.__dict__ for base in kind.__mro__) else None
    if name in module.__dict__:
        found = module.__dict__[name]
        if not callable(found):
            raise TypeError(
                f"'{kind.__name__}.{name}' must be a callable, found {type(found).__name__}."
            )
        return lambda bound, *args, **kwargs: getattr(bound, name)(*args, **kwargs)
    if found is None:
        if name != "__call__" and kind._plan.has_setup:  # may be an attribute made in setup
            return lambda bound, *args, **kwargs: getattr(bound, name)(*args, **kwargs)
        raise AttributeError(
            f'"{kind.__name__}" object has no attribute "{name}". Define the method, or pass '
            "another one as method=."
        )
    if not callable(found):
        raise TypeError(
            f"'{kind.__name__}.{name}' must be a callable, found {type(found).__name__}."
        )
    if isinstance(inspect.getattr_static(kind, name), staticmethod | classmethod):
        return lambda _, *args, **kwargs: found(*args, **kwargs)
    return found


def check_init_rngs(module: ModuleBase, rngs: Any) -> None:
    """Refuse what is neither a key nor a dictionary.

    Raises:
      InvalidRngError: naming the module and what was given.
    """
    if isinstance(rngs, Mapping) or is_valid_rng(rngs):
        return
    given = rngs
    if belongs_to(rngs, "nnx"):
        raise errors.InvalidRngError(
            f"RNGs should be of shape (2,) or PRNGKey in Module {type(module).__name__}, but rngs "
            f"are: an nnx.{type(rngs).__name__}, which is for modules of NNX. Pass one of its "
            "keys: init(rngs.params(), x), or a key of JAX: init(jax.random.key(0), x)."
        )
    if isinstance(rngs, jax.Array | np.ndarray):
        given = f"an array of shape {rngs.shape} and dtype {rngs.dtype}"
    raise errors.InvalidRngError(
        f"RNGs should be of shape (2,) or PRNGKey in Module {type(module).__name__}, but rngs "
        f"are: {given}. The first argument of init is a key or a dictionary of keys by stream: "
        "init(jax.random.key(0), x)."
    )


def run(
    fn: Callable[..., Any],
    module: ModuleBase,
    scope: Scope,
    wanted: CaptureFilter | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call ``fn(bound, *args, **kwargs)`` with a copy of the module, bound to a scope here."""
    context.stack.append(None)
    context.capture.append(wanted)
    try:
        return fn(rebind(module, scope), *args, **kwargs)
    finally:
        context.capture.pop()
        context.stack.pop()


def apply(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: Filter = False,
    capture_intermediates: bool | CaptureFilter = False,
) -> Callable[..., Any]:
    """Make a pure function of variables out of a function of a module.

    Args:
      fn: called as ``fn(module, *args, **kwargs)`` with a bound copy.
      module: the module.
      mutable: a filter for the collections that may be written and are returned.
      capture_intermediates: True to keep the output of every `__call__` in the collection
        ``intermediates``, or a function ``(module, method_name) -> bool`` that chooses.

    Returns:
      A function ``(variables, *args, rngs=None, **kwargs)``. It returns the output or, if
      `mutable` names anything or intermediates are captured, the output and those collections.

    Example:
      >>> import jax, ramie.linen as nn
      >>> model = nn.Dense(2)
      >>> x = jax.numpy.ones((1, 3))
      >>> variables = nn.init(lambda m, x: m(x), model)(jax.random.key(0), x)
      >>> nn.apply(lambda m, x: 2 * m(x), model)(variables, x).shape
      (1, 2)
    """
    wanted = capture_filter(capture_intermediates)
    if wanted is not None:
        mutable = union_filters(mutable, "intermediates")

    def applied(variables: VariableDict, *args: Any, rngs: Any = None, **kwargs: Any) -> Any:
        with bind(variables, rngs, mutable).temporary() as root:
            output = run(fn, module, root, wanted, args, kwargs)
            return output if mutable is False else (output, root.take_mutable_variables())

    return applied


def init_with_output(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: Filter = INIT_COLLECTIONS,
    capture_intermediates: bool | CaptureFilter = False,
) -> Callable[..., Any]:
    """Like `init`, for a function that returns the pair of output and variables."""
    wanted = capture_filter(capture_intermediates)
    if wanted is not None:
        mutable = union_filters(mutable, "intermediates")

    def initialised(rngs: Any, *args: Any, **kwargs: Any) -> Any:
        check_init_rngs(module, rngs)
        with bind_new(rngs, mutable).temporary() as root:
            output = run(fn, module, root, wanted, args, kwargs)
            return output, made_in(root)

    return initialised


def init(
    fn: Callable[..., Any],
    module: ModuleBase,
    mutable: Filter = INIT_COLLECTIONS,
    capture_intermediates: bool | CaptureFilter = False,
) -> Callable[..., Any]:
    """Make a function that creates the variables which a function of a module asks for.

    Args:
      fn: called as ``fn(module, *args, **kwargs)`` with a bound copy.
      module: the module.
      mutable: a filter for the collections that are created; by default all but intermediates.
      capture_intermediates: as for `apply`.

    Returns:
      A function ``(rngs, *args, **kwargs)`` that returns the variables.

    Outside of JAX transformations the function is traced and not executed; only initializers run.
    Where that cannot give the variables (it needs a value to go on, prints with `jax.debug`, keeps
    an array outside of the call, or a variable is computed from activations), it is run for real,
    from the beginning: what its Python code does beside computing is then done twice. The flag
    `flax_fast_init` turns this off.
    """
    both = init_with_output(fn, module, mutable, capture_intermediates)

    def initialised(rngs: Any, *args: Any, **kwargs: Any) -> Any:
        check_init_rngs(module, rngs)
        kind = type(module)
        # Captured outputs need the whole forward pass.
        is_traced = (
            not capture_intermediates
            and kind not in _run_forward
            and not plain_path_wanted()
            and initialise.may_attempt(rngs, args, kwargs)
        )
        if is_traced:
            variables = initialise.attempt(lambda: both(rngs, *args, **kwargs)[1])
            if variables is not initialise.NOT_POSSIBLE:
                return variables
        variables = both(rngs, *args, **kwargs)[1]
        if is_traced:
            _run_forward.add(kind)
        return variables

    return initialised


def lazy_init(
    fn: Callable[..., Any], module: ModuleBase, mutable: Filter = INIT_COLLECTIONS
) -> Callable[..., Any]:
    """Like `init`, for arguments of which only shape and dtype are known.

    Returns:
      A function ``(rngs, *args, **kwargs)``; arrays may be `jax.ShapeDtypeStruct`.
    """
    return on_shapes(init_with_output(fn, module, mutable))
