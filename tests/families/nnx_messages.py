"""How messages of NNX begin."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from tests.families.message_row import Row, X


def _model(lib: Any) -> Any:
    """Make a module with one parameter, that returns what it is called with."""
    made = type("Model", (lib.nnx.Module,), {"__call__": lambda self, x: x})()
    made.a = lib.nnx.Param(jnp.ones(2))
    return made


def _under_jit(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A program that changes a model from inside of a function of JAX that does not take it."""

    def program(lib: Any) -> Any:
        model = _model(lib)
        return jax.jit(lambda: change(model))()

    return program


def _holds_a_list(lib: Any) -> Any:
    model = _model(lib)
    model.layers = [lib.nnx.Param(jnp.ones(2))]


def _bound(transform: str) -> Row:
    return Row(
        lambda lib: getattr(lib.nnx, transform)(_model(lib).__call__),
        "ValueError",
        f"nnx.{transform} does not support bound methods",
    )


def _scan(in_axes: str, out_axes: str, returns: Callable[[Any, Any], Any], *args: Any) -> Any:
    """A program that scans; axes are written as ``c0``: carry, then axis 0."""

    def program(lib: Any) -> Any:
        def axes(text: str) -> Any:
            found = tuple(lib.nnx.Carry if letter == "c" else 0 for letter in text)
            return found if len(found) > 1 else found[0]

        scanned = lib.nnx.scan(returns, in_axes=axes(in_axes), out_axes=axes(out_axes))
        return scanned(*args)

    return program


def _pair(c: Any, x: Any) -> tuple[Any, Any]:
    return c, x


def _rngs(lib: Any) -> Any:
    return lib.nnx.Rngs(0)


NNX = {
    "list": Row(_holds_a_list, "ValueError", "Found data on value of type '<class 'list'>'"),
    **{f"bound method, {name}": _bound(name) for name in ("jit", "grad", "vmap", "scan", "remat")},
    "no stream": Row(
        lambda lib: lib.nnx.Rngs(params=0).dropout,
        "AttributeError",
        "No RngStream named 'dropout' found in Rngs.",
    ),
    "no key": Row(
        lambda lib: lib.nnx.Rngs("a"),
        "ValueError",
        "Invalid rng value: a, expected a jax.Array of jax.dtypes.prng_key sub-dtype",
    ),
    "remainder": Row(
        lambda lib: lib.nnx.split(_model(lib), lib.nnx.BatchStat),
        "ValueError",
        "Non-exhaustive filters, got a non-empty remainder: ",
    ),
    "filters after the last": Row(
        lambda lib: lib.nnx.split(_model(lib), ..., lib.nnx.Param),
        "ValueError",
        "`...` or `True` can only be used as the last filters, got Ellipsis it at index 0",
    ),
    "no structure": Row(
        lambda lib: lib.nnx.merge(3, {}),
        "TypeError",
        "Expected a GraphDef or GraphState object, got: 3",
    ),
    "no leaves": Row(
        lambda lib: lib.nnx.merge(lib.nnx.split(_model(lib))[0], {}),
        "ValueError",
        "Incorrect number of leaves, expected 1 leaves, but got 0.",
    ),
    "variable of another trace": Row(
        _under_jit(lambda model: model.a.set_value(jnp.zeros(2))),
        "TraceContextError",
        "Cannot mutate Param from a different trace level",
    ),
    "object of another trace": Row(
        _under_jit(lambda model: setattr(model, "b", 1)),
        "TraceContextError",
        "Cannot mutate 'Model' from different trace level",
    ),
    "one carry": Row(
        _scan("c0", "0", _pair, X, X),
        "ValueError",
        "If one of in_axes or out_axes has Carry, the other must also have Carry.",
    ),
    "two carries": Row(
        _scan("cc", "c0", _pair, X, X), "ValueError", "Found multiple Carry definitions "
    ),
    "arguments of a carry": Row(
        _scan("c", "c", _pair, X, X),
        "ValueError",
        "When in_axes=Carry, the function must take exactly one argument, got 2 arguments.",
    ),
    "view": Row(
        lambda lib: lib.nnx.view(_model(lib), unknown=1),
        "ValueError",
        "Unused keys found in nnx.view: ['unknown']",
    ),
    "attributes": Row(
        lambda lib: _model(lib).set_attributes(unknown=1),
        "ValueError",
        "Could not find at least one instance of the following attributes: ['unknown']",
    ),
    "dropout without a stream": Row(
        lambda lib: lib.nnx.Dropout(0.5)(X),
        "ValueError",
        "`deterministic` is False, but no `rngs` argument was provided to Dropout",
    ),
    "dropout or not": Row(
        lambda lib: lib.nnx.Dropout(0.5, rngs=_rngs(lib), deterministic=None)(X),
        "ValueError",
        "No `deterministic` argument was provided to Dropout",
    ),
    "statistics or not": Row(
        lambda lib: lib.nnx.BatchNorm(3, rngs=_rngs(lib), use_running_average=None)(X),
        "ValueError",
        "No `use_running_average` argument was provided to BatchNorm",
    ),
    "no cache": Row(
        lambda lib: lib.nnx.MultiHeadAttention(1, 3, rngs=_rngs(lib), decode=True)(X[None]),
        "ValueError",
        "Autoregressive cache not initialized, call ``init_cache`` first",
    ),
    "decode or not": Row(
        lambda lib: lib.nnx.MultiHeadAttention(1, 3, rngs=_rngs(lib), decode=None)(X[None]),
        "ValueError",
        "No `decode` argument was provided to MultiHeadAttention",
    ),
    "heads": Row(
        lambda lib: lib.nnx.MultiHeadAttention(2, 3, rngs=_rngs(lib)),
        "ValueError",
        "Memory dimension (3) must be divisible by 'num_heads' heads (2)",
    ),
    "features": Row(
        lambda lib: lib.nnx.MultiHeadAttention(1, 3, rngs=_rngs(lib), decode=False)(X[:, None, :2]),
        "ValueError",
        "Incompatible input dimension, got 2 but module expects 3",
    ),
    "groups": Row(
        lambda lib: lib.nnx.GroupNorm(3, num_groups=2, rngs=_rngs(lib)),
        "ValueError",
        "Number of groups (2) does not divide the number of channels (3).",
    ),
    "mask of a kernel": Row(
        lambda lib: lib.nnx.Conv(3, 4, (2,), mask=jnp.ones(3), rngs=_rngs(lib))(X[None]),
        "ValueError",
        "Mask needs to have the same shape as weights. Shapes are: (3,), (2, 3, 4)",
    ),
    "base of an adaptation": Row(
        lambda lib: lib.nnx.LoRA(3, 2, 3, base_module=3, rngs=_rngs(lib))(X),
        "ValueError",
        "`self.base_module` must be callable",
    ),
    "indices": Row(
        lambda lib: lib.nnx.Embed(3, 2, rngs=_rngs(lib))(X),
        "ValueError",
        "Input type must be an integer or unsigned integer",
    ),
    "what is optimized": Row(
        lambda lib: lib.nnx.Optimizer(_model(lib), None),
        "TypeError",
        "Missing required argument `wrt`",
    ),
    "name of a metric": Row(
        lambda lib: lib.nnx.metrics.Average("x").update(y=1),
        "TypeError",
        "Expected keyword argument 'x'",
    ),
    "aliases": Row(
        lambda lib: (lambda model: lib.nnx.jit(lambda a, b: 1, graph=False)(model, model))(
            _model(lib)
        ),
        "ValueError",
        "Duplicate Param(",
    ),
}
