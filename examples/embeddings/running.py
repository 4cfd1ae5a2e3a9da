"""A run: embed texts, embed questions, and find the texts that are nearest to each."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from examples.embeddings import library, model, weights, wordpiece
from examples.embeddings.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ramie import nnx


class Embedder:
    """Texts to vectors.

    Args:
      folder: with the weights, the configuration and the vocabulary.
      batch: how many texts are computed together.
    """

    def __init__(self, folder: Path, batch: int = 32):
        self.vocabulary = wordpiece.WordPiece(folder / "vocab.txt")
        self.encoder = model.load(folder)
        with (folder / "model.safetensors").open("rb") as file:
            self.weights = hashlib.file_digest(file, "sha256").hexdigest()
        self.batch = batch
        self.encode = nnx.jit(lambda encoder, *inputs: encoder(*inputs))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Return a vector of length one for each text, float32 ``[texts, width]``."""
        rows = [self.vocabulary.row(text) for text in texts]
        found = np.zeros((len(rows), self.encoder.words.features), np.float32)
        for numbers, vectors in self.parts(rows):
            found[numbers] = vectors
        return found

    def parts(self, rows: list[list[int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the vectors of some rows at a time, and which rows these are.

        Rows of about one length are together. Batches are filled up to a few shapes: each new shape
        is compiled.
        """
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(rows), self.batch):
            numbers = order[start : start + self.batch]
            some = [rows[n] for n in numbers]
            longest = len(some[-1])
            some += [some[-1]] * (min(self.batch, _filled(len(some))) - len(some))
            vectors = self.encode(self.encoder, *wordpiece.padded(some, max(16, _filled(longest))))
            yield numbers, np.asarray(vectors)[: len(numbers)]


def _filled(length: int) -> int:
    """Return the next power of two."""
    return 1 << (length - 1).bit_length()


def run(folder: Path, settings: Settings, quiet: bool) -> None:
    """Search, print a table, and write what was found.

    Args:
      folder: where vectors are kept and results are written.
      settings: the choices.
      quiet: whether to print nothing.
    """
    texts = library.read(settings.texts)
    embedder = Embedder(weights.find(), settings.batch)
    console = Console(quiet=quiet)
    vectors = kept(folder / "vectors.npz", list(texts.values()), embedder, console)
    found = nearest(embedder(list(settings.ask)), vectors, settings.nearest)
    names = list(texts)
    results = {
        question: [
            {"likeness": round(float(likeness), 4), "name": names[n], "text": texts[names[n]]}
            for n, likeness in zip(*rows, strict=True)
        ]
        for question, *rows in zip(settings.ask, *found, strict=True)
    }
    console.print(table(results))
    written = json.dumps(results, indent=2, ensure_ascii=False)
    (folder / "result.json").write_text(written, encoding="utf-8")


def nearest(
    questions: np.ndarray, vectors: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the vectors that lie closest.

    Args:
      questions: ``[questions, width]``, of length one.
      vectors: ``[texts, width]``, of length one.
      count: how many are wanted; no more than there are texts come back.

    Returns:
      Which vectors, the closest first, ``[questions, count]``; and the cosine of the angle to each.
    """
    likeness = questions @ vectors.T
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(likeness, order, axis=1)


def kept(path: Path, texts: list[str], embedder: Embedder, console: Console) -> np.ndarray:
    """Return the vectors of texts: those of an earlier run, of the same texts and weights, if any.

    Args:
      path: the file in which they are kept.
      texts: what to embed.
      embedder: how.
      console: where the progress is shown.
    """
    digest = hashlib.sha256("\n".join([embedder.weights, *texts]).encode()).hexdigest()
    try:
        # A damaged file that NumPy opens by itself stays open.
        with path.open("rb") as opened, np.load(opened) as file:
            if str(file["digest"]) == digest:
                return file["vectors"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # there is none yet, or it is of something else: embedding again is always right
    vectors = with_progress(texts, embedder, console)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        np.savez(file, digest=digest, vectors=vectors)
    os.replace(unfinished, path)
    return vectors


def with_progress(texts: list[str], embedder: Embedder, console: Console) -> np.ndarray:
    """Embed texts, and show how many are done."""
    rows = [embedder.vocabulary.row(text) for text in texts]
    found = {}
    with Progress(
        TextColumn("embed"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("[cyan]left"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=len(rows))
        for numbers, vectors in embedder.parts(rows):
            found.update(zip(numbers.tolist(), vectors, strict=True))
            progress.update(task, advance=len(numbers))
    return np.stack([found[n] for n in range(len(rows))])


def table(results: dict[str, list[dict]]) -> Table:
    """Return what was found as a table."""
    made = Table(title="Nearest texts")
    made.add_column("question", ratio=2)
    made.add_column("likeness", justify="right")
    made.add_column("text", ratio=5)
    for question, found in results.items():
        for n, one in enumerate(found):
            text = Text.assemble((one["name"], "bold"), "  ", one["text"])
            cells = Text("" if n else question), Text(f"{one['likeness']:.2f}"), text
            made.add_row(*cells, end_section=n == len(found) - 1)
    return made
