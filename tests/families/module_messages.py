"""How messages about modules, scopes and variables begin."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from tests.families.message_row import KEY, UNKNOWN, Row, X


def _module(lib: Any, body: Callable[..., Any], compact: bool = True, **names: Any) -> Any:
    """Make a module whose method of calling is `body`."""
    call = lib.linen.compact(body) if compact else body
    return type("Model", (lib.linen.Module,), {"__call__": call, **names})()


def _in_call(body: Callable[..., Any], compact: bool = True) -> Callable[[Any], Any]:
    """A program that initialises a module which calls ``body(lib, module, x)``."""

    def program(lib: Any) -> Any:
        return _module(lib, lambda s, x: body(lib, s, x), compact).init(KEY, X)

    return program


def _dense(lib: Any) -> Any:
    return lib.linen.Dense(3)


def _with_layers(lib: Any) -> Any:
    def setup(self: Any) -> None:
        self.layers = [lib.linen.Dense(3)]

    return _module(lib, lambda s, x: s.layers[0](x), compact=False, setup=setup)


def _declares(name: str) -> Callable[[Any], Any]:
    return lambda lib: type("Model", (lib.linen.Module,), {"__annotations__": {name: str}})


def _assigns_to_field(lib: Any) -> Any:
    def setup(self: Any) -> None:
        self.size = 3

    body = {"__annotations__": {"size": int}, "size": 2, "setup": setup, "__call__": lambda s: 0}
    return type("Model", (lib.linen.Module,), body)().init(KEY)


def _forgets_super(lib: Any) -> Any:
    body = {"__post_init__": lambda s: None, "__call__": lambda s: 0}
    return type("Model", (lib.linen.Module,), body)().init(KEY)


def _has_broken_property(lib: Any) -> Any:
    broken = property(lambda s: s.missing)
    return _module(lib, lambda s, x: s.broken, compact=False, broken=broken).init(KEY, X)


def _lays_out_without_a_name(lib: Any, s: Any, x: Any) -> Any:
    nn = lib.linen
    init = nn.with_partitioning(nn.initializers.zeros, ("in", "out"))
    mapped = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})
    return mapped(3, kernel_init=init)(x)


def _norm_applied(lib: Any) -> Any:
    layer = lib.linen.BatchNorm(use_running_average=False)
    return layer.apply(layer.init(KEY, X), X)


def _scopes_of_one_name(lib: Any) -> Any:
    root = lib.core.Scope({"params": {}}, {})
    root.push("a")
    return root.push("a")


def _scope_after_its_end(lib: Any) -> Any:
    with lib.core.Scope({"params": {}}, {}).temporary() as root:
        kept = root
    return kept.put_variable("params", "a", 1)


MODULES = {
    "layers of setup": Row(
        lambda lib: _with_layers(lib)(X),
        "AttributeError",
        '"Model" object has no attribute "layers". If "layers" is defined in '
        "'.setup()', remember these fields are only accessible from inside 'init' or 'apply'.",
    ),
    "a method that does not exist": Row(
        lambda lib: _dense(lib).apply({}, X, method="encode"),
        "AttributeError",
        '"Dense" object has no attribute "encode".',
    ),
    "unbound": Row(
        lambda lib: _dense(lib)(X),
        "CallCompactUnboundModuleError",
        "Can't call compact methods on unbound modules",
    ),
    "setup by hand": Row(
        lambda lib: _with_layers(lib).setup(),
        "CallSetupUnboundModuleError",
        "Can't call `setup()` on unbound modules",
        peer=False,  # it speaks of compact methods
    ),
    "unbind": Row(
        lambda lib: _dense(lib).unbind(),
        "CallUnbindOnUnboundModuleError",
        "Can't call `unbind()` on unbound modules",
    ),
    "share scope": Row(
        lambda lib: lib.linen.share_scope(_dense(lib), _dense(lib)),
        "CallShareScopeOnUnboundModuleError",
        "Can't call `share_scope` on unbound modules",
    ),
    "unbound variables": Row(
        lambda lib: _dense(lib).variables, "ValueError", "Can't access variables on unbound modules"
    ),
    "unbound path": Row(
        lambda lib: _dense(lib).path, "ValueError", "Can't access module paths on unbound modules"
    ),
    "unbound sow": Row(
        lambda lib: _dense(lib).sow("a", "b", 1),
        "ValueError",
        "Can't store variables on unbound modules",
    ),
    "unbound perturb": Row(
        lambda lib: _dense(lib).perturb("a", 1.0),
        "ValueError",
        "Can't store variables on unbound modules",
    ),
    "unbound key": Row(
        lambda lib: _dense(lib).make_rng("a"), "ValueError", "Can't use RNGs on unbound modules"
    ),
    "unbound stream": Row(
        lambda lib: _dense(lib).has_rng("a"),
        "ValueError",
        "Can't query for RNGs on unbound modules",
    ),
    "unbound collection": Row(
        lambda lib: _dense(lib).is_mutable_collection("a"),
        "ValueError",
        "Can't check mutability on unbound modules",
    ),
    "unbound init": Row(
        lambda lib: _dense(lib).is_initializing(),
        "ValueError",
        "Can't check if running under init() on unbound modules",
    ),
    "hash of bound": Row(
        lambda lib: hash(_dense(lib).bind({})),
        "TypeError",
        "Can't call __hash__ on modules that hold variables",
    ),
    "class": Row(
        lambda lib: lib.linen.Dense.init(KEY, X),
        "InvalidInstanceModuleError",
        "Can only call init, init_with_output or apply methods on an instance of the Module class",
    ),
    "method": Row(
        lambda lib: _dense(lib).apply({}, X, method=lambda: 1),
        "ApplyModuleInvalidMethodError",
        "Cannot call apply(): ",
    ),
    "field parent": Row(
        _declares("parent"),
        "ReservedModuleAttributeError",
        "properties `parent` and `name` are reserved: ",
    ),
    "field name": Row(
        _declares("name"),
        "ReservedModuleAttributeError",
        "properties `parent` and `name` are reserved: ",
        peer=False,  # accepted, though documented as refused
    ),
    "parent": Row(
        lambda lib: lib.linen.Dense(3, parent=3),
        "ValueError",
        "parent must be None, Module or Scope",
    ),
    "post init": Row(
        _forgets_super,
        "IncorrectPostInitOverrideError",
        "Overrode `.__post_init__()` without calling `super().__post_init__()`",
    ),
    "property": Row(
        _has_broken_property,
        "DescriptorAttributeError",
        "Trying to access a property that is accessing a non-existent attribute",
    ),
    "attribute in a call": Row(
        _in_call(lambda lib, s, x: setattr(s, "a", 1)),
        "SetAttributeFrozenModuleError",
        "Can't set a=1 for Module of type Model: Module instance is frozen outside of setup "
        "method.",
    ),
    "field in setup": Row(
        _assigns_to_field,
        "SetAttributeInModuleSetupError",
        "Module construction attributes are frozen",
    ),
    "submodule": Row(
        _in_call(lambda lib, s, x: _dense(lib)(x), compact=False),
        "AssignSubModuleError",
        "Submodule Dense must be defined in `setup()` or in a method wrapped in `@compact`",
    ),
    "parameter": Row(
        _in_call(lambda lib, s, x: s.param("a", lib.linen.initializers.zeros, (2,)), compact=False),
        "ValueError",
        "Parameters must be initialized in `setup()` or in a method wrapped in `@compact`",
    ),
    "variable": Row(
        _in_call(lambda lib, s, x: s.variable("a", "b", lambda: 0), compact=False),
        "ValueError",
        "Variables must be initialized in `setup()` or in a method wrapped in `@compact`",
    ),
    "submodules of one name": Row(
        _in_call(lambda lib, s, x: [lib.linen.Dense(3, name="a")(x) for _ in range(2)]),
        "NameInUseError",
        'Could not create submodule "a" in Module Model: Name in use.',
    ),
    "parameters of one name": Row(
        _in_call(
            lambda lib, s, x: [s.param("a", lib.linen.initializers.zeros, (2,)) for _ in range(2)]
        ),
        "NameInUseError",
        'Could not create param "a" in Module Model: Name in use.',
    ),
    "transformed instance": Row(
        _in_call(lambda lib, s, x: lib.linen.vmap(_dense(lib))(x)),
        "TransformTargetError",
        "Linen transformations must be applied to Modules classes or functions taking a Module "
        "instance as the first argument",
    ),
    "returned module": Row(
        _in_call(lambda lib, s, x: lib.linen.jit(lambda m, x: _dense(lib))(s, x)),
        "TransformedMethodReturnValueError",
        "Transformed module method <lambda> cannot return Modules or Variables",
    ),
    "axis without a name": Row(
        _in_call(_lays_out_without_a_name),
        "PartitioningUnspecifiedError",
        'Trying to transform a Partitioned variable but "partition_name" is not specified in '
        "metadata_params: Partitioned(",
    ),
    "perturbation": Row(
        lambda lib: _module(lib, lambda s, x: s.perturb("tap", x)).apply(
            {"perturbations": {"other": X}}, X
        ),
        "ValueError",
        "Perturbation collection perturbations present, but missing perturbation variable tap",
    ),
    "setting nowhere": Row(
        lambda lib: lib.linen.merge_param("size", None, None),
        "ValueError",
        'Parameter "size" must be passed to the constructor or at call time.',
    ),
    "setting twice": Row(
        lambda lib: lib.linen.merge_param("size", 1, 2),
        "ValueError",
        'Parameter "size" was passed to the constructor and at call time. Should be passed just '
        "once.",
    ),
}

SCOPES = {
    "no collection": Row(
        lambda lib: _dense(lib).apply({}, X),
        "ScopeCollectionNotFound",
        'Tried to access "kernel" from collection "params" in "/" but the collection is empty',
    ),
    "no parameter": Row(
        lambda lib: _dense(lib).apply({"params": {"weight": X}}, X),
        "ScopeParamNotFoundError",
        'Could not find parameter named "kernel" in scope "/".',
    ),
    "no variable": Row(
        lambda lib: _module(lib, lambda s, x: s.variable("c", "a", lambda: 0)).apply(
            {"c": {"b": 1}}, X
        ),
        "ScopeVariableNotFoundError",
        'No Variable named "a" for collection "c" exists in "/"',
    ),
    "shape": Row(
        lambda lib: _dense(lib).apply({"params": {"kernel": X.T, "bias": jnp.ones(2)}}, X),
        "ScopeParamShapeError",
        'For parameter "kernel" in "/", the given initializer is expected to generate shape (3, 3),'
        " but the existing parameter it received has shape (3, 2).",
    ),
    "immutable": Row(
        _norm_applied,
        "ModifyScopeVariableError",
        'Cannot update variable "mean" in "/" because collection "batch_stats" is immutable.',
    ),
    "wrapped twice": Row(
        lambda lib: _dense(lib).apply({"params": {"params": {}}}, X),
        "ApplyScopeInvalidVariablesStructureError",
        "Expect the `variables` (first argument) passed to apply() to be a dict with the structure "
        '{"params": ...}, but got a dict with an extra params layer',
    ),
    "no dictionary": Row(
        lambda lib: _dense(lib).apply({"params": X}, X),
        "ApplyScopeInvalidVariablesTypeError",
        "The first argument passed to an apply function should be a dictionary of collections",
    ),
    "filter": Row(
        lambda lib: _dense(lib).apply({}, X, mutable=3.5),
        "InvalidFilterError",
        'Invalid Filter: "3.5"',
    ),
    "key of init": Row(
        lambda lib: _dense(lib).init(X, X),
        "InvalidRngError",
        "RNGs should be of shape (2,) or PRNGKey in Module Dense, but rngs are: ",
    ),
    "keys of init": Row(
        lambda lib: lib.core.init(lambda s: 0)(X),
        "ValueError",
        "First argument passed to an init function should be a ``jax.PRNGKey`` or a dictionary "
        "mapping strings to ``jax.PRNGKey``.",
    ),
    "keys of apply": Row(
        lambda lib: lib.core.apply(lambda s: 0)({}, rngs=X),
        "ValueError",
        "The ``rngs`` argument passed to an apply function should be a ``jax.PRNGKey`` or a "
        "dictionary mapping strings to ``jax.PRNGKey``.",
    ),
    "stream": Row(
        _in_call(lambda lib, s, x: lib.core.Scope({}, {}).make_rng("noise")),
        "InvalidRngError",
        'None needs PRNG for "noise"',
    ),
    "stream of a module": Row(
        lambda lib: _module(lib, lambda s, x: lib.linen.Dropout(0.5)(x, deterministic=False)).apply(
            {}, X
        ),
        "InvalidRngError",
        'Dropout_0 needs PRNG for "dropout"',
    ),
    "scopes of one name": Row(
        _scopes_of_one_name, "ValueError", 'Duplicate use of scope name: "a"'
    ),
    "scope after its end": Row(_scope_after_its_end, "InvalidScopeError", 'The scope "'),
    "value that is not there": Row(
        lambda lib: _module(lib, lambda s, x: s.param("w", lambda _: x)).lazy_init(KEY, UNKNOWN),
        "LazyInitError",
        "Lazy init encountered a value that could",
        peer=False,  # 0.12.12 takes zeros
    ),
}
