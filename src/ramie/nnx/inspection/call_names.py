"""Name scopes for calls of modules, as Linen's modules make them."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax

from ramie.nnx.graph.walk import iter_graph
from ramie.nnx.modules.containers import Dict, List
from ramie.nnx.modules.intercept import watched
from ramie.nnx.modules.module import Module
from ramie.nnx.states.nested import Path

__all__ = ["named_calls"]

_UNFIT = re.compile(r"[^\w.*-]")  # in a name stack, slashes and parentheses have a meaning


@contextlib.contextmanager
def named_calls(models: Any) -> Iterator[None]:
    """Give what modules compute within a ``with`` block the path of the module as a named scope.

    A module does not know what holds it. So a call is named after the place of the module in the
    one that calls it, and the first call after its class. A copy, as the body of a scan has it, has
    the place of what it was copied from: that of the only module of its class there, with ``*`` for
    what differs if there are several.

    Only names change, in what is traced in this thread meanwhile. Calls share no traces (see
    `nnx.share_traces`) for as long.

    Args:
      models: a tree with the modules whose classes are watched.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from ramie import nnx
        >>> from ramie.nnx.inspection.call_names import named_calls
        >>> model = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
        >>> with named_calls(model):
        ...     program = jax.make_jaxpr(model)(jnp.ones((1, 2)))
        >>> {str(line.source_info.name_stack) for line in program.eqns}
        {'Sequential/layers/0'}
    """
    classes = {type(node) for _, node in iter_graph(models, graph=True) if _is_named(node)}
    names = _Names()

    def run(node: Any, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with names.of(node):
            return method(*args, **kwargs)

    with watched(classes, run):
        yield


def _is_named(node: Any) -> bool:
    return isinstance(node, Module) and type(node) not in (List, Dict)


class _Caller:
    """A module that runs, and where the modules inside of it are."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self._places: dict[int, Path] | None = None
        self._by_class: dict[type, list[Path]] = {}

    def place_of(self, node: Any) -> Path:
        """Return the path of a module in this one, nothing if that cannot be told."""
        if self._places is None:
            self._places = {}
            for path, part in iter_graph(self.module, graph=True):
                if _is_named(part) and path:
                    self._places[id(part)] = path
                    self._by_class.setdefault(type(part), []).append(path)
        found = self._places.get(id(node))
        return _common(self._by_class.get(type(node), ())) if found is None else found


def _common(paths: Any) -> Path:
    """Return what paths have in common, a star for each part that differs."""
    if not paths or len(set(map(len, paths))) > 1:
        return ()
    return tuple(parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*paths, strict=True))


class _Names(threading.local):
    """The modules that run, outermost first."""

    def __init__(self) -> None:
        self._running: list[_Caller] = []

    @contextlib.contextmanager
    def of(self, node: Any) -> Iterator[None]:
        """Name what is traced in a ``with`` block after a module."""
        if any(caller.module is node for caller in self._running):
            yield  # one of its own methods
            return
        scope = self._scope(node)
        self._running.append(_Caller(node))
        try:
            with jax.named_scope(scope) if scope else contextlib.nullcontext():
                yield
        finally:
            self._running.pop()

    def _scope(self, node: Any) -> str:
        inner = self._running[-1] if self._running else None
        path = inner.place_of(node) if inner else ()
        if inner and not path and type(node) is type(inner.module):
            return ""  # a copy of the module that runs
        return "/".join(_UNFIT.sub("_", str(key)) for key in path) or type(node).__name__
