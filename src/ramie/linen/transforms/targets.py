"""What can be transformed: module classes, parts of calls of them, and functions of a module.

A transformation says what it does by a *lifter*, which is made from options and turns a function of
a module into another one. Here it is applied to each method of a class, or to the function.

Interceptors see the methods that run inside of a transformation, once for each time it is traced.
Differs from Flax: of a transformed class they see its methods, not a function around them as well.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ramie import errors
from ramie.core.tracing.arguments import by_position
from ramie.linen.machinery.methods import shareable
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import Boundary, as_module_function, require_module
from ramie.linen.transforms.kept import run_kept

__all__ = ["Lifter", "function_of", "lift_target", "lifted_by", "placed"]

Lifter = Callable[[Callable[..., Any], type[Module] | None], Callable[..., Any]]
"""Makes ``(module, *args, **kwargs)`` transformed out of a function of the same.

The second argument is the class that the module gets inside, None for its own.
"""


def lifted_by(
    transform: Callable[..., Any], first: int = 0, is_loop: bool = False, **options: Any
) -> Lifter:
    """Lift a transformation of `core` to functions of modules.

    Args:
      transform: called as ``transform(fn, **options)`` with a function of scopes.
      first: the position after the module of the first argument that `in_axes` has an axis for.
      is_loop: whether functions are traced in any case, so that a trace may serve other calls.
      **options: see above.
    """

    def lifter(fn: Callable[..., Any], cls: type[Module] | None) -> Callable[..., Any]:
        method = as_module_function(fn)

        def call(module: Any, /, *call_args: Any, **call_kwargs: Any) -> Any:
            boundary = Boundary(require_module(module, fn), call_args, call_kwargs)
            if "in_axes" in options:
                seen = {**options, "in_axes": boundary.axes(options["in_axes"], first)}
            else:
                seen = options
            lifted = transform(boundary.inside(method, cls), **seen)
            if is_loop:
                made_of = transform, fn, cls, seen
                return run_kept(boundary, lifted, made_of, boundary.args, boundary.kwargs)
            y = lifted(boundary.scopes, *boundary.args, **boundary.kwargs)
            boundary.finish()
            return y

        return call

    return lifter


def function_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose first argument is the module, for a method that is bound."""
    unbound: Callable[..., Any] = getattr(fn, "__func__", fn)
    return unbound


def placed(
    fn: Callable[..., Any], lifted: Callable[..., Any], numbers: tuple[int, ...]
) -> Callable[..., Any]:
    """Let arguments that a transformation knows by number be given by keyword.

    Args:
      fn: the function of a module.
      lifted: the same, transformed.
      numbers: positions of the arguments; the module has position 0.
    """
    if not any(numbers):
        return lifted

    def call(module: Any, /, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = by_position(function_of(fn), (module, *args), kwargs, numbers)
        return lifted(*args, **kwargs)

    return call


def lift_target(
    target: Any,
    name: str,
    lifter: Callable[..., Lifter],
    options: Mapping[str, Any],
    methods: Any = None,
) -> Any:
    """Transform a module class, or a function of a module.

    Args:
      target: a module class, a partial application of one, or a function whose first argument is
        a module, such as a method in a class body.
      name: what the names of transformed classes begin with.
      lifter: makes the lifter from options.
      options: those given by the user.
      methods: which methods of a class to transform: names, or a dictionary from names to options
        of their own; by default ``__call__``.

    Returns:
      A subclass whose methods are transformed, or a function.

    Raises:
      TransformTargetError: if the target is neither, for example a module instance.
      ValueError: if `methods` is something else.
      AttributeError: if the class has no such method.
    """
    if isinstance(target, functools.partial) and _is_module_class(target.func):
        inner = lift_target(target.func, name, lifter, options, methods)
        return functools.partial(inner, *target.args, **target.keywords)
    if _is_module_class(target):
        return _lift_class(target, name, lifter, options, methods)
    if isinstance(target, Module) or not callable(target):
        raise errors.TransformTargetError(target)
    return _as_method(lifter(**options)(target, None), target)


def _is_module_class(target: Any) -> bool:
    return isinstance(target, type) and issubclass(target, Module)


def _as_method(call: Callable[..., Any], like: Any) -> Callable[..., Any]:
    # The copy inside runs setup, naming and interceptors; around the transformation there is
    # nothing of it, so what setup creates is created inside.
    call = shareable(call, getattr(like, "__name__", "__call__"))
    method = functools.wraps(like)(call) if hasattr(like, "__dict__") else call
    method.nowrap = True  # type: ignore[attr-defined]
    return method


def _lift_class(
    cls: type[Module],
    name: str,
    lifter: Callable[..., Lifter],
    options: Mapping[str, Any],
    methods: Any,
) -> type[Module]:
    if methods is None:
        methods = ("__call__",)
    if isinstance(methods, Mapping):
        by_method = dict(methods)
    elif isinstance(methods, list | tuple):
        by_method = dict.fromkeys(methods, options)
    else:
        raise ValueError(
            "The methods argument of a transform must be None, a tuple or list of method names, "
            f"or a dict from names to options, found {methods!r}."
        )
    body: dict[str, Any] = {
        "__module__": cls.__module__,
        "__doc__": cls.__doc__,
        "_lifted_methods": tuple(by_method),
    }
    for method_name, method_options in by_method.items():
        fn = getattr(cls, method_name, None)
        if fn is None or not any(method_name in base.__dict__ for base in cls.__mro__):
            raise AttributeError(
                f"Cannot transform {method_name!r}: the class {cls.__name__} has no such method."
            )
        body[method_name] = _as_method(lifter(**method_options)(fn, cls), fn)
    return type(f"{name}{cls.__name__}", (cls,), body)
