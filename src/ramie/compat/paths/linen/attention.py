"""Attention, under the names of ``flax.linen.attention``."""

from ramie.compat.paths.linen import initializers as initializers
from ramie.linen.layers.attention.multi_head import MultiHeadAttention as MultiHeadAttention
from ramie.linen.layers.attention.multi_head import (
    MultiHeadDotProductAttention as MultiHeadDotProductAttention,
)
from ramie.linen.layers.attention.multi_head import SelfAttention as SelfAttention
from ramie.linen.layers.attention.multi_head import combine_masks as combine_masks
from ramie.linen.layers.attention.multi_head import dot_product_attention as dot_product_attention
from ramie.linen.layers.attention.multi_head import (
    dot_product_attention_weights as dot_product_attention_weights,
)
from ramie.linen.layers.attention.multi_head import make_attention_mask as make_attention_mask
from ramie.linen.layers.attention.multi_head import make_causal_mask as make_causal_mask
from ramie.linen.layers.attention.rotary import RoPE as RoPE
from ramie.linen.layers.attention.rotary import (
    dot_product_attention_with_rope as dot_product_attention_with_rope,
)
from ramie.linen.layers.linear import DenseGeneral as DenseGeneral
from ramie.linen.layers.norm import LayerNorm as LayerNorm
from ramie.linen.module import Module as Module
from ramie.linen.module import compact as compact
from ramie.linen.module import merge_param as merge_param
from ramie.ops.dtypes import promote_dtype as promote_dtype

__all__ = [
    "MultiHeadAttention",
    "MultiHeadDotProductAttention",
    "RoPE",
    "SelfAttention",
    "combine_masks",
    "dot_product_attention",
    "dot_product_attention_weights",
    "dot_product_attention_with_rope",
    "make_attention_mask",
    "make_causal_mask",
]
