"""Mistakes with modules of NNX."""

from typing import Any

import jax
import jax.numpy as jnp
from tests.errors.mistake import KEY, Mistake, X

from ramie import errors, linen, nnx


def rngs() -> nnx.Rngs:
    return nnx.Rngs(0)


def linear(inputs: int = 3, outputs: int = 4) -> nnx.Linear:
    return nnx.Linear(inputs, outputs, rngs=rngs())


MAKERS = {
    "Linear": lambda r: nnx.Linear(3, 4, rngs=r),
    "LinearGeneral": lambda r: nnx.LinearGeneral(3, 4, rngs=r),
    "Einsum": lambda r: nnx.Einsum("ab,bc->ac", (3, 4), rngs=r),
    "Embed": lambda r: nnx.Embed(3, 4, rngs=r),
    "Conv": lambda r: nnx.Conv(3, 4, (2,), rngs=r),
    "ConvTranspose": lambda r: nnx.ConvTranspose(3, 4, (2,), rngs=r),
    "BatchNorm": lambda r: nnx.BatchNorm(3, rngs=r),
    "LayerNorm": lambda r: nnx.LayerNorm(3, rngs=r),
    "RMSNorm": lambda r: nnx.RMSNorm(3, rngs=r),
    "GroupNorm": lambda r: nnx.GroupNorm(3, 3, rngs=r),
    "InstanceNorm": lambda r: nnx.InstanceNorm(3, rngs=r),
    "MultiHeadAttention": lambda r: nnx.MultiHeadAttention(1, 3, rngs=r),
    "LSTMCell": lambda r: nnx.LSTMCell(3, 4, rngs=r),
    "OptimizedLSTMCell": lambda r: nnx.OptimizedLSTMCell(3, 4, rngs=r),
    "GRUCell": lambda r: nnx.GRUCell(3, 4, rngs=r),
    "SimpleCell": lambda r: nnx.SimpleCell(3, 4, rngs=r),
    "LoRA": lambda r: nnx.LoRA(3, 2, 4, rngs=r),
    "LoRALinear": lambda r: nnx.LoRALinear(3, 4, lora_rank=2, rngs=r),
    "Dropout": lambda r: nnx.Dropout(0.5, rngs=r),
}
"""A layer of each kind that takes `rngs`."""


def abstract(make: Any) -> Any:
    return nnx.eval_shape(lambda: make(rngs()))


class Model(nnx.Module):
    def __init__(self, width=3):
        self.layers = nnx.List([linear(3, width), linear(4, 4)])

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def _in_jit(change: Any) -> Any:
    def program() -> Any:
        model = Model()
        return jax.jit(lambda: change(model))()

    return program


RNGS = {
    "a seed for Rngs": Mistake(
        lambda: nnx.Linear(3, 4, rngs=0),
        TypeError,
        ("nnx.Rngs", "Linear", "int 0", "rngs=nnx.Rngs(0)"),
    ),
    "a key for Rngs": Mistake(
        lambda: nnx.LSTMCell(3, 4, rngs=KEY),
        TypeError,
        ("nnx.Rngs", "LSTMCell", "random key", "rngs=nnx.Rngs(key)"),
    ),
    "a word for Rngs": Mistake(
        lambda: nnx.Conv(3, 4, (2,), rngs="params"),
        TypeError,
        ("nnx.Rngs", "Conv", "str", "rngs=nnx.Rngs(0)"),
    ),
    "the class Rngs": Mistake(
        lambda: nnx.Linear(3, 4, rngs=nnx.Rngs),
        TypeError,
        ("nnx.Rngs", "Linear", "the class Rngs", "rngs=nnx.Rngs(0)"),
    ),
    "no such stream": Mistake(
        lambda: nnx.Rngs(params=0).dropout, AttributeError, ("dropout", "Rngs", "params")
    ),
    "a word as seed": Mistake(
        lambda: nnx.Rngs("a"), ValueError, ("Invalid rng value", "a", "prng_key")
    ),
    "dropout without Rngs": Mistake(
        lambda: nnx.Dropout(0.5)(X), ValueError, ("rngs", "Dropout", "deterministic")
    ),
}

MODULES = {
    "layers in a list": Mistake(
        lambda: nnx.Sequential([linear(), linear()]),
        ValueError,
        ("nnx.Sequential", "list of 2", "one by one", "nnx.Sequential(*layers)"),
    ),
    "a class among layers": Mistake(
        lambda: nnx.Sequential(linear(), nnx.Linear),
        TypeError,
        ("Layer 1", "nnx.Sequential", "class Linear", "rngs=rngs"),
    ),
    "a class of cells": Mistake(
        lambda: nnx.RNN(nnx.LSTMCell),
        TypeError,
        ("nnx.RNN", "as cell", "class LSTMCell", "LSTMCell(..., rngs=rngs)"),
    ),
    "a class in two directions": Mistake(
        lambda: nnx.Bidirectional(nnx.RNN, nnx.RNN),
        TypeError,
        ("nnx.Bidirectional", "forward_rnn", "class RNN", "RNN(..., rngs=rngs)"),
    ),
    "a class that is adapted": Mistake(
        lambda: nnx.LoRA(3, 2, 3, base_module=nnx.Linear, rngs=rngs()),
        TypeError,
        ("nnx.LoRA", "base_module", "class Linear", "Linear(..., rngs=rngs)"),
    ),
    "a class of Linen in the bridge": Mistake(
        lambda: nnx.bridge.ToNNX(linen.Dense, rngs=rngs()),
        TypeError,
        ("ToNNX", "the class Dense", "ToNNX(nn.Dense(3), rngs=nnx.Rngs(0))"),
    ),
    "a class under a norm of weights": Mistake(
        lambda: nnx.SpectralNorm(nnx.Linear, rngs=rngs()),
        TypeError,
        ("nnx.SpectralNorm", "layer_instance", "class Linear", "Linear(..., rngs=rngs)"),
    ),
    "a word as size": Mistake(
        lambda: nnx.Linear(3, "4", rngs=rngs()),
        TypeError,
        ("Linear", "'4'", "str", "integers"),
    ),
    "a fraction as size": Mistake(
        lambda: nnx.Embed(3, 1.5, rngs=rngs()), TypeError, ("Embed", "1.5", "float", "integers")
    ),
    "a model without values is called": Mistake(
        lambda: nnx.eval_shape(Model)(X),
        TypeError,
        ("Linear at /layers/0", "shapes in place of values", "nnx.eval_shape", "nnx.update"),
    ),
    "another width": Mistake(
        lambda: Model(width=5)(X),
        errors.InputShapeError,
        ("Linear at /layers/1", "size 4 along axis -1", "float32[2,5]", "in_features"),
    ),
    "channels that do not fit": Mistake(
        lambda: nnx.Conv(3, 4, (2,), rngs=rngs())(X[..., :2]),
        ValueError,
        ("Conv at /", "3]", "1 spatial axes", "(2, 2)"),
    ),
    "a list of layers is assigned": Mistake(
        lambda: setattr(Model(), "more", [linear()]),
        ValueError,
        ("data", "'more'", "Linear", "nnx.List"),
        longest=700,
    ),
    "a method is transformed": Mistake(
        lambda: nnx.jit(Model().__call__), ValueError, ("nnx.jit", "bound methods")
    ),
    "a model is changed in jax.jit": Mistake(
        _in_jit(lambda model: setattr(model, "b", 1)),
        errors.TraceContextError,
        ("Model", "trace level", "argument", "nnx"),
        longest=520,
    ),
    "a variable is changed in jax.jit": Mistake(
        _in_jit(lambda model: model.layers[0].kernel.set_value(jnp.zeros((3, 3)))),
        errors.TraceContextError,
        ("Param", "trace level"),
        longest=520,
    ),
    "no statistics or new ones": Mistake(
        lambda: nnx.BatchNorm(3, use_running_average=None, rngs=rngs())(X),
        ValueError,
        ("use_running_average", "BatchNorm", "model.train()"),
        longest=460,
    ),
    "a cache that was not made": Mistake(
        lambda: nnx.MultiHeadAttention(1, 3, decode=True, rngs=rngs())(X[None]),
        ValueError,
        ("cache", "MultiHeadAttention", "init_cache"),
    ),
    "an optimizer without wrt": Mistake(lambda: nnx.Optimizer(Model(), None), TypeError, ("wrt",)),
    "a filter that leaves something": Mistake(
        lambda: nnx.split(nnx.BatchNorm(3, rngs=rngs()), nnx.Param),
        ValueError,
        ("Non-exhaustive", "remainder"),
        longest=700,
    ),
}
