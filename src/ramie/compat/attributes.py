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

_NNX = {
    "FrozenDict": "ramie.trees.frozen:FrozenDict",
    "Key": "ramie.typing:Key",
    "Module": "ramie.nnx.module:Module",
    "PathParts": "ramie.typing:PathParts",
    "PureState": "ramie.nnx.graph.packed:PureState",
    "Pytree": "ramie.nnx.objects.pytree:Pytree",
    "State": "ramie.nnx.states.state:State",
    "Variable": "ramie.nnx.variable:Variable",
    "capture": "ramie.nnx.modules.capturing:capture",
    "config": "ramie.configurations:config",
    "dtypes": "ramie.ops.dtypes",
    "errors": "ramie.errors",
    "eval_shape": "ramie.nnx:eval_shape",
    "extract": "ramie.nnx.transforms.trees",
    "filterlib": "ramie.nnx.states.filters",
    "graphlib": "ramie.nnx.graphlib",
    "initializers": "ramie.ops.initializers",
    "iter_children": "ramie.nnx.graph.functional:iter_children",
    "pytreelib": "ramie.nnx.objects.pytree",
    "reprlib": "ramie.nnx.reprlib",
    "rnglib": "ramie.nnx.rnglib",
    "spmd": "ramie.nnx.spmd",
    "split_state": "ramie.nnx.statelib:split_state",
    "statelib": "ramie.nnx.statelib",
    "struct": _STRUCT,
    "tracers": "ramie.nnx.tracers",
    "traversals": "ramie.nnx.traversals",
    "typing": "ramie.typing",
    "variablelib": "ramie.nnx.variable",
    "view": "ramie.nnx.modules.views:view",
    "view_info": "ramie.nnx.modules.views:view_info",
    "visualization": "ramie.nnx.visualization",
    "with_attributes": "ramie.nnx.modules.views:with_attributes",
}
_NNX_HOLDERS = {
    "extract": "PathParts filterlib graphlib reprlib typing variablelib",
    "filterlib": "Key",
    "graph": "Key PathParts PureState config filterlib reprlib statelib traversals variablelib",
    "graphlib": "Key PathParts PureState config filterlib reprlib statelib traversals variablelib",
    "helpers": "graphlib reprlib struct",
    "module": "Key PathParts State capture config filterlib graphlib iter_children pytreelib "
    "split_state view view_info with_attributes",
    "nn.attention": "dtypes rnglib",
    "nn.linear": "FrozenDict dtypes initializers rnglib variablelib",
    "nn.lora": "dtypes rnglib variablelib",
    "nn.normalization": "dtypes initializers rnglib",
    "nn.recurrent": "dtypes filterlib initializers rnglib",
    "nn.stochastic": "rnglib",
    "pytreelib": "graphlib reprlib tracers variablelib visualization",
    "rnglib": "Key Pytree Variable filterlib graphlib initializers struct typing",
    "spmd": "eval_shape graphlib variablelib",
    "statelib": "Key PathParts filterlib reprlib traversals variablelib",
    "summary": "graphlib statelib typing variablelib",
    "training.ema": "filterlib graphlib pytreelib statelib variablelib",
    "training.metrics": "filterlib graphlib",
    "transforms.autodiff": "State extract filterlib graphlib struct variablelib",
    "transforms.compilation": "PathParts errors extract filterlib graphlib statelib tracers "
    "variablelib",
    "transforms.general": "extract graphlib",
    "transforms.iteration": "FrozenDict Module State extract filterlib graphlib spmd statelib "
    "struct typing variablelib",
    "transforms.transforms": "Module extract graphlib variablelib",
    "traversals": "struct",
    "variablelib": "reprlib tracers visualization",
}

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
        "errors": "ramie.errors",
        "meta": _META,
        "partial_eval": "ramie.core.partial_eval",
        "struct": _STRUCT,
        "traceback_util": _TRACEBACKS,
        "tracers": "ramie.core.tracing.trace",
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
    "flax.linen.normalization": {"transforms": "ramie.linen.transforms"},
    "flax.linen.partitioning": {"flax": "flax", "nn": "ramie.linen"},
    "flax.linen.recurrent": {"transforms": "ramie.linen.transforms"},
    "flax.linen.transforms": {
        "Module": "ramie.linen.module:Module",
        "core": _CORE,
        "errors": "ramie.errors",
        "lift": "ramie.core.lift",
        "serialization": _SERIALIZATION,
        "struct": _STRUCT,
        "traceback_util": _TRACEBACKS,
    },
    "flax.nnx.helpers": {
        "GraphDef": "ramie.nnx.graph.structure:GraphDef",
        "Rngs": "ramie.nnx.randomness.rng:Rngs",
        "State": "ramie.nnx.states.state:State",
        "TrainState": "ramie.nnx.training.train_state:TrainState",
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
    "flax.training.train_state": {"core": _CORE},
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
    if name.startswith("flax.nnx."):
        held = _NNX_HOLDERS.get(name.removeprefix("flax.nnx."), "").split()
        return {**{attribute: _NNX[attribute] for attribute in held}, **found}
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
