"""The encoder of `examples/embeddings`, against the same weights computed with by PyTorch."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from examples.embeddings import model, weights, wordpiece  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tests.tolerance import assert_exact  # noqa: E402
from torch.nn import functional  # noqa: E402

from ramie import nnx  # noqa: E402
from ramie.interop.torch import to_state_dict  # noqa: E402

SMALL = {
    "vocab_size": 60,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_attention_heads": 3,
    "num_hidden_layers": 6,
    "layer_norm_eps": 1e-12,
}
SENTENCES = ["the cats play", "Thé cat plays, and plays!", "cat", "a dog"]
LARGEST_DIFFERENCE = 1e-5  # of embeddings of length one, as sentence-transformers compares its own


def vocabulary():
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "cat", "##s", "play", "and", ",", "!", "a"]
    return words + [f"word{n}" for n in range(SMALL["vocab_size"] - len(words))]


def small_bert(folder):
    """Write a BERT of six layers with drawn weights, as such models are published."""
    generator = torch.Generator().manual_seed(0)
    width, wide = SMALL["hidden_size"], SMALL["intermediate_size"]
    linear = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (wide, width),
        "output.dense": (width, wide),
    }
    shapes = {"pooler.dense.weight": (width, width), "pooler.dense.bias": (width,)}
    norms = ["embeddings.LayerNorm"]
    for kind, size in (("word", "vocab"), ("position", "max_position"), ("token_type", "type")):
        count = SMALL.get(f"{size}_size") or SMALL.get(f"{size}_embeddings") or 2
        shapes[f"embeddings.{kind}_embeddings.weight"] = (count, width)
    for n in range(SMALL["num_hidden_layers"]):
        for name, shape in linear.items():
            shapes[f"encoder.layer.{n}.{name}.weight"] = shape
            shapes[f"encoder.layer.{n}.{name}.bias"] = shape[:1]
        norms += [f"encoder.layer.{n}.{at}output.LayerNorm" for at in ("attention.", "")]
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    tensors = {name: 0.3 * torch.randn(s, generator=generator) for name, s in shapes.items()}
    for norm in norms:
        tensors[f"{norm}.weight"] += 1
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SMALL))
    (folder / "vocab.txt").write_text("\n".join(vocabulary()), encoding="utf-8")


def bert(tensors, config, words, mask):
    """Compute embeddings with PyTorch's functions."""

    def dense(name, x):
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(name, x):
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], weight, bias, config["layer_norm_eps"])

    def heads(x):
        return x.unflatten(-1, (config["num_attention_heads"], -1)).transpose(1, 2)

    table = lambda kind: tensors[f"embeddings.{kind}_embeddings.weight"]
    x = table("word")[words] + table("position")[: words.shape[1]] + table("token_type")[0]
    x = norm("embeddings.LayerNorm", x)
    for n in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{n}"
        parts = [
            heads(dense(f"{at}.attention.self.{part}", x)) for part in ("query", "key", "value")
        ]
        y = functional.scaled_dot_product_attention(*parts, attn_mask=mask[:, None, None])
        y = dense(f"{at}.attention.output.dense", y.transpose(1, 2).flatten(2))
        x = norm(f"{at}.attention.output.LayerNorm", x + y)
        y = dense(f"{at}.output.dense", functional.gelu(dense(f"{at}.intermediate.dense", x)))
        x = norm(f"{at}.output.LayerNorm", x + y)
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return functional.normalize(mean, dim=-1).numpy()


def assert_embeds_alike(folder):
    vocabulary = wordpiece.WordPiece(folder / "vocab.txt")
    rows = [vocabulary.row(text) for text in SENTENCES]
    words, mask = wordpiece.padded(rows, max(map(len, rows)))
    encoder = model.load(folder)
    ours = np.asarray(nnx.jit(lambda encoder, *inputs: encoder(*inputs))(encoder, words, mask))
    config = json.loads((folder / "config.json").read_text())
    inputs = torch.from_numpy(words).long(), torch.from_numpy(mask)
    theirs = bert(load_file(folder / "model.safetensors"), config, *inputs)
    assert np.abs(theirs[0] - theirs[2]).max() > 100 * LARGEST_DIFFERENCE
    assert np.abs(ours - theirs).max() <= LARGEST_DIFFERENCE
    written = to_state_dict(encoder, names=model.name_of)
    published = load_file(folder / "model.safetensors")
    unused = {name for name in published if "pooler" in name or "position_ids" in name}
    assert set(written) == set(published) - unused
    for name, array in written.items():
        assert_exact(array, published[name].numpy())
    return words


def test_six_layers_with_drawn_weights(tmp_path):
    small_bert(tmp_path)
    words = assert_embeds_alike(tmp_path)
    written = [[vocabulary()[n] for n in row] for row in words]
    assert written[1] == [
        *("[CLS]", "the", "cat", "play", "##s", ",", "and", "play", "##s", "!", "[SEP]"),
    ]
    assert written[3][:4] == ["[CLS]", "a", "[UNK]", "[SEP]"]


def test_six_layers_as_they_are_published():
    assert_embeds_alike(weights.find())
