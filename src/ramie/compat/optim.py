"""Answers to `flax.optim`, which Flax dropped in release 0.6 in favour of Optax.

Nothing here optimises. Reading one of the old names raises an AttributeError that says what to
write instead, so that a program from before 0.6 stops with a direction and not with a puzzle.
"""

from typing import NoReturn

SUCCESSORS: dict[str, str] = {
    "Adadelta": "optax.adadelta",
    "Adafactor": "optax.adafactor",
    "Adagrad": "optax.adagrad",
    "Adam": "optax.adam (optax.adamw with weight decay)",
    "DynamicScale": "flax.training.dynamic_scale.DynamicScale",
    "GradientDescent": "optax.sgd",
    "LAMB": "optax.lamb",
    "LARS": "optax.lars",
    "ModelParamTraversal": "flax.traverse_util.ModelParamTraversal",
    "Momentum": "optax.sgd with momentum=",
    "MultiOptimizer": "optax.multi_transform (or optax.masked)",
    "Optimizer": "flax.training.train_state.TrainState",
    "OptimizerDef": "optax.GradientTransformation",
    "RMSProp": "optax.rmsprop",
}


def __getattr__(name: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(f"module 'flax.optim' has no attribute {name!r}")
    successor = SUCCESSORS.get(name, "the optimizer of that purpose in optax")
    raise AttributeError(
        f"flax.optim.{name} does not exist: Flax removed its optimizers in release 0.6. "
        f"Use {successor} instead, and keep parameters and optimizer state in a "
        "flax.training.train_state.TrainState"
    )
