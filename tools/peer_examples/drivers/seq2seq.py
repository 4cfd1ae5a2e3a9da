"""Addition by a sequence-to-sequence LSTM, in Linen."""

from pathlib import Path

from tools.peer_examples.record import Record, calls

FOLDER = "seq2seq"
NEEDS = ("clu", "tensorflow")
WHAT = "`train_and_evaluate`: 12 steps, 2 of them with decoding; batches of 16, 64 units"


def run(record: Record, workdir: Path) -> None:
    """Train for twelve steps."""
    import train

    train.FLAGS(
        [
            "train",
            "--batch_size=16",
            "--hidden_size=64",
            "--num_train_steps=12",
            "--decode_frequency=5",
        ]
    )
    with (
        calls(train, "train_step", lambda result, _: record.step(result[1])),
        calls(train, "decode", lambda predictions, _: record.step(predictions)),
    ):
        record.parameters(train.train_and_evaluate(str(workdir)).params)
