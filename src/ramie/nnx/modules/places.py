"""Where in a model something went wrong, worked out when it has and not before.

A module of NNX does not know what holds it. But whoever calls it does: the functions that run have
the model, or a larger part of it, among their arguments.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn, TypeVar

import jax
import numpy as np

from ramie import errors
from ramie.nnx.modules.module import Module, iter_modules
from ramie.nnx.states.nested import Path
from ramie.ops.eager.meshes import mentions_sharding, note_remedy

__all__ = ["inputs_of", "note_place", "noting", "place", "running", "shape_text"]

F = TypeVar("F", bound=Callable[..., Any])


def running() -> Iterator[list[Module]]:
    """List for each running function the modules among its arguments, those of the caller first."""
    frame = sys._getframe(1)
    while frame is not None:
        found = _modules_of(frame)
        if found:
            yield found
        frame = frame.f_back  # type: ignore[assignment]


def _modules_of(frame: FrameType) -> list[Module]:
    """List the modules among the arguments of a function."""
    code, values = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [value for name in names if isinstance(value := values.get(name), Module)]


def _raised_in(error: BaseException) -> list[list[Module]]:
    """List the modules among the arguments of each function that an error came through."""
    found, here = [], error.__traceback__
    while here is not None:
        found.append(_modules_of(here.tb_frame))
        here = here.tb_next
    return [modules for modules in found if modules]


def place(module: Module, frames: list[list[Module]] | None = None) -> str:
    """Name a module by its class and its path in the model that is running.

    A transformation runs a copy of what it was given: the copy has the path of what stands among
    the arguments outside and is of its class, or of the only thing inside of these that is.

    Args:
      module: the module.
      frames: the modules among the arguments of functions, those of the outermost first; by
        default of all that are running.

    Returns:
      ``Linear at /layers/0``; ``Linear at /`` where nothing that runs holds it, and dots for a
      part of the path that is not known.
    """
    paths: dict[int, Path] = {}
    outside: list[Module] = []
    for found in reversed(list(running())) if frames is None else frames:
        for model in found:
            if id(model) not in paths:
                base = _path_of_copy(model, outside, paths)
                for path, part in _modules(model):
                    paths.setdefault(id(part), (*base, *path))
        outside = found
    path = paths.get(id(module), ())
    return f"{type(module).__name__} at /{'/'.join(map(str, path))}"


def _modules(model: Module) -> list[tuple[Path, Module]]:
    try:
        return list(iter_modules(model, graph=True))
    except Exception:  # what cannot be walked through says so elsewhere
        return [((), model)]


def _path_of_copy(model: Module, outside: list[Module], paths: dict[int, Path]) -> Path:
    for parts in (outside, [part for other in outside for _, part in _modules(other)]):
        alike = {paths[id(part)] for part in parts if type(part) is type(model)}
        if len(alike) == 1:
            return alike.pop()
    return ("...",) if outside else ()


def shape_text(x: Any) -> str:
    """Write dtype and shape as JAX does: ``float32[2,3]``."""
    return f"{np.dtype(jax.dtypes.result_type(x)).name}[{','.join(map(str, np.shape(x)))}]"


def note_place(error: Exception, module: Module, frames: list[list[Module]] | None = None) -> None:
    """Say under the message of an error which module it comes from, unless that has been said.

    Args:
      error: the error.
      module: the module.
      frames: see `place`.
    """
    if not any(note.startswith("In module ") for note in getattr(error, "__notes__", ())):
        error.add_note(f"In module {place(module, frames)}")
        note_remedy(error)


def noting(function: F) -> F:
    """Let errors about how arrays are laid out say in which module they arose, and what to do.

    Only where a transformation traces a function: a compiled program pays nothing for it. Modules
    are found in the traceback, so their methods may do anything.

    Args:
      function: what is traced.

    Example:
      >>> noting(len)("three")
      5
    """

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if mentions_sharding(error):
                inner = _raised_in(error)
                if inner:
                    note_place(error, inner[-1][0], [*reversed(list(running())), *inner])
            raise

    return traced  # type: ignore[return-value]


def inputs_of(
    module: Module, inputs: Any, sizes: Mapping[int, int], names: str, error: Exception
) -> None:
    """Explain an error by an input that does not fit the parameters, or note where it happened.

    Args:
      module: the module that was called.
      inputs: its input.
      sizes: for axes of the input the sizes that parameters have for them.
      names: the arguments of the constructor that decide these sizes.
      error: what JAX says about it.

    Raises:
      InputShapeError: if the input has other sizes.
    """
    shape = np.shape(inputs)
    fits = all(-len(shape) <= a < len(shape) and shape[a] == n for a, n in sizes.items())
    if fits:
        note_place(error, module)
        return
    _refuse(module, inputs, sizes, names, error)


def _refuse(
    module: Module, inputs: Any, sizes: Mapping[int, int], names: str, error: Exception
) -> NoReturn:
    wanted = " and ".join(f"size {n} along axis {a}" for a, n in sizes.items())
    raise errors.InputShapeError(
        place(module), wanted, shape_text(inputs), names, str(error)
    ) from error
