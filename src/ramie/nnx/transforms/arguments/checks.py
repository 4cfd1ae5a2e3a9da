"""What transformations look for in arguments and outputs, and what they say about it."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten_with_path, tree_leaves

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import has_identity, key_of, members, walk
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.states.nested import Path
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.prefixes import Mode, Prefixes
from ramie.nnx.variable.base import Variable

__all__ = [
    "is_tree",
    "met",
    "placed",
    "refuse_captured",
    "refuse_graph",
    "refuse_other_values",
    "value_of",
]


def refuse_other_values(operands: Any, name: str) -> None:
    """Check that arguments hold only what JAX takes.

    Args:
      operands: the arguments, taken apart.
      name: the transformation, for messages.

    Raises:
      TypeError: naming the place and the type of what is something else.
    """
    outline = operands.outline
    for path, x in zip(outline.paths(), outline.joined(operands.groups), strict=True):
        for leaf in tree_leaves(x):
            if isinstance(leaf, _TAKEN) or hasattr(leaf, "__jax_array__"):
                continue
            kind, *rest = path
            where = "".join(f"[{key!r}]" for key in rest)
            raise TypeError(
                f"nnx.{name} got a value of type {type(leaf).__name__} at "
                f"{'kwargs' if kind else 'args'}{where}, which is no array. Make it static: with "
                "static_argnums or static_argnames if it is an argument, with nnx.static(...) if "
                "it is an attribute of a module."
            )


def value_of(leaf: Any) -> Any:
    """Return what passes through a transformation for a variable or an array."""
    return leaf._raw_value if isinstance(leaf, Variable) else leaf


_TAKEN = (jax.Array, np.ndarray, np.generic, bool, int, float, complex, jax.Ref)


def is_tree(definition: Any) -> bool:
    """Tell whether a root may be there in tree mode."""
    return definition.__class__ is not GraphDef or bool(definition.is_tree)


def placed(
    prefixes: Prefixes, tree: Any, outline: Outline, leaves: Sequence[Any]
) -> tuple[int, ...]:
    """Return the group of each leaf of a tree.

    Args:
      prefixes: of the tree.
      tree: modules, variables and values.
      outline: its structure.
      leaves: its variables and arrays.

    Raises:
      ValueError: if the prefixes do not fit.
    """
    if prefixes.goes_inside:
        found = [
            slot.first
            for slot, subtree in zip(prefixes.slots, prefixes.subtrees(tree), strict=True)
            for _ in tree_leaves(subtree, is_leaf=_is_leaf)
        ]
        if len(found) != len(leaves):
            raise ValueError(
                f"The prefixes in `{prefixes.name}` are for {len(found)} leaves, but there are "
                f"{len(leaves)}."
            )
        return tuple(found)
    slots = prefixes.slots_of(tree)
    if outline.shared:
        pairs = zip(outline.definitions[0].paths, leaves, strict=True)
        return tuple(slots[path[0]].place(path[1:], leaf) for path, leaf in pairs)
    places: list[int] = []
    for slot, definition in zip(slots, outline.definitions, strict=True):
        paths = definition.paths if definition.__class__ is GraphDef else ((),)
        if slot.mapping is None:
            places.extend([slot.first] * len(paths))
        else:
            start = len(places)
            places.extend(
                slot.place(path, leaves[start + number]) for number, path in enumerate(paths)
            )
    return tuple(places)


def _is_leaf(x: Any) -> bool:
    return isinstance(x, Variable | jax.Ref)


def met(prefixes: Prefixes, tree: Any) -> Iterator[tuple[Any, Path, Any]]:
    """List all leaves of a tree with path and prefix; what is shared by roots, several times."""
    found, _ = tree_flatten_with_path(tree, is_leaf=has_identity)
    for (path, root), slot in zip(found, prefixes.slots_of(tree), strict=True):
        if not has_identity(root):
            continue
        definition, leaves = walk(root)
        before = tuple(map(key_of, path))
        for inner, leaf in zip(definition.paths, leaves, strict=True):
            yield leaf, (*before, *inner), prefixes.values[slot.place(inner, leaf)]


def refuse_captured(objects: Sequence[Any], known: Any, mode: Mode) -> None:
    """Check that an output has no objects in it that belong to another trace.

    Args:
      objects: all objects in the output.
      known: contains the identities of those that were passed in.
      mode: of the transformation.

    Raises:
      ValueError: if there is one.
    """
    trace = trace_token()
    for x in objects:
        if id(x) in known:
            continue
        if isinstance(x, Variable):
            is_foreign = x._trace_token is not trace
        elif isinstance(x, Pytree):
            is_foreign = mode.updates and x._pytree__trace is not trace
        else:
            is_foreign = False
        if not is_foreign:
            continue
        what = f"The output of a function under nnx.{mode.name} holds a {type(x).__name__} that"
        if mode.updates:
            raise ValueError(
                f"Cannot extract graph node from different trace level. {what} was made outside "
                "of it and not passed in. Pass it in as an argument."
            )
        raise ValueError(
            f"Cannot return captured Variable. {what} was made outside of it. The caller has it "
            "already; return its value, variable[...], or a copy."
        )


def refuse_graph(tree: Any, mode: Mode, out: Any = None) -> None:
    """Say what in arguments and output is shared, or is no pytree.

    Args:
      tree: the arguments; a pair is taken for (args, kwargs).
      mode: of the transformation.
      out: the output.

    Raises:
      ValueError: in any case.
    """
    if isinstance(tree, tuple) and len(tree) == 2 and isinstance(tree[1], dict):
        named: dict[str, Any] = {"args": tree[0], **tree[1], "out": out}
    else:
        named = {"args": tree, "out": out}
    seen: dict[int, Path] = {}
    for name, value in named.items():
        for path, x in _every(value, (name,)):
            before = seen.setdefault(id(x), path)
            if before is path:
                continue
            raise ValueError(
                f"Duplicate {x!r}\nfound at paths:\n\n  - {_text(before)}\n  - {_text(path)}\n\n"
                f"nnx.{mode.name} with graph_updates=False does not support Variable aliasing: "
                "one variable passed in twice, returned twice, or passed in and returned. Remove "
                "one of them, or make a copy with nnx.clone(...), or switch graph mode on: "
                f"nnx.{mode.name}(..., graph=True, graph_updates=True), which nnx.compat."
                f"{mode.name} does."
            )
    for name, value in named.items():
        for path, x in _every(value, (name,), nodes=True):
            if isinstance(x, Pytree) and not x._pytree__is_pytree:
                raise ValueError(
                    f"The class {type(x).__name__} says pytree=False, so tree mode (graph=False) "
                    f"cannot look inside. Found at {_text(path)}. Pass graph=True to "
                    f"nnx.{mode.name}, or make the class a pytree."
                )


def _every(tree: Any, path: Path, nodes: bool = False) -> Iterator[tuple[Path, Any]]:
    """List the variables in a tree with their paths, as often as they occur.

    Args:
      tree: the tree.
      path: begins the paths.
      nodes: whether Pytrees are listed too.
    """
    found, _ = tree_flatten_with_path(tree, is_leaf=has_identity)
    for keys, root in found:
        if not has_identity(root):
            continue
        before = (*path, *map(key_of, keys))
        if not isinstance(root, Pytree):
            yield before, root
            continue
        yield from _inside(root, before, nodes, ())


def _inside(x: Any, path: Path, nodes: bool, above: tuple[int, ...]) -> Iterator[tuple[Path, Any]]:
    if id(x) in above:
        return
    if isinstance(x, Variable | jax.Ref):
        yield path, x
        return
    if isinstance(x, Pytree) and nodes:
        yield path, x
    for key, value in members(x):
        yield from _inside(value, (*path, key), nodes, (*above, id(x)))


def _text(path: Path) -> str:
    return str(path[0]) + "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in path[1:]
    )
