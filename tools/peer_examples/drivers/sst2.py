"""Sentiment of sentences by an LSTM, in Linen."""

from pathlib import Path

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, calls, compiled_calls

FOLDER = "sst2"
NEEDS = ("tensorflow", "tensorflow_datasets", "tensorflow_text", "ml_collections", "tensorboardX")
WHAT = "`train_and_evaluate`: 2 epochs of 6 to 8 steps and their evaluations, batches of 8"


def run(record: Record, workdir: Path) -> None:
    """Train on sentences of words that the example's vocabulary has."""
    import input_pipeline
    import numpy as np
    import train
    from configs import default

    mocks.give_tensorflow_text(input_pipeline, "text")
    config = default.get_config()
    config.batch_size, config.num_epochs, config.bucket_size = 8, 2, 20

    draw = np.random.default_rng(0)
    words = Path("vocab.txt").read_text(encoding="utf-8").split()[10:500]
    sentences = [" ".join(draw.choice(words, draw.integers(3, 40))) for _ in range(80)]
    features = {
        "sentence": np.array(sentences),
        "label": draw.integers(0, 2, 80),
        "idx": np.arange(80, dtype=np.int32),
    }
    data = {"train": features, "validation": {n: v[:20] for n, v in features.items()}}
    with (
        mocks.tfds_data(80, as_dataset_fn=mocks.served(data)),
        compiled_calls("jit", "train_step", lambda result, _: record.step(result[1])),
        compiled_calls("jit", "eval_step", lambda metrics, _: record.step(metrics)),
        calls(train, "evaluate_model", lambda metrics, _: record.step(metrics)),
    ):
        record.parameters(train.train_and_evaluate(config, str(workdir)).params)
