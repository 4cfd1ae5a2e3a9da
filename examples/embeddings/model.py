"""The model: a BERT of six layers in NNX, and the mean over the pieces of a text.

Shapes: ``pieces: [batch, length]`` integers, ``there: [batch, length]`` True where pieces are, and
``x: [batch, length, width]``.
"""

import json
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from examples.embeddings.settings import UsageError

from ramie import checkpoint, nnx
from ramie.interop.torch import from_state_dict

Config = dict[str, Any]


class Layer(nnx.Module):
    """Attention and two linear layers; what they find is added, and the sum normalised."""

    def __init__(self, config: Config, rngs: nnx.Rngs):
        width, hidden = config["hidden_size"], config["intermediate_size"]
        self.attention = nnx.MultiHeadAttention(
            config["num_attention_heads"], width, decode=False, rngs=rngs
        )
        self.attention_norm = norm(config, rngs)
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)
        self.norm = norm(config, rngs)

    def __call__(self, x, there):
        """Map features to features; no piece looks at what is not `there`."""
        # [batch, 1, 1, length]: the same for all heads and all pieces that look.
        x = self.attention_norm(x + self.attention(x, mask=there[:, None, None, :]))
        return self.norm(x + self.down(nnx.gelu(self.up(x), approximate=False)))


class Encoder(nnx.Module):
    """Texts in, vectors out; texts that mean about the same have vectors that lie close.

    Args:
      config: the numbers in the file ``config.json``.
      rngs: for the parameters, until weights are loaded.
    """

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        width = config["hidden_size"]
        self.words = nnx.Embed(config["vocab_size"], width, rngs=rngs)
        self.positions = nnx.Embed(config["max_position_embeddings"], width, rngs=rngs)
        self.types = nnx.Embed(config["type_vocab_size"], width, rngs=rngs)
        self.norm = norm(config, rngs)
        self.layers = nnx.List(Layer(config, rngs) for _ in range(config["num_hidden_layers"]))

    def __call__(self, pieces, there):
        """Return a vector of length one for each text, ``[batch, width]``."""
        x = self.words(pieces) + self.positions(jnp.arange(pieces.shape[1]))[None]
        x = self.norm(x + self.types(jnp.zeros_like(pieces)))  # every piece is of the first text
        for layer in self.layers:
            x = layer(x, there)
        total = jnp.sum(x, axis=1, where=there[..., None])
        return total / jnp.linalg.norm(total, axis=-1, keepdims=True)  # so the mean is not needed


def norm(config: Config, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Return a normalisation over features."""
    return nnx.LayerNorm(config["hidden_size"], epsilon=config["layer_norm_eps"], rngs=rngs)


PARTS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
PARTS_OF_LAYERS = {
    "attention": "attention.self",
    "attention/out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}


def name_of(path: str) -> str:
    """Return what BERT calls a module: ``layers/3/down`` is ``encoder.layer.3.output.dense``."""
    found = re.fullmatch(r"layers/(\d+)/(.*)", path)
    if not found:
        return PARTS.get(path, path)
    number, part = found.groups()
    first, _, rest = part.partition("/")
    inside = PARTS_OF_LAYERS.get(part) or f"{PARTS_OF_LAYERS[first]}.{rest}"
    return f"encoder.layer.{number}.{inside}"


def load(folder: Path) -> Encoder:
    """Return the encoder with its weights.

    Args:
      folder: where ``config.json`` and ``model.safetensors`` are.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = checkpoint.load_safetensors(folder / "model.safetensors", separator=None)
        encoder = nnx.eval_shape(lambda: Encoder(config, rngs=nnx.Rngs(0)))
        unused = ["*position_ids", "pooler.*"]
        nnx.update(encoder, from_state_dict(tensors, encoder, names=name_of, ignore=unused))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The weights in {folder} are not those of a BERT: {error}") from error
    return encoder
