"""Arguments that are named by number: which they are in a call, by position or by keyword."""

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

__all__ = [
    "ArgNums",
    "all_positional",
    "by_position",
    "from_start",
    "listed",
    "named_positions",
    "names_at",
    "positions",
]

ArgNums: TypeAlias = int | Iterable[int] | None


def listed(argnums: ArgNums) -> tuple[int, ...]:
    """Return argument numbers as a tuple."""
    if argnums is None:
        return ()
    if isinstance(argnums, Iterable):
        return tuple(map(operator.index, argnums))
    return (operator.index(argnums),)


def _parameters(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function; none if it does not say which it has."""
    try:
        return list(inspect.signature(fn).parameters.values())
    except (ValueError, TypeError):
        return []


def _positional(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    return [x for x in parameters if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]


def positions(argnums: ArgNums, count: int) -> tuple[int, ...]:
    """Return argument numbers as positions in a call, in order and each once.

    Args:
      argnums: a number or several; negative ones count from the end.
      count: how many arguments there are. Numbers beyond them are passed over.

    Example:
      >>> positions((2, -1, 0), 3)
      (0, 2)
    """
    return tuple(sorted({i % count for i in listed(argnums) if -count <= i < count}))


def from_start(fn: Callable[..., Any], argnums: ArgNums) -> tuple[int, ...]:
    """Count negative argument numbers from the start, as far as a function's signature tells.

    Args:
      fn: the function.
      argnums: a number or several. Those below zero stay what they are if `fn` takes any number
        of arguments, or does not say which.

    Example:
      >>> from_start(lambda x, y, flag=True: x, (0, -1))
      (0, 2)
    """
    parameters = _parameters(fn)
    count = len(_positional(parameters))
    if any(x.kind is x.VAR_POSITIONAL for x in parameters):
        count = 0
    return tuple(i + count if -count <= i < 0 else i for i in listed(argnums))


def named_positions(fn: Callable[..., Any], names: str | Iterable[str] | None) -> tuple[int, ...]:
    """Return the positions of parameters that are given by name.

    Args:
      fn: the function.
      names: a name or several; those that `fn` takes by keyword only are passed over.

    Example:
      >>> named_positions(lambda x, flag: x, "flag")
      (1,)
    """
    wanted = {names} if isinstance(names, str) else set(names or ())
    return tuple(i for i, x in enumerate(_positional(_parameters(fn))) if x.name in wanted)


def names_at(fn: Callable[..., Any], numbers: Iterable[int]) -> tuple[str, ...]:
    """Return the names of parameters that are given by position, of which there may be none."""
    named = _positional(_parameters(fn))
    return tuple(named[i].name for i in numbers if 0 <= i < len(named))


def by_position(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], argnums: ArgNums
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give arguments that were given by keyword their position, as far as numbers reach.

    Args:
      fn: the function.
      args: its arguments by position.
      kwargs: its arguments by keyword.
      argnums: the numbers. One below zero reaches to the last argument of the call.

    Returns:
      Arguments by position, and the others by keyword. Where a parameter in between was left out,
      its default is filled in. What does not fit the signature is left as it is.

    Example:
      >>> by_position(lambda x, y=1, z=2: x, (5,), {"z": 7}, 2)
      ((5, 1, 7), {})
    """
    numbers = listed(argnums)
    reach = max((i + 1 for i in numbers if i >= 0), default=0)
    is_open = bool(kwargs) and any(i < 0 for i in numbers)
    if reach <= len(args) and not is_open:
        return args, dict(kwargs)
    parameters = _positional(_parameters(fn))
    if is_open:
        named = [i + 1 for i, x in enumerate(parameters) if x.name in kwargs]
        reach = max((reach, *named))
    found, rest = list(args), dict(kwargs)
    for parameter in parameters[len(args) : reach]:
        if parameter.kind is not parameter.POSITIONAL_ONLY and parameter.name in rest:
            found.append(rest.pop(parameter.name))
        elif parameter.default is not parameter.empty:
            found.append(parameter.default)
        else:
            break
    return tuple(found), rest


def all_positional(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str
) -> tuple[Any, ...]:
    """Return all arguments of a call, defaults included, as positional ones.

    Args:
      fn: the function.
      args: positional arguments.
      kwargs: arguments by name.
      name: the transformation, for messages.

    Raises:
      TypeError: if they are not those of the function, or one can be passed by name only.

    Example:
      >>> all_positional(lambda x, y, z=3: x, (1,), {"y": 2}, "vmap")
      (1, 2, 3)
    """
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    named = [name for name in bound.kwargs if name in kwargs]
    if named:
        raise TypeError(
            f"The arguments {named} of a function under {name} can be passed by name "
            "only, so they have no position. Make them positional, or bind them before with "
            "functools.partial."
        )
    return bound.args
