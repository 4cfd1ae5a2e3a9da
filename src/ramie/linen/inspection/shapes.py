"""Running `init` on shapes alone, and who runs in it: what tables of a module are made from."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from ramie.core.inspection.cost import split_arrays
from ramie.core.inspection.summary_text import without_classes
from ramie.linen.machinery.adopt import template_copy
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.methods import Interceptor, InterceptorContext, intercept_methods

__all__ = ["init_on_shapes", "module_paths"]


def init_on_shapes(
    module: ModuleBase,
    interceptor: Interceptor,
    rngs: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Trace `init` of a module, with an interceptor around its methods; nothing is computed.

    Args:
      module: the module.
      interceptor: see `ramie.linen.intercept_methods`.
      rngs: as for `init`.
      args: passed to the method; arrays may be `jax.ShapeDtypeStruct`.
      kwargs: as `args`, and the options of `init`.

    Returns:
      The variables by shape, with dictionaries and lists in place of other containers.
    """
    arrays, rebuild = split_arrays((rngs, args, dict(kwargs)))

    variables: Any = None

    def create(arrays: list[Any]) -> list[Any]:
        nonlocal variables
        rngs, args, kwargs = rebuild(arrays)
        made, variables = split_arrays(without_classes(module.init(rngs, *args, **kwargs)))
        return made

    with intercept_methods(interceptor):
        shapes = jax.eval_shape(create, arrays)
    return variables(shapes)


def module_paths(
    module: ModuleBase, rngs: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect the modules that `init` runs, by path; see `Module.module_paths`."""
    found: dict[str, Any] = {}

    def note(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        about: InterceptorContext,
    ) -> Any:
        path = "/".join(about.module.path)
        if path not in found:
            found[path] = template_copy(about.module)
        return next_fun(*args, **kwargs)

    init_on_shapes(module, note, rngs, args, kwargs)
    return found
