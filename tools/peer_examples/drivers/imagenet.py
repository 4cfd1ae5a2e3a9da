"""ImageNet with a residual network, in Linen."""

import functools
from pathlib import Path
from unittest import mock

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, compiled_calls

FOLDER = "imagenet"
NEEDS = ("tensorflow", "tensorflow_datasets", "clu", "ml_collections", "orbax.checkpoint")
WHAT = "`train_and_evaluate`: ResNet-18, 6 steps, 2 evaluations, a checkpoint; batches of 4"


def run(record: Record, workdir: Path) -> None:
    """Train for two epochs of three steps, on pictures of 224 by 224."""
    import tensorflow as tf
    import train
    from configs import default

    config = default.get_config()
    config.model, config.batch_size, config.shuffle_buffer_size = "ResNet18", 4, 12
    config.num_epochs, config.warmup_epochs, config.num_train_steps = 2, 1, 6
    config.steps_per_eval, config.log_every_steps, config.profile = 2, 1, False

    # Without a seed of its own this operation ignores the global one.
    crop = functools.partial(tf.image.sample_distorted_bounding_box, seed=1)
    with (
        mock.patch.object(tf.image, "sample_distorted_bounding_box", crop),
        mocks.tfds_data(12, splits={"train": 12, "validation": 12}),
        compiled_calls("pmap", "train_step", lambda result, _: record.step(result[1])),
        compiled_calls("pmap", "eval_step", lambda metrics, _: record.step(metrics)),
    ):
        state = train.train_and_evaluate(config, str(workdir))
    record.parameters({"params": state.params, "batch_stats": state.batch_stats})
