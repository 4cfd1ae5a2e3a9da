"""Ramie: the Flax programming model for JAX, on one small core.

`import ramie` imports nothing heavy, not even JAX: each module below is loaded when it is first
named, as in `ramie.linen.Dense`.
"""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.foundation.configurations": "config",
        "ramie.foundation.version": "__version__",
    },
    modules=(
        "checkpoint compat configurations=ramie.foundation.configurations core "
        "cursor=ramie.trees.cursor errors ids=ramie.foundation.ids io=ramie.foundation.io "
        "jax_utils=ramie.training.jax_utils linen metrics nnx ops "
        "plan=ramie.training.plan serialization struct=ramie.trees.struct testing "
        "traceback_util=ramie.core.tracebacks training traverse_util typing "
        "version=ramie.foundation.version"
    ),
)
