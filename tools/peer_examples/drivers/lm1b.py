"""The language model by a transformer, in Linen."""

from pathlib import Path

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, calls, compiled_calls

FOLDER = "lm1b"
NEEDS = (
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_text",
    "sentencepiece",
    "clu",
    "ml_collections",
    "orbax.checkpoint",
)
WHAT = (
    "`train_and_evaluate`: 8 steps, 2 evaluations, sampled text, checkpoints; 2 layers, packed "
    "batches of 4"
)


def run(record: Record, workdir: Path) -> None:
    """Train for eight steps, with the vocabulary that the example learns from the data."""
    import tokenizer
    import train
    from configs import default

    mocks.give_tensorflow_text(tokenizer, "tftxt")
    config = default.get_config()
    config.max_corpus_chars, config.vocab_size = 2000, 60
    config.per_device_batch_size, config.num_train_steps = 4, 8
    config.eval_every_steps, config.num_eval_steps, config.max_predict_length = 7, 2, 32
    config.warmup_steps, config.checkpoint_every_steps = 4, 4
    config.num_layers, config.qkv_dim, config.emb_dim, config.mlp_dim = 2, 64, 64, 128
    config.num_heads = 4
    config.max_target_length = config.max_eval_target_length = 32

    def stepped(result: tuple[object, object], _: object) -> None:
        record.step(result[1])
        record.parameters(result[0].params)  # type: ignore[attr-defined]

    def sampled(text: str, _: object) -> None:
        record.step({"text": list(text.encode())})

    with (
        mocks.tfds_data(128, splits={"train": 128, "test": 128}),
        compiled_calls("jit", "train_step", stepped),
        calls(train, "evaluate", lambda metrics, _: record.step(metrics)),
        calls(train, "generate_prediction", sampled),
    ):
        train.train_and_evaluate(config, str(workdir))
