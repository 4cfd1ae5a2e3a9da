"""Contexts: several splits that know of each other, and a trace and its caller that do.

Within a `split_context`, what one split has met is a reference in the next; a `merge_context` reads
them in the same order. Within an `update_context`, models that were split outside, merged inside of
a trace, changed, split there and merged outside again come back as the objects they were.
"""

import contextlib
import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax

from ramie.core.tracing.trace import trace_token
from ramie.nnx.graph.functional import as_states, leaves_for
from ramie.nnx.graph.structure import LEAF, REF, GraphDef, NodeDef, VariableDef
from ramie.nnx.graph.walk import build, walk
from ramie.nnx.states.filters import Filter
from ramie.nnx.variable.base import Variable

__all__ = [
    "ContextDef",
    "MergeContext",
    "SplitContext",
    "UpdateContext",
    "current_update_context",
    "merge_context",
    "split_context",
    "update_context",
]


class ContextDef(GraphDef[Any]):
    """A structure that refers to others of its context.

    Args:
      nodes: what the walk met.
      start: how many objects the splits before it met.
      sources: for each new object its number outside of the trace, or None.
    """

    __slots__ = ("sources", "start")

    def __init__(
        self, nodes: Sequence[Any], start: int = 0, sources: tuple[int | None, ...] = ()
    ) -> None:
        super().__init__(nodes)
        self.start = start
        self.sources = sources

    def __hash__(self) -> int:
        return hash((self.nodes, self.start, self.sources))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContextDef) and (
            self.nodes == other.nodes
            and self.start == other.start
            and self.sources == other.sources
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ContextDef, (self.nodes, self.start, self.sources)


jax.tree_util.register_pytree_node(
    ContextDef, lambda graphdef: ((), graphdef), lambda graphdef, _: graphdef
)


class UpdateContext:
    """What is known on both sides of a trace; `update_context` makes it.

    Args:
      tag: its name.
    """

    def __init__(self, tag: Hashable) -> None:
        self.tag = tag
        self._outer: list[Any] = []
        self._inner: list[Any] = []
        self._number_of: dict[int, int] = {}

    def _left_outside(self, objects: Sequence[Any]) -> None:
        self._outer = list(objects)

    def _entered(self, objects: Sequence[Any]) -> None:
        self._inner = list(objects)  # alive, so that no identity is used again
        self._number_of = {id(x): number for number, x in enumerate(objects)}

    def _sources(self, objects: Sequence[Any]) -> tuple[int | None, ...]:
        return tuple(self._number_of.get(id(x)) for x in objects)


class _Stacks(threading.local):
    def __init__(self) -> None:
        self.of: dict[Hashable, list[UpdateContext]] = {}


_stacks = _Stacks()


@contextlib.contextmanager
def update_context(tag: Hashable) -> Iterator[UpdateContext]:
    """Let splits and merges with this tag, outside and inside of a trace, know of each other.

    Works as a context manager and as a decorator.

    Args:
      tag: what `split_context` and `merge_context` are given, too.

    Example:
        >>> import jax
        >>> from ramie import nnx
        >>> model = nnx.Dict()
        >>> with nnx.update_context("edit"):
        ...     with nnx.split_context("edit") as ctx:
        ...         pure = ctx.split(model)
        ...     @jax.jit
        ...     def edit(graphdef, state):
        ...         with nnx.merge_context("edit", inner=True) as ctx:
        ...             inside = ctx.merge(graphdef, state)
        ...         inside.me = inside
        ...         with nnx.split_context("edit") as ctx:
        ...             return ctx.split(inside)
        ...     pure = edit(*pure)
        ...     with nnx.merge_context("edit", inner=False) as ctx:
        ...         same = ctx.merge(*pure)
        >>> same is model, model.me is model
        (True, True)
    """
    context = UpdateContext(tag)
    stack = _stacks.of.setdefault(tag, [])
    stack.append(context)
    try:
        yield context
    finally:
        stack.remove(context)


def current_update_context(tag: Hashable) -> UpdateContext:
    """Return the innermost `update_context` with a tag.

    Raises:
      ValueError: if there is none.
    """
    stack = _stacks.of.get(tag)
    if not stack:
        raise ValueError(
            f"No update context found for tag {tag!r}. Enter one: with nnx.update_context({tag!r})."
        )
    return stack[-1]


class SplitContext:
    """Splits models one after the other; `split_context` makes it."""

    def __init__(self, update: UpdateContext | None = None) -> None:
        self._update = update
        self._index: dict[int, int] = {}
        self._objects: list[Any] = []

    def split(self, node: Any, *filters: Filter) -> Any:
        """Take a model apart, as `nnx.split` does. What was met before becomes a reference.

        Args:
          node: the model.
          *filters: one for each state.

        Returns:
          The structure, and one state, or as many as there are filters.
        """
        start = len(self._objects)
        found, leaves = walk(node, self._objects, index=self._index)
        sources: tuple[int | None, ...] = ()
        if self._update is not None and self._update._number_of:
            sources = self._update._sources(self._objects[start:])
        graphdef = ContextDef(found.nodes, start, sources)
        return graphdef, *as_states(graphdef, leaves, filters)


class MergeContext:
    """Merges what a `SplitContext` split, in the same order; `merge_context` makes it."""

    def __init__(self, update: UpdateContext | None = None, inner: bool = False) -> None:
        self._update = update
        self._inner = inner
        self._objects: list[Any] = []

    def merge(self, graphdef: GraphDef[Any], state: Any, /, *states: Any) -> Any:
        """Put a model together, as `nnx.merge` does, or change the one it was split from.

        Args:
          graphdef: the structure.
          state: the state.
          *states: the rest of it.

        Raises:
          TraceContextError: if a model outside would change that belongs to another trace.
        """
        leaves = leaves_for(graphdef, (state, *states))
        known: list[Any] = []
        if self._update is not None and not self._inner and isinstance(graphdef, ContextDef):
            outer = self._update._outer
            found = [None if number is None else outer[number] for number in graphdef.sources]
            if found:
                known = [None] * len(self._objects) + found
                leaves = into_known(graphdef, leaves, found)
        return build(graphdef, leaves, made=self._objects, known=known)


def into_known(graphdef: GraphDef[Any], leaves: Sequence[Any], found: Sequence[Any]) -> list[Any]:
    """Store values in known variables; return these in place of the values."""
    objects = iter(found)
    following = iter(leaves)
    trace = trace_token()
    result: list[Any] = []
    for entry in graphdef.nodes:
        if isinstance(entry, NodeDef):
            next(objects)
        elif entry is LEAF:
            result.append(next(following))
        elif entry is REF or isinstance(entry, VariableDef):
            leaf, outer = next(following), next(objects)
            if isinstance(outer, Variable) and outer is not leaf:
                if outer._trace_token is not trace:
                    outer._check_can_update()
                if isinstance(leaf, Variable):
                    object.__setattr__(outer, "_var_metadata", leaf._var_metadata)
                    leaf = leaf._raw_value
                object.__setattr__(outer, "_raw_value", leaf)
            result.append(leaf if outer is None else outer)
    return result


def _found(tag: Hashable | None) -> UpdateContext | None:
    return None if tag is None else current_update_context(tag)


@contextlib.contextmanager
def split_context(ctxtag: Hashable | None = None) -> Iterator[SplitContext]:
    """Split several models that may share nodes.

    Args:
      ctxtag: of an `update_context`, if merging is to find the objects again.

    Example:
        >>> from ramie import nnx
        >>> shared = nnx.Dict(a=nnx.Param(1))
        >>> with nnx.split_context() as ctx:
        ...     first, second = ctx.split(shared), ctx.split(shared)
        >>> with nnx.merge_context() as ctx:
        ...     same = ctx.merge(*first) is ctx.merge(*second)
        >>> len(second[1]), same
        (0, True)
    """
    update = _found(ctxtag)
    context = SplitContext(update)
    yield context
    if update is not None and not update._number_of:
        update._left_outside(context._objects)


@contextlib.contextmanager
def merge_context(
    ctxtag: Hashable | None = None, inner: bool | None = None
) -> Iterator[MergeContext]:
    """Merge several models that a `split_context` split, in the same order.

    Args:
      ctxtag: the tag of the `split_context`.
      inner: with a tag, whether this is inside of the trace, after the first split; else it is
        outside, and the models that were split first are changed.

    Raises:
      ValueError: with a tag and without `inner`.
    """
    update = _found(ctxtag)
    if update is not None and inner is None:
        raise ValueError(
            f"merge_context got ctxtag={ctxtag!r}, so it needs to know where it is: pass "
            "inner=True inside of the trace, inner=False outside."
        )
    context = MergeContext(update, bool(inner))
    yield context
    if update is not None and inner:
        update._entered(context._objects)
