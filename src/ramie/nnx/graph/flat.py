"""Models as a structure and a flat list, with numbers for their objects."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from ramie.nnx.graph.contexts import ContextDef, into_known
from ramie.nnx.graph.functional import leaves_for
from ramie.nnx.graph.structure import GraphDef
from ramie.nnx.graph.walk import build, iter_graph, walk
from ramie.nnx.modes import set_graph_mode
from ramie.nnx.states.state import FlatState
from ramie.nnx.variable.base import Variable

__all__ = ["IndexMap", "RefMap", "flatten", "unflatten"]


class RefMap(MutableMapping[Any, int]):
    """Numbers of objects; an object is looked up by its identity.

    Args:
      pairs: the objects and their numbers.

    Example:
        >>> from ramie import nnx
        >>> weight = nnx.Param(1)
        >>> numbers = RefMap({})
        >>> numbers[weight] = 0
        >>> weight in numbers, nnx.Param(1) in numbers
        (True, False)
    """

    def __init__(self, pairs: Any = ()) -> None:
        self._pairs: dict[int, tuple[Any, int]] = {}
        self.update(pairs)

    @classmethod
    def from_indexmap(cls, indexmap: Mapping[int, Any]) -> "RefMap":
        """Turn numbers and their objects around."""
        return cls((x, number) for number, x in indexmap.items())

    def __getitem__(self, key: Any) -> int:
        if id(key) not in self._pairs:
            raise KeyError(f"no number for this {type(key).__name__}")
        return self._pairs[id(key)][1]

    def __setitem__(self, key: Any, value: int) -> None:
        self._pairs[id(key)] = key, value

    def __delitem__(self, key: Any) -> None:
        self[key]
        del self._pairs[id(key)]

    def __contains__(self, key: object) -> bool:
        return id(key) in self._pairs

    def __iter__(self) -> Iterator[Any]:
        return (key for key, _ in self._pairs.values())

    def __len__(self) -> int:
        return len(self._pairs)


class IndexMap(dict[int, Any]):
    """Objects by number."""

    @classmethod
    def from_refmap(cls, refmap: RefMap) -> "IndexMap":
        """Turn objects and their numbers around."""
        return cls((number, x) for x, number in refmap.items())


def flatten(
    node: Any,
    /,
    *,
    with_paths: bool = True,
    ref_index: RefMap | None = None,
    ref_outer_index: RefMap | None = None,
    graph: bool | None = None,
) -> tuple[GraphDef[Any], Any]:
    """Take a model apart into its structure and the sequence of its leaves.

    Args:
      node: a Module or other Pytree, a variable, or any pytree of them.
      with_paths: whether to return leaves with their paths; else plain values.
      ref_index: numbers of objects that were met before; these become references, and new ones
        are added. So several models that share something are flattened one after the other.
      ref_outer_index: numbers of objects outside, to be remembered by the structure, so that
        `unflatten` can change these.
      graph: see `split`.

    Returns:
      The structure, and a `FlatState` or a list.

    Example:
        >>> from ramie import nnx
        >>> graphdef, values = nnx.flatten(nnx.Dict(a=nnx.Param(1)), with_paths=False)
        >>> values, nnx.unflatten(graphdef, values)["a"].get_value()
        ([1], 1)
    """
    as_tree = not (set_graph_mode.current_value() if graph is None else graph)
    if as_tree:
        for _ in iter_graph(node, graph=False):  # says what is no tree, and where
            pass
    before = {} if ref_index is None else {id(x): number for x, number in ref_index.items()}
    start = len(set(before.values()))  # an array reference has the number of its variable
    objects: list[Any] = []
    graphdef, leaves = walk(node, objects, index=before, as_tree=as_tree)
    if ref_index is not None:
        for number, x in enumerate(objects, start):
            ref_index[x] = number
            if isinstance(x, Variable) and x.ref:
                ref_index[x.get_raw_value()] = number
    if ref_outer_index is not None:
        sources = tuple(ref_outer_index.get(x) for x in objects)
        graphdef = ContextDef(graphdef.nodes, start, sources)
    if with_paths:
        return graphdef, FlatState.from_sorted_keys_values(graphdef.paths, leaves)
    return graphdef, [x.get_raw_value() if isinstance(x, Variable) else x for x in leaves]


def unflatten(
    graphdef: GraphDef[Any],
    state: Any,
    /,
    *,
    index_ref: IndexMap | None = None,
    outer_index_outer_ref: Mapping[int, Any] | None = None,
    copy_variables: bool = False,
    recreate_variables: bool = True,
) -> Any:
    """Put a model together: `flatten` backwards.

    Args:
      graphdef: the structure.
      state: a State, nested or flat, or a list of leaves.
      index_ref: objects that were made before, by number; new ones are added.
      outer_index_outer_ref: objects that are changed in place of making new ones, by the numbers
        that the structure remembers.
      copy_variables: whether variables in the state are copied.
      recreate_variables: whether plain values become variables again.

    Raises:
      ValueError: if leaves are missing, or are too many.
    """
    leaves: Sequence[Any] = leaves_for(graphdef, (state,))
    if copy_variables:
        leaves = [leaf.copy() if isinstance(leaf, Variable) else leaf for leaf in leaves]
    made = [] if index_ref is None else [index_ref[number] for number in range(len(index_ref))]
    known: list[Any] = []
    if outer_index_outer_ref is not None and isinstance(graphdef, ContextDef):
        outer = outer_index_outer_ref
        found = [None if number is None else outer.get(number) for number in graphdef.sources]
        known = [None] * len(made) + found
        leaves = into_known(graphdef, leaves, found)
    built = build(graphdef, leaves, recreate_variables, made=made, known=known)
    if index_ref is not None:
        index_ref.update(enumerate(made))
    return built
