"""Tagging of words by a transformer, in Linen."""

import random
from pathlib import Path

from tools.peer_examples.record import Record, compiled_calls

FOLDER = "nlp_seq"
NEEDS = ("tensorflow", "tensorboardX")
WHAT = "`main`: 6 steps, 2 evaluations; sentences that are made up, batches of 8"

_WORDS = {"they": "PRP", "buy": "VBP", "books": "NNS", "old": "JJ", "in": "IN", "Rome": "NNP"}


def _sentences(count: int) -> str:
    """Return sentences in the columns of CoNLL, each followed by an empty line."""
    text = ""
    for _ in range(count):
        words = random.choices(list(_WORDS), k=random.randint(2, 12))
        for place, word in enumerate(words, 1):
            text += f"{place}\t{word}\t{word}\tX\t{_WORDS[word]}\t_\t0\troot\n"
        text += "\n"
    return text


def run(record: Record, workdir: Path) -> None:
    """Train on files that are written here."""
    import train

    for name in ("train", "dev"):
        (workdir / name).write_text(_sentences(60), encoding="utf-8")
    train.FLAGS(
        [
            "train",
            f"--train={workdir / 'train'}",
            f"--dev={workdir / 'dev'}",
            f"--model_dir={workdir}",
            "--batch_size=8",
            "--max_length=16",
            "--num_train_steps=6",
            "--eval_frequency=3",
        ]
    )

    def stepped(result: tuple[object, object], _: object) -> None:
        record.step(result[1])
        record.parameters(result[0].params)  # type: ignore[attr-defined]

    with (
        compiled_calls("pmap", "train_step", stepped),
        compiled_calls("pmap", "eval_step", lambda metrics, _: record.step(metrics)),
    ):
        train.main(["train"])
