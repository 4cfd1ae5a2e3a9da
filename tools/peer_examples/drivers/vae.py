"""The variational autoencoder, in Linen."""

from pathlib import Path

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, calls

FOLDER = "vae"
NEEDS = ("tensorflow", "tensorflow_datasets", "ml_collections", "PIL")
WHAT = "`train_and_evaluate`: 8 steps, 2 evaluations; batches of 16"


def run(record: Record, workdir: Path) -> None:
    """Train for two epochs of four steps."""
    import numpy as np
    import train
    from configs import default

    config = default.get_config()
    config.batch_size, config.num_epochs = 16, 2

    pixels = np.random.default_rng(0).integers(0, 2, (2, 64, 28, 28, 1), np.uint8)
    data = {"train": {"image": pixels[0]}, "test": {"image": pixels[1]}}

    def evaluated(result: object, arguments: tuple[object, ...]) -> None:
        record.step(result)
        record.parameters(arguments[0])

    with (
        mocks.tfds_data(64, splits={"train": 64}, as_dataset_fn=mocks.served(data)),
        calls(train, "eval_f", evaluated),
        calls(train, "train_step", lambda state, _: record.step(state.params)),
    ):
        train.train_and_evaluate(config, str(workdir))
