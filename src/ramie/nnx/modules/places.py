"""Where in a model something went wrong, worked out when it has and not before.

A module of NNX does not know what holds it. But whoever calls it does: the functions that run have
the model, or a larger part of it, among their arguments.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import jax
import numpy as np

from ramie import errors
from ramie.nnx.modules.module import Module, iter_modules
from ramie.nnx.states.nested import Path
from ramie.ops.eager.meshes import note_remedy

__all__ = ["inputs_of", "note_place", "place", "running", "shape_text"]


def running() -> Iterator[list[Module]]:
    """List for each running function the modules among its arguments, those of the caller first."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        values = [frame.f_locals.get(name) for name in names]
        found = [value for value in values if isinstance(value, Module)]
        if found:
            yield found
        frame = frame.f_back  # type: ignore[assignment]


def place(module: Module) -> str:
    """Name a module by its class and its path in the model that is running.

    A transformation runs a copy of what it was given: the copy has the path of what stands among
    the arguments outside and is of its class, or of the only thing inside of these that is.

    Args:
      module: the module.

    Returns:
      ``Linear at /layers/0``; ``Linear at /`` where nothing that runs holds it, and dots for a
      part of the path that is not known.
    """
    paths: dict[int, Path] = {}
    outside: list[Module] = []
    for found in reversed(list(running())):
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


def note_place(error: Exception, module: Module) -> None:
    """Say under the message of an error which module it comes from, unless that has been said."""
    if not any(note.startswith("In module ") for note in getattr(error, "__notes__", ())):
        error.add_note(f"In module {place(module)}")
        note_remedy(error)


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
