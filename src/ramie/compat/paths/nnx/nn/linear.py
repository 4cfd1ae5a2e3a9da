"""Linear layers and convolutions, under the names of ``flax.nnx.nn.linear``."""

from ramie.nnx.layers.conv import Conv as Conv
from ramie.nnx.layers.conv import ConvTranspose as ConvTranspose
from ramie.nnx.layers.linear import Einsum as Einsum
from ramie.nnx.layers.linear import Embed as Embed
from ramie.nnx.layers.linear import Linear as Linear
from ramie.nnx.layers.linear import LinearGeneral as LinearGeneral
from ramie.nnx.layers.linear import default_embed_init as default_embed_init
from ramie.nnx.layers.parameters import default_bias_init as default_bias_init
from ramie.nnx.layers.parameters import default_kernel_init as default_kernel_init
from ramie.nnx.modules.module import Module as Module
from ramie.ops.conv import canonicalize_padding as canonicalize_padding
from ramie.ops.conv import conv_dimension_numbers as _conv_dimension_numbers
from ramie.typing import PromoteDtypeFn as PromoteDtypeFn

__all__ = [
    "Conv",
    "ConvTranspose",
    "Einsum",
    "Embed",
    "Linear",
    "LinearGeneral",
    "Module",
    "PromoteDtypeFn",
    "_conv_dimension_numbers",
    "canonicalize_padding",
    "default_bias_init",
    "default_embed_init",
    "default_kernel_init",
]
