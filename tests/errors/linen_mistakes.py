"""Mistakes with modules of Linen."""

from typing import Any

import jax
import jax.numpy as jnp
from tests.errors.mistake import KEY, Mistake, X

from ramie import errors, nnx
from ramie import linen as nn


def module(call: Any, *, setup: Any = None, **attributes: Any) -> Any:
    """Make a module whose compact method is a function; attributes with a type become fields."""
    body = {"__call__": nn.compact(call) if setup is None else call, **attributes}
    if setup is not None:
        body["setup"] = setup
    return type("Net", (nn.Module,), body)


def asks(call: Any) -> Any:
    """A program that initialises a module whose compact method is `call`."""
    return lambda: module(call)().init(KEY, X)


class Torch(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.dense = nn.Dense(width)

    def __call__(self, x):
        return self.dense(x)


class TorchWithoutSuper(nn.Module):
    def __init__(self, width):
        self.dense = nn.Dense(width)

    def __call__(self, x):
        return self.dense(x)


class NoAnnotation(nn.Module):
    width = 3
    activation = nn.relu

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


class Annotated(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width, name="layer")(x)


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: jnp.zeros(()))
        count.value += 1
        return nn.Dropout(0.5, deterministic=False)(x)


def deep() -> Any:
    """A model whose layers lie two modules deep, and its variables."""
    inner = module(lambda self, x: nn.Dense(4, name="layer")(x))
    model = module(lambda self, x: inner(name="block")(x))()
    return model, model.init(KEY, X)


def _assigned() -> None:
    model = Annotated()
    bound = model.bind(model.init(KEY, X))
    bound.width = 4


def _wrong_width() -> None:
    model, variables = deep()
    model.apply(variables, jnp.ones((2, 5)))


def _parameters_alone() -> None:
    model, variables = deep()
    model.apply(variables["params"], X)


def _twice_wrapped() -> None:
    model, variables = deep()
    model.apply({"params": variables}, X)


def _other_names() -> None:
    _, variables = deep()
    Annotated().apply(variables, X)


def _immutable() -> None:
    model = Counting()
    variables = model.init({"params": KEY, "dropout": KEY}, X)
    model.apply(variables, X, rngs={"dropout": KEY})


def _no_stream() -> None:
    model = Counting()
    variables = model.init({"params": KEY, "dropout": KEY}, X)
    model.apply(variables, X, mutable=["state"])


def _jax_transform() -> None:
    def call(self, x):
        dense = nn.Dense(3)
        return jax.jit(lambda y: dense(y))(x)

    asks(call)()


MODULES = {
    "a layer is called without variables": Mistake(
        lambda: nn.Dense(3)(X),
        errors.CallCompactUnboundModuleError,
        ("unbound", "Dense", "model.init(key, x)", "model.apply(variables, x)"),
    ),
    "layers made in __init__": Mistake(
        lambda: Torch(3).init(KEY, X),
        errors.CallCompactUnboundModuleError,
        ("Dense", "Torch", "setup()", "declare fields"),
        longest=460,
    ),
    "__init__ without super": Mistake(
        lambda: TorchWithoutSuper(3).init(KEY, X),
        errors.IncorrectPostInitOverrideError,
        ("without calling", "TorchWithoutSuper", "declare fields", "setup()"),
    ),
    "a field without annotation": Mistake(
        lambda: NoAnnotation(width=4),
        TypeError,
        ("'width'", "NoAnnotation", "without an annotation", "width: int"),
    ),
    "a function as field without annotation": Mistake(
        lambda: NoAnnotation(activation=nn.tanh),
        TypeError,
        ("'activation'", "NoAnnotation", "without an annotation", "activation: Callable"),
    ),
    "a field too many": Mistake(
        lambda: Annotated(3, 4),
        TypeError,
        ("2 positional arguments but 3", "fields are width", "annotation"),
    ),
    "an unknown field": Mistake(
        lambda: Annotated(widht=4), TypeError, ("'widht'", "Annotated", "fields are width")
    ),
    "a submodule in a plain method": Mistake(
        lambda: module(lambda self, x: nn.Dense(3)(x), setup=lambda self: None)().init(KEY, X),
        errors.AssignSubModuleError,
        ("Dense", "setup", "@compact", "@nn.compact"),
    ),
    "an attribute is assigned": Mistake(
        _assigned,
        errors.SetAttributeFrozenModuleError,
        ("width=4", "Annotated", "frozen", "self.variable"),
    ),
    "setup assigns to a field": Mistake(
        lambda: type(
            "Net",
            (nn.Module,),
            {
                "__annotations__": {"width": int},
                "width": 3,
                "setup": lambda self: setattr(self, "width", 4),
                "__call__": lambda self, x: x,
            },
        )().init(KEY, X),
        errors.SetAttributeInModuleSetupError,
        ("setup()", "Net", "dataclass field", "another name"),
    ),
    "a reserved field": Mistake(
        lambda: type("Net", (nn.Module,), {"__annotations__": {"parent": int}}),
        errors.ReservedModuleAttributeError,
        ("reserved", "parent", "Rename"),
    ),
    "a name twice": Mistake(
        asks(lambda self, x: nn.Dense(3, name="a")(nn.Dense(3, name="a")(x))),
        errors.NameInUseError,
        ("submodule", '"a"', "Net", "rename", "same instance"),
    ),
    "the class itself": Mistake(
        lambda: nn.Dense.init(KEY, X),
        errors.InvalidInstanceModuleError,
        ("instance", "Construct it first"),
    ),
    "init without a method": Mistake(
        lambda: type("Net", (nn.Module,), {})().init(KEY, X), AttributeError, ("Net", "__call__")
    ),
    "an instance is transformed": Mistake(
        lambda: nn.vmap(nn.Dense(3))(X),
        errors.TransformTargetError,
        ("Modules classes", "Dense", "nn.vmap(nn.Dense)"),
        longest=520,
    ),
    "jax.jit around a submodule": Mistake(
        _jax_transform,
        errors.JaxTransformError,
        ("Jax", "nn.jit", "model.apply"),
    ),
    "a module with setup is called without variables": Mistake(
        lambda: WithSetup()(X),
        AttributeError,
        ("WithSetup", '"dense"', "model.apply(variables, x)", "nnx.bridge.ToNNX"),
    ),
    "Linen inside of NNX": Mistake(
        lambda: LinenInNNX()(X),
        errors.CallCompactUnboundModuleError,
        ("Dense", "LinenInNNX", "NNX", "nnx.bridge.ToNNX"),
    ),
}


class LinenInNNX(nnx.Module):
    def __init__(self):
        self.dense = nn.Dense(3)

    def __call__(self, x):
        return self.dense(x)


class WithSetup(nn.Module):
    def setup(self):
        self.dense = nn.Dense(3)

    def __call__(self, x):
        return self.dense(x)


VARIABLES = {
    "a key is missing": Mistake(
        lambda: nn.Dense(3).init(X),
        errors.InvalidRngError,
        ("PRNGKey", "Dense", "float32", "init(jax.random.key(0), x)"),
    ),
    "a seed for a key": Mistake(
        lambda: nn.Dense(3).init(0, X),
        errors.InvalidRngError,
        ("PRNGKey", "Dense", "0", "init(jax.random.key(0), x)"),
    ),
    "Rngs for a key": Mistake(
        lambda: nn.Dense(3).init(nnx.Rngs(0), X),
        errors.InvalidRngError,
        ("PRNGKey", "Dense", "nnx.Rngs", "init(rngs.params(), x)"),
    ),
    "a stream is missing": Mistake(
        _no_stream,
        errors.InvalidRngError,
        ("dropout", "/Dropout_0", "rngs={'dropout': key}"),
    ),
    "another width": Mistake(
        _wrong_width,
        errors.ScopeParamShapeError,
        ("kernel", "/block/layer", "(5, 4)", "(3, 4)", "feature sizes"),
        longest=460,
    ),
    "parameters without their collection": Mistake(
        _parameters_alone,
        errors.ScopeCollectionNotFound,
        ("kernel", "params", "/block/layer", "'params': {...}"),
    ),
    "parameters wrapped twice": Mistake(
        _twice_wrapped,
        errors.ApplyScopeInvalidVariablesStructureError,
        ("extra params layer", "Pass the result of init"),
    ),
    "parameters of another model": Mistake(
        _other_names,
        errors.ScopeParamNotFoundError,
        ("kernel", "/layer", "init of this very model"),
    ),
    "variables are an array": Mistake(
        lambda: nn.Dense(3).apply(X, X),
        errors.ApplyScopeInvalidVariablesTypeError,
        ("dictionary of collections", "'params'"),
    ),
    "statistics that may not change": Mistake(
        _immutable,
        errors.ModifyScopeVariableError,
        ("count", "state", "mutable=['state']"),
    ),
    "param with jnp.ones": Mistake(
        asks(lambda self, x: self.param("w", jnp.ones, (8,))),
        TypeError,
        ('"w"', "takes a key first", "nn.initializers.ones"),
        longest=480,
    ),
    "param with an array": Mistake(
        asks(lambda self, x: self.param("w", jnp.ones(8))),
        TypeError,
        ('"w"', "not a function", "self.param("),
    ),
    "param without a shape": Mistake(
        asks(lambda self, x: self.param("w", nn.initializers.ones)),
        TypeError,
        ('"w"', "ones", "no shape"),
    ),
    "param with a number as shape": Mistake(
        asks(lambda self, x: self.param("w", nn.initializers.lecun_normal(), 8)),
        ValueError,
        ('"w"', "its shape is 8", "(3,)"),
        longest=480,
    ),
    "param with a maker of initializers": Mistake(
        asks(lambda self, x: self.param("w", nn.initializers.lecun_normal, (8, 8))),
        TypeError,
        ('"w"', "another initializer", "lecun_normal()"),
    ),
    "variable with an array": Mistake(
        asks(lambda self, x: self.variable("state", "v", jnp.zeros(3))),
        TypeError,
        ('"v"', "made by a function", "lambda: value"),
    ),
    "a word as size": Mistake(
        lambda: nn.Dense("3").init(KEY, X),
        TypeError,
        ("kernel", "(3, '3')", "str", "integers", "Dense"),
    ),
    "a fraction as size": Mistake(
        lambda: nn.Dense(3 / 2).init(KEY, X),
        TypeError,
        ("kernel", "(3, 1.5)", "float", "integers", "Dense"),
    ),
    "sizes in a list": Mistake(
        lambda: nn.Dense([3, 4]).init(KEY, X), TypeError, ("kernel", "tuple", "integers", "Dense")
    ),
}

LAYERS = {
    "layers without a list": Mistake(
        lambda: nn.Sequential(nn.Dense(3), nn.Dense(4)),
        TypeError,
        ("positional arguments", "list", "Sequential([first, second, ...])"),
    ),
    "one layer without a list": Mistake(
        lambda: nn.Sequential(nn.Dense(3)),
        ValueError,
        ("must be a sequence", "Dense", "Sequential([first, second, ...])"),
    ),
    "a class among layers": Mistake(
        lambda: nn.Sequential([nn.relu, nn.Dense]).init(KEY, X),
        TypeError,
        ("Layer 1", "Sequential", "class Dense", "nn.Dense(...)"),
    ),
    "a class of cells": Mistake(
        lambda: nn.RNN(nn.LSTMCell),
        TypeError,
        ("nn.RNN", "as cell", "class LSTMCell", "LSTMCell(...)"),
    ),
    "a class in two directions": Mistake(
        lambda: nn.Bidirectional(nn.RNN(nn.LSTMCell(3)), nn.RNN).init(KEY, X[None]),
        TypeError,
        ("nn.Bidirectional", "backward_rnn", "class RNN", "RNN(...)"),
    ),
    "a class under a norm of weights": Mistake(
        lambda: nn.WeightNorm(nn.Dense).init(KEY, X),
        TypeError,
        ("nn.WeightNorm", "layer_instance", "class Dense", "Dense(...)"),
    ),
    "dropout without a mode": Mistake(
        lambda: nn.Dropout(0.5).apply({}, X), ValueError, ("deterministic", "Dropout")
    ),
    "indices that are no integers": Mistake(
        lambda: nn.Embed(3, 2).init(KEY, X), ValueError, ("integer", "float32")
    ),
    "features that heads do not divide": Mistake(
        lambda: nn.MultiHeadDotProductAttention(2, qkv_features=3).init(KEY, X),
        ValueError,
        ("(3)", "divisible", "heads (2)"),
    ),
}
