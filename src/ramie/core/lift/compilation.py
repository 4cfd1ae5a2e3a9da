"""Lifted compilation: jit, remat, and the random keys that a compiled function derives."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import jax

from ramie.core.filters import Filter, normal_form
from ramie.core.lift.crossing import Crossing, Group, Lift, Scopes, map_rngs
from ramie.core.scope.rng import LazyRng
from ramie.core.tracing.arguments import ArgNums, by_position, from_start, listed, positions

__all__ = [
    "StaticResult",
    "checkpoint",
    "fold_rngs",
    "jit",
    "remat",
]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class StaticResult:
    """A hashable value that leaves a compiled function beside arrays, with every call."""

    value: Any


class _Calls(threading.local):
    """The crossing that a compiled function is being called for, should it be traced."""

    crossing: Crossing | None = None

    @contextlib.contextmanager
    def during(self, crossing: Crossing) -> Iterator[None]:
        outer, self.crossing = self.crossing, crossing
        try:
            yield
        finally:
            self.crossing = outer


def _without_paths(groups: Sequence[Group]) -> tuple[Group, ...]:
    return tuple(map_rngs(LazyRng.clear_suffix, group) for group in groups)


def _trace_key(crossing: Crossing) -> Hashable:
    """Return what a trace depends on beside values; where the scopes lie is not part of it."""
    of_roots = tuple(
        (
            normal_form(scope.mutable),
            tuple(sorted(scope.flags.items(), key=lambda item: item[0])),
        )
        for scope in crossing.roots
    )
    return crossing.layout, crossing.counts(), of_roots


def _after_hash_key(fn: Callable[..., Any], argnums: ArgNums) -> tuple[int, ...]:
    """Return argument numbers as positions among the arguments of `fn`, the scope's left out."""
    counted = from_start(fn, argnums)
    given = listed(argnums)
    if any(i < 0 for i in counted):
        raise ValueError(
            f"The arguments {given} of a function that is compiled are counted from the end, but "
            "it takes any number of them. Count from the start, or use static_argnames."
        )
    # Numbers below zero counted the hash key.
    found = (i + 1 if number >= 0 else i for i, number in zip(counted, given, strict=True))
    return tuple(sorted({i for i in found if i > 1}))


def jit(
    fn: Callable[..., Any],
    variables: Filter = True,
    rngs: Filter = True,
    static_argnums: int | Iterable[int] | None = None,
    static_argnames: str | Iterable[str] | None = None,
    donate_argnums: int | Iterable[int] = (),
    device: Any = None,
    backend: str | None = None,
) -> Callable[..., Any]:
    """Lift `jax.jit` to functions of a scope.

    A trace is used again for any scope with equally shaped variables, equal rules of what may be
    written, and equal counts of random draws, whatever its path. For this the path is left out of
    the derivation of random keys inside.

    Args:
      fn: called as ``fn(scope, hash_key, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.
      static_argnums: the positions of arguments that are compile-time constants; the scope has
        position 0, the hash key is not counted. The call may give them by keyword.
      static_argnames: the names of keyword arguments that are compile-time constants.
      donate_argnums: the positions, counted likewise, of arguments whose memory may be re-used.
      device: passed on to `jax.jit`.
      backend: passed on to `jax.jit`.

    Returns:
      A function ``(scope, hash_key, *args, **kwargs)``. The hash key stands for everything that
      a trace of `fn` depends on beside its arguments: it has to be hashable and comparable.

    Differs from Flax: a second call in the same scope draws new random numbers.
    """
    lift = Lift((variables,), (variables,), (rngs,), "jit")
    calls = _Calls()
    static, donated = _after_hash_key(fn, static_argnums), _after_hash_key(fn, donate_argnums)

    def traced(
        key: Hashable, hash_key: Any, variables: Any, rngs: Any, *args: Any, **kwargs: Any
    ) -> Any:
        crossing = calls.crossing
        assert crossing is not None
        y, written = crossing.run(fn, variables, rngs, hash_key, *args, **kwargs)
        return y, written, StaticResult(crossing.counts())

    traced.__name__ = getattr(fn, "__name__", "lifted")
    placement = {"device": device, "backend": backend}
    compiled = jax.jit(
        traced,
        static_argnums=(0, 1, *(i + 2 for i in static)),
        static_argnames=static_argnames,
        donate_argnums=tuple(i + 2 for i in donated),
        **{name: value for name, value in placement.items() if value is not None},
    )

    def jitted(scopes: Scopes, hash_key: Hashable, *args: Any, **kwargs: Any) -> Any:
        whole, kwargs = by_position(fn, (scopes, hash_key, *args), kwargs, (*static, *donated))
        args = whole[2:]
        with lift.open(scopes) as crossing, calls.during(crossing):
            key = _trace_key(crossing)
            state = crossing.variables, _without_paths(crossing.rngs)
            y, written, counts = compiled(key, hash_key, *state, *args, **kwargs)
            crossing.set_counts(counts.value)
            crossing.commit(written)
            return y

    return jitted


def remat(
    fn: Callable[..., Any],
    variables: Filter = True,
    rngs: Filter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | Iterable[int] = (),
    policy: Callable[..., bool] | None = None,
) -> Callable[..., Any]:
    """Lift `jax.checkpoint` to functions of a scope: recompute in the backward pass, do not store.

    Args:
      fn: called as ``fn(scope, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.
      concrete: JAX no longer supports True and says so.
      prevent_cse: keep the compiler from merging the recomputation with the first computation.
      static_argnums: the positions of arguments that are not traced; the first argument after the
        scope has position 0. The call may give them by keyword.
      policy: which intermediate values to store after all, from `jax.checkpoint_policies`.

    Returns:
      A function ``(scope, *args, **kwargs)``.
    """
    lift = Lift((variables,), (variables,), (rngs,), "remat")
    after_scope = from_start(fn, [i + 1 if i >= 0 else i for i in listed(static_argnums)])
    static = [i - 1 if i >= 0 else i for i in after_scope]
    options: dict[str, Any] = {"concrete": concrete} if concrete else {}

    def rematted(scopes: Scopes, *args: Any, **kwargs: Any) -> Any:
        whole, kwargs = by_position(fn, (scopes, *args), kwargs, after_scope)
        args = whole[1:]
        # JAX would keep a function with static arguments, and all it captures, after the call.
        known = {i: args[i] for i in positions(static, len(args))}
        with lift.open(scopes) as crossing:

            def traced(variables: Any, rngs: Any, *rest: Any, **kwargs: Any) -> Any:
                free = iter(rest)
                whole = [known[i] if i in known else next(free) for i in range(len(args))]
                return crossing.run(fn, variables, rngs, *whole, **kwargs)

            recomputed = jax.checkpoint(traced, prevent_cse=prevent_cse, policy=policy, **options)
            rest = [arg for i, arg in enumerate(args) if i not in known]
            y, written = recomputed(crossing.variables, crossing.rngs, *rest, **kwargs)
            crossing.commit(written)
            return y

    return rematted


checkpoint = remat


def fold_rngs(
    fn: Callable[..., Any], variables: Filter = True, rngs: Filter = True
) -> Callable[..., Any]:
    """Derive random keys as `jit` does, without compiling.

    Args:
      fn: called as ``fn(scope, hash_key, *args, **kwargs)``.
      variables: the collections that `fn` may use.
      rngs: the random streams that `fn` may use.

    Returns:
      A function ``(scope, hash_key, *args, **kwargs)``.
    """
    lift = Lift((variables,), (variables,), (rngs,), "fold_rngs")

    def folded(scopes: Scopes, hash_key: Hashable, *args: Any, **kwargs: Any) -> Any:
        with lift.open(scopes) as crossing:
            rngs = _without_paths(crossing.rngs)
            y, written = crossing.run(fn, crossing.variables, rngs, hash_key, *args, **kwargs)
            crossing.commit(written)
            return y

    return folded
