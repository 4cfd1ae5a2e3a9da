"""What is planned: a function of the user, which makes a training step and what it is called with.

`module:function` names it. It is called with those of `mesh`, `batch` and `rules` that it has
parameters for, and with what `--set` says, and returns what `ramie.plan.plan` takes::

    def small(mesh, batch=32):
        ...
        return train_step, (state, images)                  # the step, and abstract arguments
        return train_step, (state, images), {"donate": 0}   # and more arguments of `plan`
"""

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ramie.training.plan.sources import is_library, relative

__all__ = ["OPTIONS", "Made", "TargetError", "call", "find", "raised", "refused_words", "words"]

OPTIONS = ("donate", "rules", "specs", "static")
"""What a target may say of a plan beside the step and its arguments."""

_OFFERED = ("mesh", "rules")  # `plan` is told of them, so that a target need not take them
_RETURNS = "`step, arguments` or `step, arguments, options`"


class TargetError(Exception):
    """Something is wrong with the function that is named.

    Attributes:
      kind: one or two words that scripts can rely on.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(problem)
        self.kind = kind


class Made(NamedTuple):
    """What a target returned.

    Attributes:
      step: the function that is planned.
      arguments: what it is called with, abstract.
      options: more arguments of `plan`.
    """

    step: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def find(name: str) -> Callable[..., Any]:
    """Import the function that `module:function` or `file.py:function` names.

    A module is found as by `python -m`: in the folder where the command is called, too.

    Raises:
      TargetError: there is none, or its module cannot be imported.
    """
    module_name, sign, function_name = name.rpartition(":")
    is_module = all(part.isidentifier() for part in module_name.split("."))
    is_file = module_name.endswith(".py")
    if not (sign and function_name.isidentifier() and (is_module or is_file)):
        raise TargetError(
            "misuse", "it should be module:function, as in train:make or train.py:make"
        )
    module = _module(module_name)
    try:
        found = getattr(module, function_name)
    except AttributeError:
        raise TargetError("not found", _no_function(module, module_name, function_name)) from None
    if not callable(found):
        kind = type(found).__name__
        raise TargetError("misuse", f"`{function_name}` of {module_name} is no function: {kind}")
    return found


def _module(name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if name.endswith(".py"):
            return _module_of_file(Path(name))
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise raised(f"importing {name}", error) from error
        where = f"a module {name!r}" if error.name == name else f"a package {error.name!r}"
        advice = "call the command where it can be imported, or name its file, as in train.py:make"
        raise TargetError("not found", f"there is no {where[2:]}; {advice}") from None
    except (Exception, SystemExit) as error:
        if isinstance(error, TargetError):
            raise
        raise raised(f"importing {name}", error) from error


def _module_of_file(path: Path) -> Any:
    if not path.is_file():
        raise TargetError("not found", f"there is no file '{path}'")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what stands beside it is found, as by `python FILE`
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[path.stem]
        else:
            sys.modules[path.stem] = before
        raise
    return module


def _no_function(module: Any, module_name: str, name: str) -> str:
    own = [
        other
        for other, value in vars(module).items()
        if callable(value) and not other.startswith("_")
    ]
    own = [
        other for other in own if getattr(vars(module)[other], "__module__", "") == module.__name__
    ]
    near = difflib.get_close_matches(name, own, n=1)
    if near:
        return f"{module_name} has no function `{name}`; did you mean `{near[0]}`?"
    has = f"it has {', '.join(own[:8])}" if own else "it has none"
    return f"{module_name} has no function `{name}`; {has}"


def words(function: Callable[..., Any]) -> tuple[set[str], set[str], bool]:
    """Return the names that a function takes, those that it needs, and whether it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set(), set(), True
    named = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    needed = {parameter.name for parameter in named if parameter.default is parameter.empty}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return {parameter.name for parameter in named}, needed, takes_any


def refused_words(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """Say which of the words that were typed a function does not take, or which it lacks.

    Args:
      function: the target.
      given: its arguments by name, apart from the mesh.

    Returns:
      One line; nothing where all is well.
    """
    taken, needed, takes_any = words(function)
    for name in given:
        if name not in taken and not takes_any and name not in _OFFERED:
            has = f"it takes {', '.join(sorted(taken))}" if taken else "it takes none"
            return f"argument {_option(name)}: {_name(function)} has no parameter `{name}`; {has}"
    lacking = sorted(needed - set(given) - {"mesh"})
    if lacking:
        value = "" if _option(lacking[0]) != "--set" else f" {lacking[0]}=VALUE"
        return f"{_name(function)} needs `{lacking[0]}`: say {_option(lacking[0])}{value}"
    return ""


def _option(name: str) -> str:
    return f"--{name}" if name in ("batch", "rules") else "--set"


def call(function: Callable[..., Any], given: Mapping[str, Any], mesh: Any) -> Made:
    """Call a target, and look at what it returns.

    Args:
      function: the target.
      given: its arguments by name.
      mesh: one more.

    Raises:
      TargetError: it raises, or returns something else.
    """
    taken, _, takes_any = words(function)
    offered = {"mesh": mesh, **given}
    chosen = {
        name: value
        for name, value in offered.items()
        if takes_any or name in taken or name not in _OFFERED
    }
    try:
        made = function(**chosen)
    except (Exception, SystemExit) as error:
        raise raised(_name(function), error) from error
    return _checked(_name(function), made)


def _checked(name: str, made: Any) -> Made:
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        what = f"{len(made)} values" if isinstance(made, tuple) else type(made).__name__
        raise TargetError("misuse", f"{name} should return {_RETURNS}, but it returned {what}")
    step, arguments, options = made if len(made) == 3 else (*made, {})
    if not callable(step):
        what = f"{type(step).__name__}"
        raise TargetError("misuse", f"{name} should return a function as the step, not {what}")
    if not isinstance(arguments, (tuple, list)):
        what = f"a tuple of the step's arguments, but it is {type(arguments).__name__}"
        raise TargetError("misuse", f"the second value that {name} returned should be {what}")
    known = ", ".join(f"`{option}`" for option in OPTIONS)
    if not isinstance(options, Mapping):
        what = f"a dictionary with {known}, but it is {type(options).__name__}"
        raise TargetError("misuse", f"the third value that {name} returned should be {what}")
    for option in options:
        if option not in OPTIONS:
            problem = f"{name} returned the option {option!r}, but the options are {known}"
            raise TargetError("misuse", problem)
    return Made(step, tuple(arguments), dict(options))


def _name(function: Callable[..., Any]) -> str:
    return f"`{getattr(function, '__qualname__', type(function).__name__)}`"


def raised(what: str, error: BaseException) -> TargetError:
    """Say in one line what was raised and where: in the user's code, not in a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)]
    place = f" ({relative(own[-1].filename)}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({relative(error.filename)}, line {error.lineno})"
        error = SyntaxError(error.msg)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return TargetError("program", f"{what} raised {text}{place}")
