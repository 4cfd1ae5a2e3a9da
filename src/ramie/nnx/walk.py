"""The walk over a model and the way back: `walk` and `build`.

There is one walk. It lists what it meets (the structure) and the variables and arrays (the leaves)
in the same order; `build` reads both and makes the objects again. Paths are not computed on the
way: they follow from the structure, once per structure.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ramie.core.trace import trace_token
from ramie.nnx.marks import is_plain
from ramie.nnx.modes import set_graph_mode
from ramie.nnx.nested import Path, sorted_keys
from ramie.nnx.pytree import Pytree, layout
from ramie.nnx.structure import (
    LEAF,
    REF,
    ContainerDef,
    GraphDef,
    NodeDef,
    NodeRef,
    Static,
    VariableDef,
    structure_of,
)
from ramie.nnx.variable.base import Variable

__all__ = [
    "build",
    "check_tree_node",
    "children",
    "is_object",
    "iter_graph",
    "key_of",
    "members",
    "walk",
]

_VARIABLE, _NODE, _ARRAY, _REF, _STATIC, _SEQUENCE, _DICT, _OTHER = range(8)
_kinds: dict[type, int] = {
    list: _SEQUENCE,
    tuple: _SEQUENCE,
    dict: _DICT,
    np.ndarray: _ARRAY,
}
_tuple_new = tuple.__new__


def _kind(cls: type, x: Any) -> int:
    """Say how the walk treats instances of a class; remembered unless it may change."""
    if issubclass(cls, Variable):
        kind = _VARIABLE
    elif issubclass(cls, Pytree):
        kind = _NODE
    elif isinstance(x, jax.Ref):
        kind = _REF
    elif isinstance(x, jax.Array | np.ndarray):
        kind = _ARRAY
    elif is_plain(x):
        kind = _STATIC
    else:
        # A class may be registered as a pytree later on.
        return _STATIC if x is None or jax.tree_util.all_leaves([x]) else _OTHER
    _kinds[cls] = kind
    return kind


def is_object(x: Any) -> bool:
    """Tell whether something is an instance of a Pytree class, faster than asking the class."""
    return _kinds.get(x.__class__) == _NODE or isinstance(x, Pytree)


def key_of(entry: Any) -> Any:
    """Return the key inside an entry of a key path of JAX."""
    for name in ("key", "name", "idx"):
        if hasattr(entry, name):
            return getattr(entry, name)
    return entry


def _one_level(x: Any) -> tuple[tuple[Any, ...], list[Any], Any]:
    """Return keys and children of a pytree, and its structure with the children as leaves."""
    found, treedef = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
    if found and not found[0][0]:  # no node at all
        return (), [], treedef
    return tuple(key_of(path[0]) for path, _ in found), [child for _, child in found], treedef


def _missing(node: Pytree, error: KeyError) -> ValueError:
    return ValueError(
        f"A {type(node).__name__} lost its attribute {error} behind its back, as deleting from "
        "vars(...) does. Use `del node.name`, so that the object knows."
    )


def walk(root: Any, met: list[Pytree | None] | None = None) -> tuple[GraphDef[Any], list[Any]]:
    """Walk over a model.

    Args:
      root: a Pytree, a variable, an array, or any pytree of them.
      met: gets each object of a Pytree class when it is first met, and None for whatever is
        neither that nor a variable nor a static attribute.

    Returns:
      The structure, and the variables and arrays in its order; a shared one counts once.

    Raises:
      ValueError: if an object lost attributes without knowing.
    """
    entries: list[Any] = []
    leaves: list[Any] = []
    index: dict[int, int] = {}  # by identity; all of these objects are held by `root`
    add = entries.append
    known = _kinds

    def visit(x: Any, is_attribute: bool = False) -> None:
        cls = x.__class__
        kind = known.get(cls)
        if kind is None:
            kind = _kind(cls, x)
        if met is not None and kind is not _VARIABLE:
            if kind is _NODE:
                if id(x) not in index:
                    met.append(x)
            elif x is not None:
                met.append(None)
        if kind is _VARIABLE:
            if id(x) in index:
                add(NodeRef(index[id(x)]))
                return
            index[id(x)] = len(index)
            metadata = x._var_metadata
            add(metadata.defs.get(cls) or metadata.definition(cls))
            leaves.append(x)
        elif kind is _NODE:
            if id(x) in index:
                add(NodeRef(index[id(x)]))
                return
            index[id(x)] = len(index)
            attributes, its_layout = x.__dict__, x._pytree__layout or layout(x)
            try:
                statics = its_layout.static_of(attributes)
                inner = its_layout.data_of(attributes)
            except KeyError as error:
                raise _missing(x, error) from None
            kinds = tuple(map(type, statics))
            add(_tuple_new(NodeDef, (cls, its_layout, statics, kinds, x._pytree__life)))
            for child in inner:
                visit(child, True)
        elif kind is _ARRAY:
            add(LEAF)
            leaves.append(x)
        elif kind is _REF:
            if id(x) in index:
                add(NodeRef(index[id(x)]))
                return
            index[id(x)] = len(index)
            add(REF)
            leaves.append(x)
        elif kind is _STATIC:
            if is_attribute and x is not None:  # declared as data, whatever it is
                add(LEAF)
                leaves.append(x)
            else:
                add(Static(cls, x))
        elif kind is _SEQUENCE:
            add(ContainerDef(cls, tuple(range(len(x)))))
            for child in x:
                visit(child)
        elif kind is _DICT:
            keys = tuple(sorted_keys(x))
            add(ContainerDef(cls, keys))
            for key in keys:
                visit(x[key])
        else:
            keys, inner, treedef = _one_level(x)
            add(ContainerDef(treedef, keys))
            for child in inner:
                visit(child)

    visit(root, True)
    return structure_of(entries), leaves


def build(graphdef: GraphDef[Any], leaves: Sequence[Any], boxed: bool = True) -> Any:
    """Make the objects that a structure describes.

    Args:
      graphdef: the structure.
      leaves: for each leaf of it, a variable, which becomes part of the model as it is; or a
        value, around which a new variable of the recorded kind is made.
      boxed: whether that is done; else the value itself takes the place of the variable.

    Returns:
      What `walk` was given, but new objects, except for these variables.
    """
    next_entry = iter(graphdef.nodes).__next__
    next_leaf = iter(leaves).__next__
    made: list[Any] = []
    trace = trace_token()

    def make() -> Any:
        entry: Any = next_entry()
        cls = entry.__class__
        if cls is NodeDef:
            its_layout = entry.layout
            node = entry.type._pytree__empty(its_layout, entry.life, trace)
            made.append(node)
            attributes = node.__dict__
            attributes.update(zip(its_layout.static, entry.statics, strict=True))
            for name in its_layout.data:
                attributes[name] = make()
            return node
        if cls is VariableDef or isinstance(entry, VariableDef):
            leaf = next_leaf()
            if boxed and not isinstance(leaf, Variable):
                leaf = entry.type._make(leaf, entry.metadata, trace)
            made.append(leaf)
            return leaf
        if entry is LEAF:
            return next_leaf()
        if entry is REF:
            made.append(next_leaf())
            return made[-1]
        if cls is Static:
            return entry.value
        if cls is NodeRef:
            return made[entry.index]
        inner = [make() for _ in entry.keys]
        if entry.kind is list:
            return inner
        if entry.kind is tuple:
            return tuple(inner)
        if entry.kind is dict:
            return dict(zip(entry.keys, inner, strict=True))
        return jax.tree_util.tree_unflatten(entry.kind, inner)

    return make()


# --- looking around -------------------------------------------------------------------------------


def members(x: Any) -> Iterator[tuple[Any, Any]]:
    """List key and value of all that a node holds, static attributes included, sorted by key."""
    if isinstance(x, Pytree):
        attributes = vars(x)
        names = layout(x).status
        convert: Callable[[str], Any] = int if x._pytree__as_index else str
        yield from ((key, attributes[str(key)]) for key in sorted_keys(map(convert, names)))
    elif isinstance(x, list | tuple) and type(x) in _kinds:
        yield from enumerate(x)
    elif type(x) is dict:
        yield from ((key, x[key]) for key in sorted_keys(x))
    elif _kinds.get(type(x), _OTHER) == _OTHER and not isinstance(x, Variable | None):
        keys, inner, _ = _one_level(x)
        yield from zip(keys, inner, strict=True)


def check_tree_node(x: Any, path: Path, before: Path | None) -> None:
    """Check that an object may be part of a model in tree mode.

    Args:
      x: the object.
      path: where it was met.
      before: where it was met before.

    Raises:
      ValueError: if it was met before, or its class is no pytree.
    """
    if before is not None:
        places = "\n".join("  - " + "".join(f".{key}" for key in place) for place in (before, path))
        raise ValueError(
            f"Duplicate {x!r}\nfound at paths:\n\n{places}\n\nTree mode (graph=False) does not "
            "support shared references. Remove the duplicates, or pass graph=True."
        )
    if isinstance(x, Pytree) and not x._pytree__is_pytree:
        raise ValueError(
            f"The class {type(x).__name__} says pytree=False, so tree mode (graph=False) cannot "
            f"look inside. Found at path {path}. Pass graph=True, or make the class a pytree."
        )


def children(x: Any) -> Iterator[tuple[Any, Any]]:
    """List the Pytrees and variables that a node holds directly, with their keys."""
    return ((k, value) for k, value in members(x) if isinstance(value, Pytree | Variable))


def iter_graph(node: Any, /, *, graph: bool | None = None) -> Iterator[tuple[Path, Any]]:
    """List all that a model holds with its path: what is inside comes before what holds it.

    Args:
      node: a Pytree, or any pytree. An object that is shared is listed once.
      graph: False refuses what is no tree: shared nodes, and classes that are no pytrees.

    Raises:
      ValueError: in tree mode, if the model is no tree.

    Example:
        >>> from ramie import nnx
        >>> [path for path, _ in nnx.iter_graph(nnx.Dict(a=nnx.Dict(b=1)))]
        [('a', 'b'), ('a',), ()]
    """
    is_tree = not (set_graph_mode.current_value() if graph is None else graph)
    seen: dict[int, Path] = {}

    def visit(x: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        if isinstance(x, Pytree | Variable | jax.Ref):
            if is_tree:
                check_tree_node(x, path, seen.get(id(x)))
            if id(x) in seen:
                return
            seen[id(x)] = path
        for key, value in members(x):
            yield from visit(value, (*path, key))
        yield path, x

    return visit(node, ())
