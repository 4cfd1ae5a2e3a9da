"""Forking the random streams inside of models, for a while or in a copy."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.walk import build, iter_graph
from ramie.nnx.modes import set_graph_mode, set_graph_updates
from ramie.nnx.printing.text import short_text
from ramie.nnx.randomness.rng import Pattern, RngStream, Shape
from ramie.nnx.states.filters import Filter, Predicate, to_predicate
from ramie.nnx.states.nested import Path
from ramie.typing import MISSING, PRNGKey

__all__ = [
    "SplitBackups",
    "StreamBackup",
    "backup_keys",
    "fork_rngs",
    "reseed",
    "restore_rngs",
    "split_rngs",
    "with_rngs",
]

F = TypeVar("F", bound=Callable[..., Any])
StreamBackup: TypeAlias = tuple[RngStream, PRNGKey] | tuple[RngStream, PRNGKey, jax.Array]
Policy: TypeAlias = (
    Literal["scalars_only", "match_shape"] | Callable[[Path, PRNGKey, tuple[int, ...]], PRNGKey]
)
Change: TypeAlias = Callable[[RngStream], RngStream]
Choice: TypeAlias = Callable[[Path, RngStream], Change | None]


@functools.partial(jax.tree_util.register_dataclass, data_fields=("backups",), meta_fields=())
@dataclasses.dataclass(frozen=True)
class SplitBackups:
    """What streams were before they were forked in place; the end of a ``with`` block undoes it.

    Attributes:
      backups: for each stream the stream, its key and its count.
    """

    backups: Sequence[StreamBackup]

    def __iter__(self) -> Iterator[StreamBackup]:
        return iter(self.backups)

    def __enter__(self) -> "SplitBackups":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        restore_rngs(self)


def _streams(node: Any, graph: bool | None) -> list[tuple[Path, RngStream]]:
    """List the streams inside of something; in tree mode, refuse what is no tree."""
    return [(path, x) for path, x in iter_graph(node, graph=graph) if isinstance(x, RngStream)]


def _in_place(graph: bool | None, graph_updates: bool | None) -> bool:
    """Tell whether streams are changed where they are: in graph mode, with updates."""
    return (set_graph_mode.current_value() if graph is None else graph) and (
        set_graph_updates.current_value() if graph_updates is None else graph_updates
    )


def _replaced(node: Any, choose: Choice, graph: bool | None) -> Any:
    """Copy a model with other streams; all else in it is the same object as before."""
    others: dict[int, Any] = {}
    for path, stream in _streams(node, graph):
        change = choose(path, stream)
        if change is not None:
            made = change(stream)
            others[id(stream.key)], others[id(stream.count)] = made.key, made.count
    graphdef, leaves = flatten(node)
    return build(graphdef, [others.get(id(leaf), leaf) for leaf in leaves])


def _forked(node: Any, choose: Choice, graph: bool | None) -> SplitBackups:
    """Change streams in place, and return what undoes it."""
    backups: list[StreamBackup] = []
    for path, stream in _streams(node, graph):
        change = choose(path, stream)
        if change is None:
            continue
        made = change(stream)
        backups.append((stream, stream.key.get_value(), stream.count.get_value()))
        stream.key.set_value(made.key.get_value())
        stream.count.set_value(made.count.get_value())
    return SplitBackups(backups)


def _applied(node: Any, choose: Choice, graph: bool | None, graph_updates: bool | None) -> Any:
    """Change the streams of a model, or make a decorator that does so with all arguments."""
    if node is not MISSING:
        if _in_place(graph, graph_updates):
            return _forked(node, choose, graph)
        return _replaced(node, choose, graph)

    def decorator(f: F) -> F:
        @functools.wraps(f)
        def with_other_streams(*args: Any, **kwargs: Any) -> Any:
            if _in_place(graph, graph_updates):
                with _forked((args, kwargs), choose, graph):
                    return f(*args, **kwargs)
            args, kwargs = _replaced((args, kwargs), choose, graph)
            return f(*args, **kwargs)

        decorated: Any = with_other_streams
        return decorated

    return decorator


def _sizes(pattern: Any) -> list[tuple[Predicate, Any]]:
    """Read a size, or a mapping from filters to sizes."""
    rules: Mapping[Any, Any] = pattern if isinstance(pattern, Mapping) else {...: pattern}
    return [(to_predicate(filter), size) for filter, size in rules.items()]


def split_rngs(
    node: Any = MISSING,
    /,
    *,
    splits: Shape,
    only: Filter = ...,
    squeeze: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Put several independent streams side by side in place of each stream of a model.

    Functions over one of them, such as `vmap` runs, get another key each.

    Args:
      node: the model. Without it, a decorator is returned, which does this to all arguments.
      splits: how many, as a number or a shape.
      only: which streams; it is asked about the key of each.
      squeeze: leave the new axis out, which takes ``splits=1``.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.
      graph_updates: whether streams change in place, in graph mode; by default as
        `set_graph_updates` says.

    Returns:
      In place, what `restore_rngs` needs, or a ``with`` block, to undo it; else a copy of the
      model.

    Raises:
      ValueError: if `squeeze` does not go with `splits`, or a stream is several already.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(params=0, dropout=1)
        >>> with nnx.split_rngs(rngs, splits=5, only="params"):
        ...     rngs.params.key.shape, rngs.dropout.key.shape
        ((5,), ())
        >>> rngs.params.key.shape
        ()
    """
    if squeeze and splits != 1:
        raise ValueError(
            f"squeeze=True is only supported for splits=1, as there is no axis of size 1 to leave "
            f"out otherwise, but splits is {splits}."
        )
    wanted = to_predicate(only)

    def change(stream: RngStream) -> RngStream:
        made = stream.split(splits)
        return type(made)(made.key.get_value()[0], tag=made.tag) if squeeze else made

    def choose(path: Path, stream: RngStream) -> Change | None:
        return change if wanted((*path, "key"), stream.key) else None

    return _applied(node, choose, graph, graph_updates)


def fork_rngs(
    node: Any = MISSING,
    /,
    *,
    split: Pattern = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Put an independent stream in place of each stream of a model.

    Args:
      node: the model. Without it, a decorator is returned, which does this to all arguments.
      split: put so many streams side by side; or a mapping from filters (names, usually) to such
        numbers, or to None for one stream. What none of them takes stays.
      graph: see `split_rngs`.
      graph_updates: see `split_rngs`.

    Returns:
      As `split_rngs` does.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> backups = nnx.fork_rngs(rngs, split=3)
        >>> rngs.default.key.shape
        (3,)
        >>> nnx.restore_rngs(backups)
    """
    rules = _sizes(split)

    def choose(path: Path, stream: RngStream) -> Change | None:
        for wanted, size in rules:
            if wanted((*path, "key"), stream.key):
                return lambda stream: stream.fork(split=size)
        return None

    return _applied(node, choose, graph, graph_updates)


def with_rngs(
    node: Any = MISSING,
    /,
    *,
    split: Pattern = None,
    fork: Filter = None,
    broadcast: Pattern = None,
    only: Filter = True,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Copy a model with other streams in place of some of its streams, which count on by one.

    The three rules are mappings from filters, which are asked about each stream, to sizes; a plain
    size is a rule for all streams. Of several rules for a stream the first holds, in the order
    `split`, `fork`, `broadcast`, if all but one are for all streams.

    Args:
      node: the model. Without it, a decorator is returned, which does this to all arguments.
      split: how many independent streams to put side by side.
      fork: of which streams to put an independent one in place; a filter, or several.
      broadcast: how often to put one independent stream side by side.
      only: which streams to look at.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.
      graph_updates: nothing changes in place, whatever it is.

    Returns:
      The copy. Variables and arrays that are not state of changed streams are shared with it.

    Raises:
      ValueError: if several rules that are not for all streams take one.

    Differs from Flax, which has this only if one of `graph` and `graph_updates` is off.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.with_rngs(nnx.Rngs(params=0, dropout=1), split={"params": 4}, fork=...)
        >>> rngs.params.key.shape, rngs.dropout.key.shape
        ((4,), ())
    """
    del graph_updates
    forks: Any = fork if isinstance(fork, list | tuple) else () if fork is None else (fork,)
    rules: dict[str, Mapping[Any, Any]] = {
        "split": {} if split is None else split if isinstance(split, Mapping) else {...: split},
        "fork": dict.fromkeys(forks),
        "broadcast": {}
        if broadcast is None
        else broadcast
        if isinstance(broadcast, Mapping)
        else {...: broadcast},
    }
    wanted = to_predicate(only)

    def choose(path: Path, stream: RngStream) -> Change | None:
        if not wanted(path, stream):
            return None
        return _rule_for(rules, path, stream)

    return _applied(node, choose, graph, False)


_CHANGES: dict[str, Callable[[RngStream, Any], RngStream]] = {
    "split": RngStream.split,
    "fork": lambda stream, _: stream.fork(),
    "broadcast": RngStream.broadcast,
}


def _rule_for(
    rules: Mapping[str, Mapping[Any, Any]], path: Path, stream: RngStream
) -> Change | None:
    """Find what the rules of `with_rngs` say of a stream."""
    taken: dict[str, tuple[Any, Any]] = {}
    for name, rule in rules.items():
        for filter, size in rule.items():
            if name not in taken and to_predicate(filter)(path, stream):
                taken[name] = filter, size
    named = {name: filter for name, (filter, _) in taken.items() if filter not in (..., True)}
    if len(named) > 1:
        lines = "".join(
            f"\n  - {name}: filter {short_text(filter)}" for name, filter in named.items()
        )
        raise ValueError(
            f"The RngStream at path {path} matches multiple rules:{lines}\nLet each stream be "
            "taken by one of them."
        )
    for name, (_, size) in taken.items():
        if size is None and name != "fork":
            return None
        return functools.partial(_changed, name=name, size=size)
    return None


def _changed(stream: RngStream, name: str, size: Any) -> RngStream:
    return _CHANGES[name](stream, size)


def backup_keys(node: Any, /, *, graph: bool | None = None) -> list[StreamBackup]:
    """List the streams of a model with their keys, as `restore_rngs` takes them.

    Args:
      node: the model.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.
    """
    return [(stream, stream.key.get_value()) for _, stream in _streams(node, graph)]


def restore_rngs(backups: Iterable[StreamBackup], /) -> None:
    """Give streams back the key, and the count if there is one, which they had.

    Args:
      backups: what `split_rngs`, `fork_rngs` or `backup_keys` returned.

    Raises:
      TraceContextError: under another JAX transformation than a stream was made under.
    """
    for stream, key, *count in backups:
        stream.key.set_value(key)
        if count:
            stream.count.set_value(count[0])


def reseed(
    node: Any,
    /,
    *,
    graph: bool | None = None,
    policy: Policy = "scalars_only",
    **stream_keys: Any,
) -> None:
    """Let random streams of a model start again from new keys, in place.

    Streams of one name get one key after the other of a stream that the given seed starts.

    Args:
      node: the model.
      graph: whether nodes may be shared; by default as `set_graph_mode` says.
      policy: what becomes of streams that are several side by side: an error ("scalars_only"), keys
        split from the new one ("match_shape"), or what a function of the path, the new key and the
        shape returns; it is asked about all streams.
      **stream_keys: for names of streams the new seeds or keys.

    Raises:
      ValueError: by the policy, or if the policy or a key is none.
      TraceContextError: under another JAX transformation than a stream was made under.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0, dropout=1).fork()
        >>> before = rngs.dropout.uniform()
        >>> nnx.reseed(rngs, dropout=1)
        >>> bool(rngs.dropout.uniform() == before)
        True
    """
    if not callable(policy) and policy not in ("scalars_only", "match_shape"):
        raise ValueError(
            f'policy must be "scalars_only", "match_shape" or a callable, got {policy!r}'
        )
    given = {name: RngStream(value, tag=name) for name, value in stream_keys.items()}
    for path, stream in _streams(node, graph):
        if stream.tag not in given:
            continue
        key = _key_of_shape(given[stream.tag](), path, stream.key.shape, policy)
        stream.key.set_value(key)
        stream.count.set_value(jnp.zeros(key.shape, jnp.uint32))


def _key_of_shape(key: PRNGKey, path: Path, shape: tuple[int, ...], policy: Policy) -> PRNGKey:
    if callable(policy):
        return policy(path, key, shape)
    if not shape:
        return key
    if policy == "match_shape":
        return jax.random.split(key, shape)
    raise ValueError(
        f"Cannot reseed the stream at path {path}, which is {shape} streams side by side: it has a "
        'non-scalar key. If all of them had other keys, set policy="match_shape"; else give a '
        "function as the policy, which returns the keys."
    )
