"""Loops and branches outside of a trace: traced once, and their operations run again one by one.

Whoever calls a scan of a module on real arrays waits until it is traced and compiled, and JAX knows
the program again only if it gets the very same function, which a new copy of a module has not. So
the first call is traced as a whole, from variables, keys and arguments to results and new
variables. Later ones run the operations of that trace, of which the loop is one that JAX knows.
The bits are those of the plain way, since each operation is dispatched as it would be there.

What a trace depends on is its key; where that cannot be told, the plain way is taken: functions and
classes that read something that may change (`ramie.core.tracing.reads`), or that do something that
is seen each time, interceptors, captures, `init`, a trace around, debugging switches of JAX.
"""

import collections
import functools
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from ramie.core.filters import normal_form
from ramie.core.lift.crossing import Crossing, Lift
from ramie.core.scope.variables import Variable
from ramie.core.sharding import get_logical_axis_rules
from ramie.core.tracing.reads import Reading, is_plain, read_by
from ramie.core.tracing.replaced import replaced
from ramie.core.tracing.trace import is_top_level, trace_settings
from ramie.foundation.configurations import FLAGS, config
from ramie.linen.machinery.context import context, interceptors
from ramie.linen.machinery.state import DONE, RUNNING
from ramie.linen.module import Module
from ramie.linen.transforms.boundary import Boundary
from ramie.linen.transforms.fingerprint import ModuleKey
from ramie.ops.eager.dispatch import plain_path_wanted
from ramie.ops.eager.replaced import nothing_is_replaced

__all__ = ["run_kept"]

_KEPT = 128
"""How many traces are kept: those that were used last."""

_LARGEST_CONSTANT = 1 << 16  # elements; what is larger is not kept alive

_OF_ALL = frozenset(("_parent_ref", "_revised", "_share_traces", "_state", "name", "scope"))
"""Attributes of every module that are no fields."""

_WHOLE = Lift((True,), (True,), (True,))


class _Trace(NamedTuple):
    """What was traced.

    Attributes:
      closed: the operations.
      treedef: of what they return: the result, and what was written.
      counts: how often random keys were drawn afterwards.
      reached: how far automatic names came.
    """

    closed: Any
    treedef: Any
    counts: tuple[Any, ...]
    reached: Mapping[str, int]


_kept: "collections.OrderedDict[Hashable, _Trace | None]" = collections.OrderedDict()
_lock = threading.Lock()


class _NotKept(Exception):
    """A call depends on more than can be told."""


def run_kept(
    boundary: Boundary,
    lifted: Callable[..., Any],
    functions: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call a loop or branch of a module, by way of an earlier trace if there is one.

    Args:
      boundary: of the modules.
      lifted: called as ``lifted(scopes, *args, **kwargs)``. It traces all that it does to values,
        but for moving them.
      functions: what `lifted` was made of: functions, classes and options.
      args: see above.
      kwargs: see above.
    """
    y, reached = _called(boundary, lifted, functions, args, kwargs)
    boundary.finish(reached)
    return y


def _called(
    boundary: Boundary,
    lifted: Callable[..., Any],
    functions: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> tuple[Any, Mapping[str, int] | None]:
    if _may_be_kept(boundary):
        try:
            with _WHOLE.open(boundary.scopes) as crossing:
                return _Call(boundary, crossing, functions, args, kwargs).run(lifted)
        except _NotKept:
            pass
    return lifted(boundary.scopes, *args, **kwargs), None


def _may_be_kept(boundary: Boundary) -> bool:
    return (
        is_top_level()
        and not plain_path_wanted()
        and not interceptors.get()
        and context.capture[-1] is None
        and bool(boundary.scopes)
        and boundary.held[0]._state.setup_called is not RUNNING
        and not any(scope.get_flag("initializing", False) for scope in boundary.scopes)
        and nothing_is_replaced()
    )


class _Call:
    """One call, with its key.

    Args:
      boundary: see `run_kept`.
      crossing: of all that the scopes hold.
      functions: see `run_kept`.
      args: see `run_kept`.
      kwargs: see `run_kept`.

    Raises:
      _NotKept: if there is no key.
    """

    def __init__(
        self,
        boundary: Boundary,
        crossing: Crossing,
        functions: Sequence[Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._boundary, self._crossing = boundary, crossing
        self._read_things = (*functions, *_things_of(boundary.held))
        self._read = self._reading()
        state = crossing.variables, crossing.rngs, args, dict(kwargs)
        self._leaves, self._treedef = jax.tree_util.tree_flatten(state)
        self._fixed = {i: x for i, x in enumerate(self._leaves) if not _is_array(x)}
        self._arrays = [
            x if isinstance(x, jax.Array) else jnp.asarray(x)
            for i, x in enumerate(self._leaves)
            if i not in self._fixed
        ]
        fixed = read_by(self._fixed.values())
        if fixed is None or not all(map(is_plain, self._fixed.values())):
            raise _NotKept
        self._key = (
            self._read.content,
            replaced(),
            ModuleKey(boundary.held, class_key=_class_key),
            repr(boundary.held[0]._state.autoname_cursor),
            (crossing.layout, crossing.counts()),
            tuple(map(_described, crossing.roots)),
            (self._treedef, tuple(self._fixed), fixed.content),
            tuple(map(jax.typeof, self._arrays)),
            tuple(getattr(config, flag.name) for flag in FLAGS),
            (trace_settings(), tuple(map(repr, get_logical_axis_rules()))),
        )

    def _reading(self) -> Reading:
        read = read_by(self._read_things)
        if read is None or read.is_visible:
            raise _NotKept
        return read

    def run(self, lifted: Callable[..., Any]) -> tuple[Any, Mapping[str, int]]:
        """Return the result, and how far automatic names came.

        Raises:
          _NotKept: if it could not be traced.
        """
        try:
            known = self._key in _kept
        except TypeError:  # something has no hash
            raise _NotKept from None
        trace = self._remembered() if known else self._traced(lifted)
        if trace is None:
            raise _NotKept
        returned = jax.core.eval_jaxpr(trace.closed.jaxpr, trace.closed.consts, *self._arrays)
        y, written = jax.tree_util.tree_unflatten(trace.treedef, returned)
        self._crossing.set_counts(trace.counts)
        self._crossing.commit(written)
        return y, trace.reached

    def _remembered(self) -> _Trace | None:
        with _lock:
            trace = _kept.get(self._key)
            if self._key in _kept:
                _kept.move_to_end(self._key)
        return trace

    def _traced(self, lifted: Callable[..., Any]) -> _Trace | None:
        """Trace the call, and keep that if it would be the same again."""
        crossing, boundary = self._crossing, self._boundary
        structures: list[Any] = []

        def pure(*arrays: Any) -> list[Any]:
            following = iter(arrays)
            leaves = [
                self._fixed[i] if i in self._fixed else next(following)
                for i in range(len(self._leaves))
            ]
            variables, rngs, args, kwargs = jax.tree_util.tree_unflatten(self._treedef, leaves)
            returned = crossing.run(lifted, variables, rngs, *args, **kwargs)
            leaves, treedef = jax.tree_util.tree_flatten(returned)
            structures[:] = [treedef]
            return leaves

        counts = crossing.counts()
        try:
            closed = jax.make_jaxpr(pure)(*self._arrays)
            is_whole = not any(isinstance(x, jex.Literal) for x in closed.jaxpr.outvars)
        except Exception:  # the plain way raises it, or does what cannot be traced
            is_whole = False
        trace = None
        if is_whole:
            reached = dict(boundary.reached)
            trace = _Trace(closed, structures[0], crossing.counts(), reached)
        else:
            crossing.restore_counts(counts)
            boundary.reached.clear()
        if trace is None or self._is_alike(trace):
            with _lock:
                _kept[self._key] = trace
                if len(_kept) > _KEPT:
                    _kept.popitem(last=False)
        return trace

    def _is_alike(self, trace: _Trace) -> bool:
        """Tell whether the next call would be traced to the same."""
        size = sum(int(np.size(x)) for x in trace.closed.consts)
        again = read_by(self._read_things)
        return size <= _LARGEST_CONSTANT and again == self._read


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array) or (isinstance(x, np.ndarray) and x.dtype != object)


def _class_key(cls: type) -> Hashable:
    """Return what stands for a class; what classes read is compared beside it."""
    if "_lifted_methods" not in vars(cls):
        return cls
    return cls.__name__, *map(_class_key, cls.__bases__)


def _described(scope: Any) -> Hashable:
    """Return what a trace depends on, of a scope that is lifted, beside its variables."""
    flags = tuple(sorted((name, repr(value)) for name, value in scope.flags.items()))
    return normal_form(scope.mutable), flags, scope.name, scope.path, scope.debug_path


def _things_of(held: Sequence[Any]) -> Iterator[Any]:
    """List classes of modules, and what their fields hold but for modules and arrays."""
    waiting, seen = list(held), set()
    while waiting:
        x = waiting.pop()
        if id(x) in seen or is_plain(x) or _is_array(x) or isinstance(x, Variable):
            continue
        seen.add(id(x))
        if isinstance(x, Module):
            yield type(x)
            fields, own = x._plan.fields, x.__dict__
            waiting.extend(own.get(name) for name in fields)
            if x._state.setup_called is not DONE or x._plan.rebuilds:  # else made anew inside
                waiting.extend(own[name] for name in own.keys() - _OF_ALL - set(fields))
        elif isinstance(x, list | tuple):
            waiting.extend(x)
        elif isinstance(x, Mapping):
            waiting.extend(x.keys())
            waiting.extend(x.values())
        elif isinstance(x, functools.partial):
            waiting.extend((x.func, x.args, x.keywords))
        else:
            yield x
