"""Names that modules of Flax hold besides what they define, because they import them.

Code that reads, say, ``flax.core.lift.traverse_util`` gets what it means, without Ramie's modules
importing what they have no use for, or what lies above them.
"""

_CORE = "ramie.core"
_META = "ramie.core.meta"
_SERIALIZATION = "ramie.serialization"
_STRUCT = "ramie.struct"
_TRACEBACKS = "ramie.traceback_util"
_TRAVERSALS = "ramie.traverse_util"

ATTRIBUTES: dict[str, dict[str, str]] = {
    "flax.configurations": {"TYPE_CHECKING": "typing:TYPE_CHECKING"},
    "flax.core.frozen_dict": {"serialization": _SERIALIZATION},
    "flax.core.lift": {
        "CountsHolder": "ramie.compat.lift_parts:CountsHolder",
        "TransformContext": "ramie.compat.lift_parts:TransformContext",
        "traceback_util": _TRACEBACKS,
        "traverse_util": _TRAVERSALS,
    },
    "flax.core.scope": {
        "child_rng_token": "ramie.compat.attributes:CHILD_RNG_TOKEN",
        "config": "ramie.configurations:config",
        "meta": _META,
        "partial_eval": "ramie.core.partial_eval",
        "struct": _STRUCT,
        "traceback_util": _TRACEBACKS,
        "tracers": "ramie.core.trace",
        "uuid": "ramie.ids:uuid",
    },
    "flax.linen.kw_only_dataclasses": {"flax": "flax"},
    "flax.linen.module": {
        "config": "ramie.configurations:config",
        "core": _CORE,
        "kw_only_dataclasses": "ramie.linen.kw_only_dataclasses",
        "meta": _META,
        "nn": "ramie.linen",
        "partial_eval": "ramie.core.partial_eval",
        "serialization": _SERIALIZATION,
        "traceback_util": _TRACEBACKS,
        "traverse_util": _TRAVERSALS,
    },
    "flax.linen.partitioning": {"flax": "flax"},
    "flax.linen.transforms": {
        "core": _CORE,
        "errors": "ramie.errors",
        "serialization": _SERIALIZATION,
        "struct": _STRUCT,
        "traceback_util": _TRACEBACKS,
    },
    "flax.nnx.helpers": {
        "GraphDef": "ramie.nnx.structure:GraphDef",
        "Rngs": "ramie.nnx.rng:Rngs",
        "State": "ramie.nnx.states:State",
        "TrainState": "ramie.nnx.train_state:TrainState",
        "Variable": "ramie.nnx.variable:Variable",
    },
    "flax.nnx.variablelib": {
        "config": "ramie.configurations:config",
        "errors": "ramie.errors",
    },
    "flax.serialization": {"contextmanager": "contextlib:contextmanager"},
    "flax.struct": {"serialization": _SERIALIZATION},
    "flax.training.checkpoints": {
        "core": _CORE,
        "errors": "ramie.errors",
        "io": "ramie.io",
        "orbax_utils": "ramie.training.orbax_utils",
        "serialization": _SERIALIZATION,
        "traverse_util": _TRAVERSALS,
    },
    "flax.traverse_util": {"flax": "flax", "struct": _STRUCT},
    "flax.typing": {"partial": "functools:partial"},
}
"""For each module the names, and where each is found: a module, or ``module:name``."""

_COMMON = {"jax": "jax", "jnp": "jax.numpy", "lax": "jax.lax", "np": "numpy"}


def attributes_of(name: str) -> dict[str, str]:
    """Return the names that a module of Flax holds by accident, and where each is found.

    Types for annotations are imported from wherever they were seen, so all modules have them.

    Args:
        name: a dotted path that starts with ``flax``.
    """
    found = ATTRIBUTES.get(name, {})
    if not name.startswith(("flax.core.", "flax.linen.")):
        return found
    from ramie import typing  # JAX comes with it, which `install` alone does not need

    types = {kind: f"ramie.typing:{kind}" for kind in typing.__all__}
    return {**_COMMON, **types, **found}


class _ChildToken:
    """Marks, in Flax, the counters of a child scope among those of its parent."""

    def __repr__(self) -> str:
        return "<counters of a child>"


CHILD_RNG_TOKEN = _ChildToken()
