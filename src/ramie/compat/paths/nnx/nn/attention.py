"""Attention, under the names of ``flax.nnx.nn.attention``."""

from ramie.nnx.layers.attention.dot_product import dot_product_attention as dot_product_attention
from ramie.nnx.layers.attention.dot_product import (
    dot_product_attention_weights as dot_product_attention_weights,
)
from ramie.nnx.layers.attention.multi_head import MultiHeadAttention as MultiHeadAttention
from ramie.nnx.layers.attention.rotary import RoPE as RoPE
from ramie.nnx.layers.attention.rotary import (
    dot_product_attention_with_rope as dot_product_attention_with_rope,
)
from ramie.nnx.layers.linear import LinearGeneral as LinearGeneral
from ramie.nnx.layers.norm import LayerNorm as LayerNorm
from ramie.nnx.modules.module import Module as Module
from ramie.ops import initializers as initializers
from ramie.ops.attention.dot_product import combine_masks as combine_masks
from ramie.ops.attention.dot_product import make_attention_mask as make_attention_mask
from ramie.ops.attention.dot_product import make_causal_mask as make_causal_mask

__all__ = [
    "LayerNorm",
    "LinearGeneral",
    "Module",
    "MultiHeadAttention",
    "RoPE",
    "combine_masks",
    "dot_product_attention",
    "initializers",
    "make_attention_mask",
    "make_causal_mask",
]
