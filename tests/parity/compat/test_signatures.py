"""Parameters of every public function, class and method are those of Flax, in name and order."""

import importlib
import inspect

import pytest

flax = pytest.importorskip("flax")

from ramie.compat.aliases import target_of  # noqa: E402

# Every Linen module ends with these two. Here they go by keyword only: a positional one would
# change its meaning with each field that a class gains.
BY_KEYWORD = {"parent", "name"}
# Functions make these objects; nobody calls the classes, whose methods are documented elsewhere.
NOT_CALLED = {"HijaxVariable", "VarDefaultsContext"}
MODULES = [
    "flax.core",
    "flax.core.frozen_dict",
    "flax.core.meta",
    "flax.core.scope",
    "flax.cursor",
    "flax.errors",
    "flax.io",
    "flax.jax_utils",
    "flax.linen",
    "flax.linen.attention",
    "flax.linen.batch_apply",
    "flax.linen.dtypes",
    "flax.linen.experimental.layers_with_named_axes",
    "flax.linen.fp8_ops",
    "flax.linen.initializers",
    "flax.linen.linear",
    "flax.linen.module",
    "flax.linen.normalization",
    "flax.linen.pooling",
    "flax.linen.recurrent",
    "flax.linen.spmd",
    "flax.nnx.training.ema",
    "flax.nnx.training.metrics",
    "flax.nnx.training.optimizer",
    "flax.nnx.variablelib",
    "flax.serialization",
    "flax.struct",
    "flax.traceback_util",
    "flax.training.checkpoints",
    "flax.training.common_utils",
    "flax.training.dynamic_scale",
    "flax.training.early_stopping",
    "flax.training.lr_schedule",
    "flax.training.orbax_utils",
    "flax.training.prefetch_iterator",
    "flax.training.train_state",
    "flax.traverse_util",
]


def _parameters(function):
    """Return the named parameters by name, None where Python cannot tell."""
    if inspect.isclass(function) and type(function).__call__ is not type.__call__:
        function = function.__init__  # Flax's metaclass hides what its classes take; ours does not
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p for p in parameters if p.name != "self" and p.kind not in unnamed]


def _public(module):
    for name, value in sorted(vars(module).items()):
        home = getattr(value, "__module__", None) or ""
        if not name.startswith("_") and home.partition(".")[0] == "flax" and callable(value):
            yield name, value


def _differences(theirs, ours, name):
    expected, found = _parameters(theirs), _parameters(ours)
    if expected is None or found is None:
        return []
    known = {p.name for p in expected}
    # Optional arguments of our own come last and by keyword only.
    common = [
        p for p in found if p.name in known or p.kind is not p.KEYWORD_ONLY or p.default is p.empty
    ]
    fits = [p.name for p in common] == [p.name for p in expected] and all(
        mine.kind is other.kind or other.kind is other.POSITIONAL_ONLY or mine.name in BY_KEYWORD
        for mine, other in zip(common, expected, strict=True)
    )
    fits = fits and not any(
        mine.default is mine.empty and other.default is not other.empty
        for mine, other in zip(common, expected, strict=True)
    )
    return [] if fits else [f"{name}{inspect.signature(ours)} is not {inspect.signature(theirs)}"]


@pytest.mark.parametrize("path", MODULES)
def test_shared_names_take_the_same_arguments(path):
    module = importlib.import_module(path)
    counterpart = importlib.import_module(target_of(path))
    wrong = []
    for name, theirs in _public(module):
        ours = getattr(counterpart, name, None)
        if ours is None or not callable(ours) or name in NOT_CALLED:
            continue
        wrong += _differences(theirs, ours, name)
        if inspect.isclass(theirs) and inspect.isclass(ours):
            for key, method in vars(theirs).items():
                if inspect.isfunction(method) and not key.startswith("_") and hasattr(ours, key):
                    wrong += _differences(method, getattr(ours, key), f"{name}.{key}")
    assert not wrong, wrong
