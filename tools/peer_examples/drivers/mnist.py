"""MNIST, in NNX, with the export to a SavedModel at the end."""

from pathlib import Path
from typing import Any

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, calls

FOLDER = "mnist"
NEEDS = ("tensorflow", "tensorflow_datasets", "ml_collections", "orbax.export", "tensorboardX")
WHAT = "`train_and_evaluate`: 2 epochs of 4 steps and their evaluations, batches of 8; export"


def run(record: Record, workdir: Path) -> None:
    """Train for two epochs of four steps."""
    import train
    from configs import default
    from flax import nnx

    config = default.get_config()
    config.batch_size, config.num_epochs = 8, 2

    def stepped(_: Any, arguments: tuple[Any, ...]) -> None:
        model, metrics = arguments[0], arguments[2 if len(arguments) > 3 else 1]
        record.step(metrics.compute())
        record.parameters(nnx.to_pure_dict(nnx.state(model)))

    with (
        mocks.tfds_data(32),
        calls(train, "train_step", stepped),
        calls(train, "eval_step", stepped),
    ):
        train.train_and_evaluate(config, str(workdir))
