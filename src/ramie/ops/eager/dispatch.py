"""Traced or eager: how an operation that was called on real arrays reaches the device.

Called eagerly, each `lax` operation is one dispatch of its own, and that costs more than the
arithmetic of a small layer. `eager_compiled` runs the whole function as one compiled program
instead. Inside a transformation nothing changes: the function itself is traced.

A compiled program may round differently, because XLA fuses. Multiply followed by add, for
instance, becomes one instruction with one rounding. So an operation is compiled only where its
bits are those of the separate operations: tests/unit/ops/eager/test_compiled_bits.py looks for such
cases, the predicate `proven` lets only these through, and on first use a `sample` is computed both
ways, on the JAX that is there (`ramie.ops.eager.proofs`). The rest is compiled for those who ask
for it, with `config.update("ramie_compiled_layers", "all")`.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import get_opaque_trace_state

from ramie.foundation.configurations import config
from ramie.foundation.jax_versions import INLINE
from ramie.ops.eager import proofs
from ramie.ops.eager.replaced import Rests, rests_of

__all__ = ["PROVEN_DTYPES", "eager_compiled", "forget", "no_trace", "plain_path_wanted"]

F = TypeVar("F", bound=Callable[..., Any])


class _Replaced(Exception):
    """A function of JAX was replaced while a program was traced that rests on it."""


PROVEN_DTYPES = frozenset(np.dtype(t) for t in ("float32", "float64", "float16", jnp.bfloat16))
"""Real floating types for which compiled products and sums were shown to keep every bit (CPU)."""

_jax_config: Any = jax.config
_Tracer = jax.core.Tracer

# Every operation keeps a kernel of its own, inside one program: multiply and add cannot become one
# instruction. What XLA still rewrites (it hands reductions with their neighbours to a library) is
# why an unfused program, too, stands only where its bits were compared.
_UNFUSED = {"xla_disable_hlo_passes": "fusion"}

_all_verdicts: list[dict[Any, bool]] = []


def forget() -> None:
    """Forget which operations were found to keep their bits; files stay (see `proofs`)."""
    proofs.forget()
    for verdicts in _all_verdicts:
        verdicts.clear()


@functools.cache
def _on_proven_platform() -> bool:
    return jax.default_backend() == "cpu"


@functools.cache
def no_trace() -> Any:
    """Return the trace state of a thread that traces nothing."""
    # What JAX traces belongs to the thread, so a new one shows what nothing traced looks like.
    with ThreadPoolExecutor(max_workers=1) as other_thread:
        return other_thread.submit(get_opaque_trace_state).result()


def plain_path_wanted() -> bool:
    """Tell whether a debugging switch asks to see the single operations of a function.

    True under `jax.disable_jit`, and when JAX checks results for NaN or infinity.
    """
    return bool(
        _jax_config.jax_disable_jit or _jax_config.jax_debug_nans or _jax_config.jax_debug_infs
    )


def _is_stable(setting: Any) -> bool:
    """Tell whether programs can be kept by this setting.

    Functions that the user passes are left alone: they may be new at each call, or hold state.
    """
    if callable(setting) and not isinstance(setting, type):
        return False
    try:
        hash(setting)
    except TypeError:
        return False
    return True


def eager_compiled(
    *,
    static_argnames: Sequence[str] = (),
    sample: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
    proven: Callable[..., bool] | None = None,
    fused: bool = True,
) -> Callable[[F], F]:
    """Run an operation as one compiled program per shape when it is called on real arrays.

    The operation runs as written when an argument is traced, when a function of JAX that it rests
    on was replaced (see `replaced`), when `jax.disable_jit` or a NaN check is on, and unless the
    flag ``ramie_compiled_layers`` is ``"all"`` also on platforms other than the CPU, where `proven`
    says no, and where a bit of the sample differs. The flag ``"off"`` has it always run as written.

    Args:
      static_argnames: keyword-only parameters of the operation that are configuration: hashable
        values, not arrays.
      sample: called with a dtype; returns small arrays and the configuration of a typical call.
        None for operations that are compiled only for those who ask for all.
      proven: called with the arguments of the operation; whether compiling keeps every bit there.
      fused: whether XLA may fuse. Without fusion a multiplication and the addition after it round
        separately, as they do one by one.

    Returns:
      A decorator for functions ``f(*arrays, **configuration)``. An array may be None.
    """

    def decorate(fn: F) -> F:
        # inline: called on constants while JAX traces something else, leave no nested program.
        settings: dict[str, Any] = {"static_argnames": tuple(static_argnames), "inline": INLINE}
        rests: Rests | None = None

        @functools.wraps(fn)
        def traced(*arrays: Any, **configuration: Any) -> Any:
            out = fn(*arrays, **configuration)
            # Another thread may have replaced something since the call began. JAX keeps no program
            # of a trace that raised.
            if rests is not None and not rests.are_shipped():
                raise _Replaced
            return out

        free = jax.jit(traced, **settings)
        faithful = free if fused else jax.jit(traced, **settings, compiler_options=_UNFUSED)
        verdicts: dict[Any, bool] = {}
        _all_verdicts.append(verdicts)

        def keeps_bits(dtype: Any) -> bool:
            assert sample is not None
            name = f"{fn.__module__.rpartition('.')[2]}-{fn.__name__.strip('_')}-{dtype}"

            def run(way: Callable[..., Any]) -> Any:
                arrays, configuration = sample(dtype)
                return way(*arrays, **configuration)

            plain, compiled = (functools.partial(run, way) for way in (fn, faithful))
            return proofs.first_equal(name, plain, [compiled]) == 0

        @functools.wraps(fn)
        def dispatch(*arrays: Any, **configuration: Any) -> Any:
            nonlocal rests
            for array in arrays:
                if isinstance(array, _Tracer):
                    return fn(*arrays, **configuration)
            mode = config.ramie_compiled_layers
            if mode == "off" or plain_path_wanted():
                return fn(*arrays, **configuration)
            if mode == "all":
                if not all(map(_is_stable, configuration.values())):
                    return fn(*arrays, **configuration)
            elif (
                sample is None
                or (proven is not None and not proven(*arrays, **configuration))
                or not _on_proven_platform()
                # Among the constants of a trace: what is made there belongs to its program.
                or get_opaque_trace_state() != no_trace()
            ):
                return fn(*arrays, **configuration)
            if rests is None:
                rests = rests_of(fn)
            if not rests.are_shipped():
                return fn(*arrays, **configuration)
            try:
                if mode == "all":
                    return free(*arrays, **configuration)
                dtype = arrays[0].dtype
                verdict = verdicts.get(dtype)
                if verdict is None:
                    verdict = verdicts[dtype] = keeps_bits(dtype)
                return (faithful if verdict else fn)(*arrays, **configuration)
            except _Replaced:
                return fn(*arrays, **configuration)

        return dispatch  # type: ignore[return-value]

    return decorate
