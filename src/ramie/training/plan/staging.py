"""From a step and its arguments to a program that can be handed to a compiler elsewhere."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax import export

from ramie.errors import PlanArgumentError
from ramie.training.plan.arguments import class_if_imported

__all__ = ["Staged", "stage"]


@dataclass(frozen=True)
class Staged:
    """A traced step.

    Attributes:
      program: as `jax.export` makes it; its arguments are the arrays in their order.
      shardings: that of each array.
      donated: numbers of the arrays that it may overwrite.
    """

    program: export.Exported
    shardings: tuple[Any, ...]
    donated: tuple[int, ...]


def stage(
    step: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    platform: str,
    donate: Sequence[int] | None,
    static: Sequence[int],
) -> Staged:
    """Trace a step for a platform, with no device of it.

    Args:
      step: a plain function, or one that `jax.jit` or `nnx.jit` made.
      arguments: with `jax.ShapeDtypeStruct` in the place of arrays.
      keywords: the same by name.
      platform: ``tpu``, ``cpu`` or ``cuda``.
      donate: which arguments it may overwrite; None for what it says itself.
      static: which arguments are part of the program.

    Raises:
      PlanArgumentError: it calls back into Python, which no program elsewhere can; or an argument
        is no array, and nothing says that it is part of the program.
    """
    with _named((arguments, keywords)):
        return _traced(step, arguments, keywords, platform, donate, static)


@contextlib.contextmanager
def _named(held: Any) -> Iterator[None]:
    """Have modules of NNX name what they compute, as those of Linen do."""
    of_pytree = class_if_imported("ramie.nnx.objects.pytree", "Pytree")
    objects = jax.tree.leaves(held, is_leaf=lambda x: isinstance(x, of_pytree))
    if not any(isinstance(x, of_pytree) for x in objects):
        yield
        return
    from ramie.nnx.inspection.call_names import named_calls

    with named_calls(held):
        yield


def _traced(
    step: Callable[..., Any],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    platform: str,
    donate: Sequence[int] | None,
    static: Sequence[int],
) -> Staged:
    jitted, arguments, keywords = _as_jitted(step, arguments, keywords, donate, static)
    flat, structure = jax.tree.flatten((arguments, keywords))
    places = [i for i, leaf in enumerate(flat) if isinstance(leaf, jax.ShapeDtypeStruct)]
    with _no_texts(flat):
        given_away = _donated(jitted, arguments, keywords)
    donated = _of_arrays(given_away, flat, places)

    def call(*arrays: Any) -> list[Any]:
        leaves = list(flat)
        for place, array in zip(places, arrays, strict=True):
            leaves[place] = array
        args, kwargs = jax.tree.unflatten(structure, leaves)
        return jax.tree.leaves(jitted(*args, **kwargs))

    call.__name__ = call.__qualname__ = "planned"
    arrays = [flat[place] for place in places]
    outer = jax.jit(call, donate_argnums=tuple(donated))
    try:
        program = export.export(outer, platforms=[platform])(*arrays)
    except (NotImplementedError, ValueError) as error:
        if "callback" not in str(error) and "from the lowering platform" not in str(error):
            raise
        raise PlanArgumentError(
            "The step calls back into Python while it runs (jax.debug.print, io_callback, "
            "pure_callback), which a program for other machines cannot. Plan it without."
        ) from error
    return Staged(program, tuple(leaf.sharding for leaf in arrays), tuple(donated))


def _as_jitted(
    step: Any,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    donate: Sequence[int] | None,
    static: Sequence[int],
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return a function of JAX, and what it is called with."""
    options: dict[str, Any] = {}
    if donate is not None:
        options["donate_argnums"] = tuple(donate)
    if static:
        options["static_argnums"] = tuple(static)
    of_variable = class_if_imported("ramie.nnx.variable.base", "Variable")
    of_jit = class_if_imported("ramie.nnx.transforms.compilation.compiled", "JitWrapped")
    held = jax.tree.leaves((arguments, keywords), is_leaf=lambda x: isinstance(x, of_variable))
    if any(isinstance(x, of_variable) for x in held):
        from ramie.nnx.transforms.compilation.compiled import JitWrapped, jit

        of_jit = JitWrapped
        if options or not isinstance(step, JitWrapped):
            step = jit(step, **options)
    elif options or not isinstance(step, (jax.stages.Wrapped, of_jit)):
        step = jax.jit(step, **options)
    if isinstance(step, of_jit):
        program, operands, _ = step.staged(arguments, keywords)
        return program, operands, {}
    return step, arguments, keywords


def _donated(jitted: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[bool]:
    """Return for each array, as JAX counts them, whether it may be overwritten."""
    traced = jitted.trace(*arguments, **keywords)
    return [bool(info.donated) for info in jax.tree.leaves(traced.args_info)]


@contextlib.contextmanager
def _no_texts(flat: list[Any]) -> Iterator[None]:
    """Say which argument is no array, where JAX refuses one."""
    try:
        yield
    except TypeError as error:
        strange = [leaf for leaf in flat if isinstance(leaf, str | bytes) or callable(leaf)]
        if not strange or "as an abstract array" not in str(error):
            raise
        raise PlanArgumentError(
            f"Among the arguments of the step is {strange[0]!r}, which is no array. If it is part "
            "of the program, say so by static=NUMBER of the argument; for one given by name, plan "
            "jax.jit(step, static_argnames=NAME)."
        ) from error


def _of_arrays(donated: list[bool], flat: list[Any], places: list[int]) -> list[int]:
    """Return the numbers, among arrays, of those that may be overwritten.

    JAX counts numbers among the arguments too, and leaves static ones out.
    """
    if len(donated) == len(places):
        return [number for number, given_away in enumerate(donated) if given_away]
    numbers = [
        i for i, leaf in enumerate(flat) if i in places or isinstance(leaf, bool | int | float)
    ]
    if len(numbers) != len(donated):
        if not any(donated):
            return []
        raise PlanArgumentError(
            "Numbers among the arguments cannot be told from static ones. Give "
            "jax.ShapeDtypeStruct or arrays in their place."
        )
    order = {place: number for number, place in enumerate(places)}
    return [
        order[place]
        for place, given_away in zip(numbers, donated, strict=True)
        if given_away and place in order
    ]
