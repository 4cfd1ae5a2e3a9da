"""Trees without modules: `to_tree` and `from_tree` for transformations of JAX by hand; `prefix`."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import jax
from jax.tree_util import tree_flatten, tree_flatten_with_path

from ramie.nnx.graph import functional
from ramie.nnx.graph.contexts import MergeContext, SplitContext, merge_context, split_context
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import has_identity, key_of
from ramie.nnx.modes import set_graph_mode
from ramie.nnx.printing.text import short_text
from ramie.nnx.states.filters import to_predicate
from ramie.nnx.states.nested import Path
from ramie.nnx.states.state import State
from ramie.nnx.transforms.arguments.checks import met
from ramie.nnx.transforms.arguments.prefixes import (
    Mode,
    Prefixes,
    PrefixMapping,
    check_same_prefixes,
)
from ramie.trees import struct
from ramie.typing import MISSING

__all__ = [
    "ExtractIndex",
    "NodeStates",
    "TreeState",
    "clear_non_graph_nodes",
    "extract",
    "from_tree",
    "insert",
    "is_tree_node",
    "prefix",
    "to_tree",
]

A = TypeVar("A")
_MODE = Mode(graph=True, updates=True, name="to_tree")


@struct.dataclass
class NodeStates:
    """What `to_tree` puts in place of a module: its structure and one or more states.

    Attributes:
      states: the states.
      metadata: anything static.
    """

    _graphdef: GraphDef[Any] | None
    states: tuple[Any, ...]
    metadata: Any = struct.field(pytree_node=False)

    @property
    def graphdef(self) -> GraphDef[Any]:
        """The structure.

        Raises:
          ValueError: if there is none, as among prefixes.
        """
        if self._graphdef is None:
            raise ValueError(
                f"These NodeStates have no graphdef: they are {len(self.states)} states only."
            )
        return self._graphdef

    @property
    def state(self) -> Any:
        """The state.

        Raises:
          ValueError: if there are several.
        """
        if len(self.states) != 1:
            raise ValueError(f"Expected exactly one state, but there are {len(self.states)}.")
        return self.states[0]

    @classmethod
    def from_split(
        cls, graphdef: GraphDef[Any], state: Any, /, *states: Any, metadata: Any = None
    ) -> Self:
        """Make one of what `split` returned."""
        return cls(graphdef, (state, *states), metadata)

    @classmethod
    def from_states(cls, state: Any, *states: Any) -> Self:
        """Make one without a structure."""
        return cls(None, (state, *states), None)

    @classmethod
    def from_prefixes(cls, prefixes: Sequence[Any], /, *, metadata: Any = None) -> Self:
        """Make a prefix of one: a prefix for each state."""
        return cls(None, tuple(prefixes), metadata)


def is_tree_node(x: Any) -> bool:
    """Tell whether something is what `to_tree` puts in place of a module."""
    return isinstance(x, NodeStates)


def _split(ctx: SplitContext, path: Any, prefix: Any, leaf: Any) -> Any:
    del path, prefix
    return NodeStates.from_split(*ctx.split(leaf)) if has_identity(leaf) else leaf


def _merge(ctx: MergeContext, path: Any, prefix: Any, leaf: Any) -> Any:
    del path, prefix
    return ctx.merge(leaf.graphdef, *leaf.states) if is_tree_node(leaf) else leaf


def to_tree(
    tree: Any,
    /,
    *,
    prefix: Any = MISSING,
    split_fn: Callable[[SplitContext, Any, Any, Any], Any] = _split,
    map_non_graph_nodes: bool = False,
    ctxtag: Hashable | None = None,
    check_aliasing: bool = True,
) -> Any:
    """Replace each module and variable in a pytree by a pytree of arrays.

    Args:
      tree: modules, variables and values.
      prefix: a prefix of the tree, such as ``in_axes``.
      split_fn: called with a `SplitContext`, the path, the prefix and the module or variable;
        returns what takes its place. By default `NodeStates`.
      map_non_graph_nodes: whether `split_fn` is called for all other leaves, too.
      ctxtag: of an `update_context`.
      check_aliasing: whether a variable that occurs several times has to have one prefix.

    Raises:
      ValueError: if it has not; if the prefix does not fit.

    Example:
        >>> from ramie import nnx
        >>> module = nnx.Dict(a=nnx.Param(1))
        >>> pure = nnx.to_tree((module, module))
        >>> first, second = nnx.from_tree(pure)
        >>> first is second
        True
    """
    treedef: Any
    found, treedef = tree_flatten_with_path(tree, is_leaf=has_identity)
    prefixes = Prefixes(None if prefix is MISSING else prefix, "prefix", _MODE)
    if check_aliasing and not prefixes.are_equal:
        check_same_prefixes(met(prefixes, tree), has_identity)
    pure = []
    with split_context(ctxtag) as ctx:
        for (path, x), slot in zip(found, prefixes.slots_of(tree), strict=True):
            if map_non_graph_nodes or has_identity(x):
                end = prefix if prefix is MISSING else slot.mapping or prefixes.values[slot.first]
                x = split_fn(ctx, path, end, x)
            pure.append(x)
    return treedef.unflatten(pure)


def from_tree(
    tree: Any,
    /,
    *,
    prefix: Any = MISSING,
    merge_fn: Callable[[MergeContext, Any, Any, Any], Any] = _merge,
    is_node_leaf: Callable[[Any], bool] = is_tree_node,
    is_leaf: Callable[[Any], bool] = is_tree_node,
    map_non_graph_nodes: bool = False,
    is_inner: bool | None = None,
    ctxtag: Hashable | None = None,
) -> Any:
    """Put modules and variables together again: `to_tree` backwards.

    Args:
      tree: what `to_tree` returned.
      prefix: a prefix of the tree.
      merge_fn: called with a `MergeContext`, the path, the prefix and what stands for a module.
      is_node_leaf: tells whether something stands for a module.
      is_leaf: tells where the tree ends.
      map_non_graph_nodes: whether `merge_fn` is called for all other leaves, too.
      is_inner: with a tag, whether this is inside of the trace; see `merge_context`.
      ctxtag: of an `update_context`.
    """
    treedef: Any
    found, treedef = tree_flatten_with_path(tree, is_leaf=is_leaf)
    ends = [MISSING] * len(found)
    if prefix is not MISSING:
        structure: Any
        prefixes, structure = tree_flatten(prefix, is_leaf=lambda x: x is None or is_leaf(x))
        parts: list[Any] = structure.flatten_up_to(tree)
        ends = [
            end
            for end, part in zip(prefixes, parts, strict=True)
            for _ in jax.tree_util.tree_leaves(part, is_leaf=is_leaf)
        ]
    merged = []
    with merge_context(ctxtag, is_inner) as ctx:
        for (path, x), end in zip(found, ends, strict=True):
            is_mapped = map_non_graph_nodes or is_node_leaf(x)
            merged.append(merge_fn(ctx, path, end, x) if is_mapped else x)
    return treedef.unflatten(merged)


def clear_non_graph_nodes(tree: Any) -> Any:
    """Replace what is neither module nor variable by None."""
    return jax.tree.map(lambda x: x if has_identity(x) else None, tree, is_leaf=has_identity)


@dataclasses.dataclass(frozen=True)
class ExtractIndex:
    """Stands for what `extract` took out of a tree.

    Attributes:
      index: its number.
    """

    index: int


def extract(
    f: Callable[[Any, Any, Any], bool],
    prefix: Any,
    tree: Any,
    *,
    is_leaf: Callable[[Any], bool] | None = None,
    prefix_leaf: Callable[[Any], bool] | None = None,
) -> tuple[Any, list[Any]]:
    """Take leaves out of a tree.

    Args:
      f: called with path, prefix and leaf; tells whether to take it.
      prefix: a prefix of the tree.
      tree: the tree.
      is_leaf: tells where the tree ends.
      prefix_leaf: tells where the prefix ends.

    Returns:
      The tree with `ExtractIndex` in place of what was taken, and the list of that.
    """
    structure: Any
    prefixes, structure = tree_flatten(
        prefix, is_leaf=lambda x: x is None or (prefix_leaf is not None and prefix_leaf(x))
    )
    parts: list[Any] = structure.flatten_up_to(tree)
    ends = [
        end
        for end, part in zip(prefixes, parts, strict=True)
        for _ in jax.tree_util.tree_leaves(part, is_leaf=is_leaf)
    ]
    treedef: Any
    found, treedef = tree_flatten_with_path(tree, is_leaf=is_leaf)
    taken: list[Any] = []
    rest: list[Any] = []
    for (path, x), end in zip(found, ends, strict=True):
        if f(path, end, x):
            rest.append(ExtractIndex(len(taken)))
            taken.append(x)
        else:
            rest.append(x)
    return treedef.unflatten(rest), taken


def insert(tree: Any, extracted: Sequence[Any]) -> Any:
    """Put back what `extract` took out.

    Args:
      tree: with `ExtractIndex` where something was.
      extracted: the list.
    """
    return jax.tree.map(
        lambda x: extracted[x.index] if isinstance(x, ExtractIndex) else x,
        tree,
        is_leaf=lambda x: isinstance(x, ExtractIndex),
    )


# --- prefixes -------------------------------------------------------------------------------------


class _Node(NamedTuple):
    """The static part of a TreeState."""

    graphdef: Any
    prefix_fn: Any
    aliased: tuple[tuple[Path, Any], ...]


class TreeState(PrefixMapping):
    """A prefix for each variable of a module; `prefix` makes it in graph mode.

    Args:
      graphdef: the structure of the module.
      state: the prefixes by path.
      prefix_fn: what they come from.
      aliased: paths and prefixes of variables that are in another `TreeState`.
    """

    def __init__(
        self,
        graphdef: GraphDef[Any],
        state: Any,
        prefix_fn: Any = None,
        aliased: tuple[tuple[Path, Any], ...] = (),
    ) -> None:
        self.graphdef = graphdef
        self.state = state
        self.prefix_fn = prefix_fn
        self._aliased = aliased
        is_mapping = isinstance(state, State)
        self._by_path = dict(state.flat_state()) if is_mapping else {(): state}
        self._by_path.update((p, x) for p, x in aliased if p not in self._by_path)

    def choices(self) -> Sequence[Any]:
        """Return all prefixes, each once."""
        found: list[Any] = []
        for value in self._by_path.values():
            if not any(value is x or (type(value) is type(x) and value == x) for x in found):
                found.append(value)
        return found

    def map_prefix(self, path: Path, variable: Any) -> Any:
        """Return the prefix of a leaf; see `PrefixMapping.map_prefix`.

        Raises:
          ValueError: if the module it was made of has nothing there.
        """
        if path in self._by_path:
            return self._by_path[path]
        if self.prefix_fn is not None:
            return self.prefix_fn(path, variable)
        raise ValueError(
            f"The prefix has nothing for {path}, only for {list(self._by_path)[:8]}: it was made "
            "by nnx.prefix for a module of other structure."
        )

    def __repr__(self) -> str:
        return f"TreeState({self.state!r})"


jax.tree_util.register_pytree_node(
    TreeState,
    lambda x: ((x.state,), _Node(x.graphdef, x.prefix_fn, x._aliased)),
    lambda node, children: TreeState(node.graphdef, children[0], node.prefix_fn, node.aliased),
)


def prefix(
    node: A, filter_map: Mapping[Any, Any] | Callable[..., Any], /, *, graph: bool | None = None
) -> A:
    """Make a tree of prefixes, one for each variable of a model, for modes without graph updates.

    Args:
      node: a module or any pytree; usually an abstract model.
      filter_map: prefixes by filter, the first that takes a variable decides; or a function of
        path and variable.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.

    Returns:
      In tree mode the model with prefixes in place of variables; in graph mode a pytree with a
      `TreeState` in place of each module.

    Raises:
      ValueError: if no filter takes some variable.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(a=nnx.Param(1), b=nnx.BatchStat(2))
        >>> axes = nnx.prefix(model, {nnx.Param: 0, ...: None}, graph=False)
        >>> axes.a, axes.b
        (0, None)
    """
    choose: Any = filter_map if callable(filter_map) else _chooser(filter_map)
    if not (set_graph_mode.current_value() if graph is None else graph):
        return functional.map(choose, node, graph=False, recreate_variables=False)
    treedef: Any
    found, treedef = tree_flatten_with_path(node, is_leaf=has_identity)
    made: list[Any] = []
    with split_context() as ctx:
        for keys, x in found:
            before = tuple(map(key_of, keys))
            if not has_identity(x):
                made.append(choose(before, x))
                continue

            def at(path: Path, leaf: Any, before: Path = before) -> Any:
                return choose((*before, *path), leaf)

            alone, state = functional.split(x, graph=True)
            everything = dict(zip(alone.paths, _leaves(state), strict=True))
            graphdef, own = ctx.split(x)
            own = own.map(at) if isinstance(own, State) else at((), own)
            aliased = tuple((path, at(path, leaf)) for path, leaf in everything.items())
            made.append(TreeState(graphdef, own, at, aliased))
    result: A = treedef.unflatten(made)
    return result


def _leaves(state: Any) -> Sequence[Any]:
    return state.flat_state().leaves if isinstance(state, State) else (state,)


def _chooser(filter_map: Mapping[Any, Any]) -> Callable[[Path, Any], Any]:
    predicates = [(to_predicate(filter), value) for filter, value in filter_map.items()]

    def choose(path: Path, leaf: Any) -> Any:
        for predicate, value in predicates:
            if predicate(path, leaf):
                return value
        raise ValueError(
            f"No filter matched leaf at path {path!r} with value {leaf!r}. "
            f"Filters: {', '.join(map(short_text, filter_map))}"
        )

    return choose
