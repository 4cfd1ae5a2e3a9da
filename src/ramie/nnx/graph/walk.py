"""The walk over a model and the way back: `walk` and `build`.

There is one walk. It lists what it meets (the structure) and the variables and arrays (the leaves)
in the same order; `build` reads both and makes the objects again. Paths are not computed on the
way: they follow from the structure, once per structure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.structure import (
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
from ramie.nnx.modes import set_graph_mode
from ramie.nnx.objects.layout import key_of_name
from ramie.nnx.objects.marks import is_plain
from ramie.nnx.objects.pytree import Pytree, check_statics, layout
from ramie.nnx.states.nested import Path, sorted_keys
from ramie.nnx.variable.base import Variable

__all__ = [
    "build",
    "check_tree_node",
    "children",
    "entries_of",
    "has_identity",
    "is_object",
    "iter_graph",
    "key_of",
    "members",
    "rebuilt",
    "walk",
]

_VARIABLE, _NODE, _ARRAY, _REF, _STATIC, _SEQUENCE, _DICT, _OTHER = range(8)
_WITH_IDENTITY = frozenset((_VARIABLE, _NODE, _REF))
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
    if not isinstance(x, jax.core.Tracer):  # one class traces arrays and references
        _kinds[cls] = kind
    return kind


def is_object(x: Any) -> bool:
    """Tell whether something is an instance of a Pytree class, faster than asking the class."""
    return _kinds.get(x.__class__) == _NODE or isinstance(x, Pytree)


def has_identity(x: Any) -> bool:
    """Tell whether something is a Pytree, a variable or an array reference."""
    kind = _kinds.get(x.__class__)
    return (_kind(x.__class__, x) if kind is None else kind) in _WITH_IDENTITY


def key_of(entry: Any) -> Any:
    """Return the key inside an entry of a key path of JAX."""
    for name in ("key", "name", "idx"):
        if hasattr(entry, name):
            return getattr(entry, name)
    return entry


class _Sorted(NamedTuple):
    """The structure of a pytree whose children were put into the order of their keys.

    Attributes:
      treedef: the structure, with the children as leaves.
      places: for each child of it, the place of its key in the order.
    """

    treedef: Any
    places: tuple[int, ...]

    def build(self, children: Sequence[Any]) -> Any:
        """Make the pytree of its children in the order of their keys."""
        return jax.tree_util.tree_unflatten(self.treedef, [children[i] for i in self.places])


def _one_level(x: Any) -> tuple[tuple[Any, ...], list[Any], Any]:
    """Return keys and children of a pytree, in the order of the keys, and what makes it of them."""
    found, treedef = jax.tree_util.tree_flatten_with_path(x, is_leaf=lambda y: y is not x)
    if found and not found[0][0]:  # no node at all
        return (), [], treedef
    given = tuple(key_of(path[0]) for path, _ in found)
    children = [child for _, child in found]
    try:
        keys = tuple(sorted_keys(given))
    except TypeError:  # keys of some other kind
        keys = given
    if keys == given or len(set(given)) < len(given):
        return given, children, treedef
    order = [given.index(key) for key in keys]
    return (
        keys,
        [children[i] for i in order],
        _Sorted(treedef, tuple(map(keys.index, given))),
    )


def _missing(node: Pytree, error: KeyError) -> ValueError:
    return ValueError(
        f"A {type(node).__name__} lost its attribute {error} behind its back, as deleting from "
        "vars(...) does. Use `del node.name`, so that the object knows."
    )


def _place(root: Any, node: Any, several: bool) -> str:
    """Write where a node is inside of a model, such as "blocks[0].layer"; "" for the root."""
    try:
        path = next(path for path, x in iter_graph(root, graph=True) if x is node)
    except RecursionError:  # a container that holds itself
        return ""
    keys = path[1:] if several else path
    return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys).lstrip(".")


def walk(
    root: Any,
    objects: list[Any] | None = None,
    *,
    several: bool = False,
    index: dict[int, int] | None = None,
    others: list[Any] | None = None,
    as_tree: bool = False,
) -> tuple[GraphDef[Any], list[Any]]:
    """Walk over a model, and look up the structure; see `entries_of`.

    Returns:
      The structure, and the variables and arrays in its order; a shared one counts once.
    """
    entries, leaves = entries_of(
        root, objects, several=several, index=index, others=others, as_tree=as_tree
    )
    return structure_of(entries), leaves


def entries_of(
    root: Any,
    objects: list[Any] | None = None,
    *,
    several: bool = False,
    index: dict[int, int] | None = None,
    others: list[Any] | None = None,
    as_tree: bool = False,
) -> tuple[list[Any], list[Any]]:
    """Walk over a model.

    Args:
      root: a Pytree, a variable, an array, or any pytree of them.
      objects: gets each Pytree, variable and array reference when it is first met.
      several: whether `root` is a sequence of roots; what they share is met once.
      index: numbers of the objects that were met before, by identity; new ones are added. The
        caller keeps the objects alive.
      others: gets whatever is neither an object nor a static attribute: containers, arrays.
      as_tree: whether plain values in containers are leaves, as everywhere in JAX.

    Returns:
      What a structure is made of, and the variables and arrays in its order; a shared one counts
      once.

    Raises:
      ValueError: if an object lost attributes without knowing, or if modules or variables were put
        into a static attribute after it was assigned.
    """
    entries: list[Any] = []
    leaves: list[Any] = []
    if index is None:
        index = {}  # by identity; all of these objects are held by `root`
    add = entries.append
    known = _kinds

    # If it read its own name, it would hold itself, and with it the arrays of the model until the
    # garbage collector runs: the next step would find their memory taken. So it is handed over.
    def visit(x: Any, again: Any, is_attribute: bool = False) -> None:
        cls = x.__class__
        kind = known.get(cls)
        if kind is None:
            kind = _kind(cls, x)
        if objects is not None and kind in _WITH_IDENTITY and id(x) not in index:
            objects.append(x)
        elif others is not None and kind not in _WITH_IDENTITY and x is not None:
            others.append(x)
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
            try:
                hash(statics)
            except TypeError:
                check_statics(x, statics, lambda: _place(root, x, several))
            add(_tuple_new(NodeDef, (cls, its_layout, statics, kinds, x._pytree__life)))
            for child in inner:
                again(child, again, True)
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
            if (is_attribute or as_tree) and x is not None:  # declared as data, whatever it is
                add(LEAF)
                leaves.append(x)
            else:
                add(Static(cls, x))
        elif kind is _SEQUENCE:
            add(ContainerDef(cls, tuple(range(len(x)))))
            for child in x:
                again(child, again)
        elif kind is _DICT:
            keys = tuple(sorted_keys(x))
            add(ContainerDef(cls, keys))
            for key in keys:
                again(x[key], again)
        else:
            keys, inner, treedef = _one_level(x)
            add(ContainerDef(treedef, keys))
            for child in inner:
                again(child, again)

    if several:
        add(ContainerDef(tuple, tuple(range(len(root)))))
        for one in root:
            visit(one, visit, True)
    else:
        visit(root, visit, True)
    return entries, leaves


def build(
    graphdef: GraphDef[Any],
    leaves: Sequence[Any],
    boxed: bool = True,
    *,
    made: list[Any] | None = None,
    filled: list[Any] | None = None,
    known: Sequence[Any] = (),
) -> Any:
    """Make the objects that a structure describes.

    Args:
      graphdef: the structure.
      leaves: for each leaf of it, a variable, which becomes part of the model as it is; or a
        value, around which a new variable of the recorded kind is made.
      boxed: whether that is done; else the value itself takes the place of the variable.
      made: gets the objects in the order in which `walk` numbers them. What is in it already was
        met before.
      filled: gets what takes the place of each leaf.
      known: for each Pytree by that number, the object that gets the attributes, or None for a
        new one.

    Returns:
      What `walk` was given, but new objects, except for these variables and what is known.

    Raises:
      TraceContextError: if a known object would change that belongs to another trace.
    """
    next_entry = iter(graphdef.nodes).__next__
    next_leaf = iter(leaves).__next__
    if made is None:
        made = []
    if filled is None:
        filled = []
    trace = trace_token()

    def make(again: Any) -> Any:  # see `walk`
        entry: Any = next_entry()
        cls = entry.__class__
        if cls is NodeDef:
            its_layout = entry.layout
            before = known[len(made)] if known else None
            node = before
            if before is None:
                node = entry.type._pytree__empty(its_layout, entry.life, trace)
                node.__dict__.update(its_layout.blank)
            made.append(node)
            attributes = node.__dict__ if before is None else {}
            attributes.update(zip(its_layout.static, entry.statics, strict=True))
            for name in its_layout.data:
                attributes[name] = again(again)
            if before is not None:
                before._pytree__become(its_layout, entry.life, attributes)
            return node
        if cls is VariableDef or isinstance(entry, VariableDef):
            leaf = next_leaf()
            if boxed and not isinstance(leaf, Variable):
                leaf = entry.type._make(leaf, entry.metadata, trace)
            made.append(leaf)
            filled.append(leaf)
            return leaf
        if entry is LEAF:
            filled.append(next_leaf())
            return filled[-1]
        if entry is REF:
            made.append(next_leaf())
            filled.append(made[-1])
            return made[-1]
        if cls is Static:
            return entry.value
        if cls is NodeRef:
            return made[entry.index]
        inner = [again(again) for _ in entry.keys]
        if entry.kind is list:
            return inner
        if entry.kind is tuple:
            return tuple(inner)
        if entry.kind is dict:
            return dict(zip(entry.keys, inner, strict=True))
        if isinstance(entry.kind, _Sorted):
            return entry.kind.build(inner)
        return jax.tree_util.tree_unflatten(entry.kind, inner)

    return make(make)


# --- looking around -------------------------------------------------------------------------------


def members(x: Any) -> Iterator[tuple[Any, Any]]:
    """List key and value of all that a node holds, static attributes included, sorted by key."""
    if isinstance(x, Pytree):
        attributes = vars(x)
        names = layout(x).status
        convert: Callable[[str], Any] = key_of_name if x._pytree__as_index else str
        yield from ((key, attributes[str(key)]) for key in sorted_keys(map(convert, names)))
    elif isinstance(x, list | tuple) and type(x) in _kinds:
        yield from enumerate(x)
    elif type(x) is dict:
        yield from ((key, x[key]) for key in sorted_keys(x))
    elif _kinds.get(type(x), _OTHER) == _OTHER and not isinstance(x, Variable | None):
        keys, inner, _ = _one_level(x)
        yield from zip(keys, inner, strict=True)


def rebuilt(x: Any, changed: Mapping[Any, Any]) -> Any:
    """Make a container again with other values at some of its keys.

    Args:
      x: a pytree that is no object: a tuple, a struct dataclass, ...
      changed: the values by key.
    """
    keys, inner, treedef = _one_level(x)
    values = [changed.get(key, child) for key, child in zip(keys, inner, strict=True)]
    if isinstance(treedef, _Sorted):
        return treedef.build(values)
    return jax.tree_util.tree_unflatten(treedef, values)


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
    return _listed(node, (), {}, is_tree)


def _listed(x: Any, path: Path, seen: dict[int, Path], is_tree: bool) -> Iterator[tuple[Path, Any]]:
    if isinstance(x, Pytree | Variable | jax.Ref):
        if is_tree:
            check_tree_node(x, path, seen.get(id(x)))
        if id(x) in seen:
            return
        seen[id(x)] = path
    for key, value in members(x):
        yield from _listed(value, (*path, key), seen, is_tree)
    yield path, x
