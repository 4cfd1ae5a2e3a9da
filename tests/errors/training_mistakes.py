"""Mistakes around a training loop."""

import numpy as np
from tests.errors.mistake import KEY, Mistake, X
from tests.errors.nnx_mistakes import Model

from ramie import checkpoint, errors, jax_utils, nnx, serialization
from ramie import linen as nn
from ramie.training import checkpoints, common_utils, lr_schedule

TRAINING = {
    "a structure of NNX inside of a tree is saved": Mistake(
        lambda: serialization.to_bytes({"model": nnx.graphdef(Model())}),
        TypeError,
        ("serialize", "GraphDef", "./model", "nnx.state(model)"),
    ),
    "something is restored into a structure of NNX": Mistake(
        lambda: serialization.from_state_dict({"model": nnx.graphdef(Model())}, {"model": {}}),
        ValueError,
        ("GraphDef", "./model", "nnx.state(model)"),
    ),
    "something is restored into a module of Linen": Mistake(
        lambda: serialization.from_state_dict({"model": nn.Dense(3)}, {"model": {}}),
        ValueError,
        ("Dense", "./model", "model.init(key, x)"),
    ),
    "a module of Linen is saved": Mistake(
        lambda: serialization.to_bytes({"model": nn.Dense(3)}),
        TypeError,
        ("serialize", "Dense", "./model", "model.init(key, x)"),
    ),
    "a structure of NNX is saved as safetensors": Mistake(
        lambda: checkpoint.save_safetensors("x.safetensors", {"model": nnx.graphdef(Model())}),
        errors.FormatLimitError,
        ("safetensors", "GraphDef", "model", "nnx.state(model)"),
    ),
    "a module of Linen is saved as safetensors": Mistake(
        lambda: checkpoint.save_safetensors("here.safetensors", nn.Dense(3)),
        errors.FormatLimitError,
        ("safetensors", "Dense", "model.init(key, x)"),
    ),
    "anything else is saved": Mistake(
        lambda: serialization.to_bytes({"a": object()}),
        TypeError,
        ("serialize", "object", "./a", "register_serialization_state"),
    ),
    "no such checkpoint": Mistake(
        lambda: checkpoints.restore_checkpoint("no_folder", None, step=3),
        ValueError,
        ("checkpoint not found", "no_folder"),
    ),
    "other parameters are loaded": Mistake(
        lambda: serialization.from_bytes(
            nn.Dense(3).init(KEY, X), serialization.to_bytes({"params": {"weight": X}})
        ),
        ValueError,
        ("kernel", "./params"),
    ),
    "a batch that does not divide": Mistake(
        lambda: common_utils.shard({"x": np.ones((4 * 7 + 1, 2))}),
        ValueError,
        ("(29, 2)", "['x']", "evenly", "multiple of"),
    ),
    "a scalar is unreplicated": Mistake(
        lambda: jax_utils.unreplicate(2.5), ValueError, ("axis of devices", "2.5", "replicated")
    ),
    "stairs that are no pairs": Mistake(
        lambda: lr_schedule.create_stepped_learning_rate_schedule(0.1, 10, [3]),
        ValueError,
        ("lr_sched_steps[0]", "pair", "3"),
    ),
}
