"""Functions that another process is to call: found by name, as `multiprocessing` finds them."""

import importlib
import importlib.util
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ramie.errors.processes import ProcessTargetError

__all__ = ["MAIN", "Target", "find", "load", "pickled", "unpickled"]

MAIN = "__ramie_main__"
"""What the main script of the parent is called in its children: not `__main__`, so that what
stands under ``if __name__ == "__main__"`` does not run again."""


class Target(NamedTuple):
    """Where a function is.

    Attributes:
      module: the module that defines it; `MAIN` for a script.
      name: its qualified name there.
      script: the file of the script, else "".
      main: whether it is the main module of the parent, by which pickles name its classes.
    """

    module: str
    name: str
    script: str = ""
    main: bool = False

    def __str__(self) -> str:
        """Name the function as a user would."""
        return f"{Path(self.script).name if self.script else self.module}:{self.name}"


def find(function: Callable[..., Any] | str) -> Target:
    """Say where a function is, and check that it is there.

    Args:
      function: a function at the top level of a module, or ``"module:function"``, which is not
        imported in this process.

    Returns:
      Where it is.

    Raises:
      ProcessTargetError: another process could not find it.
    """
    if isinstance(function, str):
        module, colon, name = function.partition(":")
        if not (module and colon and name):
            raise ProcessTargetError(
                f"A function by name is 'module:function', as in 'training.run:main'; found "
                f"{function!r}."
            )
        return Target(module, name)
    name = getattr(function, "__qualname__", "")
    if not callable(function) or not name or "<" in name:
        raise ProcessTargetError(
            f"{function!r} cannot be found by another process, which imports it by its name. Give "
            "a function that is defined at the top level of a module, not a lambda, a function "
            "within another one or a partial application; arguments can be given besides."
        )
    module = function.__module__
    if _resolve(sys.modules.get(module), name) is not function:
        raise ProcessTargetError(
            f"{module}.{name} is not the function that was given, and another process imports it "
            "by that name. Give the function that the module holds, without a decorator in "
            "between."
        )
    return _in_script(name) if module == "__main__" else Target(module, name)


def _in_script(name: str) -> Target:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m module
        sys.modules.setdefault(spec.name, main)  # what comes back names its classes so
        return Target(spec.name, name, main=True)
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():
        raise ProcessTargetError(
            f"{name} is defined in an interactive session, where another process cannot find it. "
            "Put it into a file and import it from there."
        )
    sys.modules[MAIN] = main
    return Target(MAIN, name, str(Path(file).resolve()), main=True)


def load(target: Target) -> Callable[..., Any]:
    """Import a function.

    Args:
      target: where it is.

    Returns:
      The function.

    Raises:
      ProcessTargetError: the module or the function is not there.
    """
    if target.script:
        module = _script(target.script)
    else:
        try:
            module = importlib.import_module(target.module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{target.module}.".startswith(f"{error.name}."):
                raise  # the module is there, and what it imports is not
            raise ProcessTargetError(
                f"There is no module {error.name!r} for the function {target}. A process looks in "
                f"the folders that the starting process has in sys.path: {sys.path}"
            ) from None
    if target.main:
        sys.modules["__main__"] = module  # as the parent's pickles say
    function = _resolve(module, target.name)
    if not callable(function):
        raise ProcessTargetError(f"The module {target.module} has no function {target.name!r}.")
    return function


def _script(file: str) -> Any:
    spec = importlib.util.spec_from_file_location(MAIN, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MAIN] = module
    spec.loader.exec_module(module)
    return module


def _resolve(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def pickled(value: Any, what: str) -> bytes:
    """Pickle a value that crosses processes.

    Args:
      value: any value.
      what: what it is, for the message.

    Returns:
      Its bytes.

    Raises:
      ProcessTargetError: it cannot be pickled.
    """
    try:
        return pickle.dumps(value)
    except Exception as error:
        raise ProcessTargetError(
            f"{what} cannot be pickled, so it does not reach the other process "
            f"({type(error).__name__}: {error}). NumPy arrays, numbers, texts and paths do; an "
            "array that is spread over processes does not."
        ) from error


def unpickled(value: bytes, what: str) -> Any:
    """Make a value again that came from another process.

    Args:
      value: its bytes.
      what: what it is, for the message.

    Returns:
      The value.

    Raises:
      ProcessTargetError: its class is not here, or fails to make it.
    """
    try:
        return pickle.loads(value)
    except Exception as error:
        raise ProcessTargetError(
            f"{what} came here and cannot be read ({type(error).__name__}: {error}). Return NumPy "
            "arrays, numbers, texts or paths, or objects of classes that this process can import "
            "and make again from their pickle."
        ) from error
