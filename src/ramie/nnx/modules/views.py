"""Copies of models that share variables and differ in attributes: `view`, `with_attributes`.

Also `recursive_map`, which makes a copy of a model with other nodes in it.
"""

import copy as copying
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax

from ramie.nnx.graph.functional import clone
from ramie.nnx.graph.walk import iter_graph, members
from ramie.nnx.modules.module import Module, iter_modules, not_found
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.filters import Filter, to_predicate
from ramie.nnx.states.nested import Path
from ramie.nnx.variable.base import Variable

__all__ = ["recursive_map", "view", "view_info", "with_attributes"]

A = TypeVar("A")


def _chosen(node: Any, only: Filter, graph: bool | None) -> Iterator[Module]:
    wanted = to_predicate(only)
    return (module for path, module in iter_modules(node, graph=graph) if wanted(path, module))


def with_attributes(
    node: A,
    /,
    *,
    only: Filter = ...,
    raise_if_not_found: bool = True,
    graph: bool | None = None,
    **attributes: Any,
) -> A:
    """Copy a model and set attributes of the modules in the copy that have them.

    Args:
      node: the model; it stays as it is. The copy shares its variables.
      only: which modules.
      raise_if_not_found: whether each attribute must exist somewhere.
      graph: see `split`.
      **attributes: new values.

    Raises:
      ValueError: if no module has one of the attributes.

    Example:
        >>> from ramie import nnx
        >>> linear = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        >>> nnx.with_attributes(linear, use_bias=False).use_bias, linear.use_bias
        (False, True)
    """
    copied = clone(node, variables=False, graph=graph)
    left = set(attributes)
    for module in list(_chosen(copied, only, graph)):
        for name, value in attributes.items():
            if hasattr(module, name):
                left.discard(name)
                setattr(module, name, value)
    if left and raise_if_not_found:
        raise not_found(node, left)
    return copied


def view(
    node: A,
    /,
    *,
    only: Filter = ...,
    raise_if_not_found: bool = True,
    graph: bool | None = None,
    **kwargs: Any,
) -> A:
    """Copy a model and configure its modules otherwise, for evaluation for example.

    Each module that has a method `set_view` is asked to take what it knows of the arguments.

    Args:
      node: the model; it stays as it is. The copy shares its variables.
      only: which modules.
      raise_if_not_found: whether each argument must be known to some module.
      graph: see `split`.
      **kwargs: the arguments, such as ``deterministic=True``. A method `set_view` gets those it
        names, all if it has ``**kwargs``, and returns those it does not use.

    Raises:
      ValueError: if no module knows one of the arguments.

    Example:
        >>> from ramie import nnx
        >>> class Gate(nnx.Module):
        ...     is_open = True
        ...     def set_view(self, is_open=None, **kwargs):
        ...         self.is_open = self.is_open if is_open is None else is_open
        ...         return kwargs
        >>> gate = Gate()
        >>> nnx.view(gate, is_open=False).is_open, gate.is_open
        (False, True)
    """
    copied = clone(node, variables=False, graph=graph)
    left = set(kwargs)
    for module in list(_chosen(copied, only, graph)):
        method = getattr(module, "set_view", None)
        if method is not None:
            left -= _configure(method, kwargs)
    if left and raise_if_not_found:
        raise ValueError(
            f"Unused keys found in nnx.view: {sorted(left)}. nnx.view_info(model) lists what its "
            "modules know."
        )
    return copied


def _configure(method: Callable[..., Any], kwargs: Mapping[str, Any]) -> set[str]:
    """Call `set_view` and return the names that it used."""
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        known = dict(kwargs)
    else:
        known = {p.name: kwargs[p.name] for p in parameters if p.name in kwargs}
    unused: Any = method(**known)
    return set(known) - set(unused or ())


# --- what set_view says ---------------------------------------------------------------------------


def view_info(node: Any, /, *, only: Filter = ..., graph: bool | None = None) -> str:
    """List, for each class in a model with a method `set_view`, what `view` can set.

    Descriptions come from the section ``Args:`` of the docstring of the method.

    Args:
      node: the model.
      only: which modules.
      graph: see `split`.

    Example:
        >>> from ramie import nnx
        >>> class Gate(nnx.Module):
        ...     def set_view(self, is_open: bool | None = None, **kwargs):
        ...         '''Open or close.
        ...
        ...         Args:
        ...           is_open: whether anything passes.
        ...         '''
        ...         return kwargs
        >>> print(nnx.view_info(Gate()))
        Gate:
          is_open: bool | None = None
            whether anything passes.
    """
    classes = {type(module) for module in _chosen(node, only, graph) if hasattr(module, "set_view")}
    return "\n".join(
        line for cls in sorted(classes, key=lambda cls: cls.__qualname__) for line in _lines(cls)
    )


def _lines(cls: Any) -> list[str]:
    method = cls.set_view
    signature = inspect.signature(method)
    described = _described(inspect.getdoc(method) or "")
    lines = [f"{cls.__qualname__}:"]
    if not described:
        return [*lines, f"  set_view{signature}"]
    for name, parameter in list(signature.parameters.items())[1:]:
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            lines.append(f"  {parameter}")
            lines += [f"    {line}" for line in described.get(name, [])]
    return lines


def _described(doc: str) -> dict[str, list[str]]:
    """Read the section ``Args:`` of a docstring: for each name its lines, without indentation."""
    _, found, section = doc.partition("Args:\n")
    described: dict[str, list[str]] = {}
    outer: int | None = None
    for line in section.splitlines() if found else ():
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if text and not depth:  # the next section
            break
        outer = depth if outer is None else outer
        if depth <= outer and ":" in text:
            name, _, first = text.partition(":")
            described[name.split("(")[0].strip()] = [first.strip()]
        elif text and described:
            described[next(reversed(described))].append(text)
    return described


# --- other nodes ----------------------------------------------------------------------------------


def recursive_map(f: Callable[[Path, Any], Any], node: Any, /, *, graph: bool | None = None) -> Any:
    """Copy a model, and put ``f(path, part)`` in place of each part, from the inside out.

    Args:
      f: gets the path and each module, variable, array or other leaf, the parts inside being
        replaced already; returns what comes in its place. What is shared is asked for once.
      node: the model; it stays as it is. Variables are shared with it.
      graph: see `split`.

    Raises:
      ValueError: in tree mode, if the model is no tree.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.List([1, 2]), b=3)
        >>> def reversed_lists(path, x):
        ...     return nnx.List(reversed(x)) if isinstance(x, nnx.List) else x
        >>> list(nnx.recursive_map(reversed_lists, model).a)
        [2, 1]
    """
    for _ in iter_graph(node, graph=graph):  # refuses what is no tree, if it has to be one
        pass
    return _mapped(f, node, (), {})


_UNFINISHED = object()


def _mapped(f: Callable[[Path, Any], Any], x: Any, path: Path, done: dict[int, Any]) -> Any:
    is_shared = isinstance(x, Pytree | Variable)
    if is_shared:
        if done.get(id(x)) is _UNFINISHED:
            raise ValueError(
                f"Found a cycle: the {type(x).__name__} at {path} holds itself, so it cannot be "
                "finished before what is inside of it."
            )
        if id(x) in done:
            return done[id(x)]
        done[id(x)] = _UNFINISHED
    pairs = list(members(x))
    changed = [(key, _mapped(f, value, (*path, key), done)) for key, value in pairs]
    mapped = f(path, _with_members(x, pairs, changed))
    if is_shared:
        done[id(x)] = mapped
    return mapped


def _with_members(x: Any, pairs: list[tuple[Any, Any]], changed: list[tuple[Any, Any]]) -> Any:
    """Copy an object or container, with other members at the same keys."""
    if isinstance(x, Pytree):
        copied = copying.copy(x)
        for (key, before), (_, after) in zip(pairs, changed, strict=True):
            if before is not after:
                setattr(copied, str(key), after)
        return copied
    if not pairs:
        return x
    if type(x) is dict:
        return {**x, **dict(changed)}
    _, treedef = jax.tree_util.tree_flatten(x, is_leaf=lambda y: y is not x)
    return jax.tree_util.tree_unflatten(treedef, [value for _, value in changed])
