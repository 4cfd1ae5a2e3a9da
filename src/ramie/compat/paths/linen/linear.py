"""Linear layers and convolutions, under the names of ``flax.linen.linear``."""

from ramie.compat.paths.linen import initializers as initializers
from ramie.core import meta as meta
from ramie.linen import module as module
from ramie.linen.layers.conv import Conv as Conv
from ramie.linen.layers.conv import ConvLocal as ConvLocal
from ramie.linen.layers.conv import ConvTranspose as ConvTranspose
from ramie.linen.layers.linear import Dense as Dense
from ramie.linen.layers.linear import DenseGeneral as DenseGeneral
from ramie.linen.layers.linear import Einsum as Einsum
from ramie.linen.layers.linear import Embed as Embed
from ramie.linen.layers.linear import PromoteDtypeFn as PromoteDtypeFn
from ramie.linen.layers.linear import default_embed_init as default_embed_init
from ramie.linen.layers.linear import default_kernel_init as default_kernel_init
from ramie.linen.module import Module as Module
from ramie.linen.module import compact as compact
from ramie.ops.conv import canonicalize_padding as canonicalize_padding
from ramie.ops.conv import conv_dimension_numbers as _conv_dimension_numbers
from ramie.ops.dtypes import promote_dtype as promote_dtype
from ramie.ops.linear import as_tuple as _canonicalize_tuple
from ramie.ops.linear import normalize_axes as _normalize_axes
from ramie.typing import Array as Array
from ramie.typing import ConvGeneralDilatedT as ConvGeneralDilatedT
from ramie.typing import DotGeneralT as DotGeneralT
from ramie.typing import Dtype as Dtype
from ramie.typing import Initializer as Initializer
from ramie.typing import LaxPadding as LaxPadding
from ramie.typing import PaddingLike as PaddingLike
from ramie.typing import PrecisionLike as PrecisionLike
from ramie.typing import PRNGKey as PRNGKey
from ramie.typing import Shape as Shape

__all__ = [
    "Conv",
    "ConvLocal",
    "ConvTranspose",
    "Dense",
    "DenseGeneral",
    "Einsum",
    "Embed",
    "PromoteDtypeFn",
    "canonicalize_padding",
    "default_embed_init",
    "default_kernel_init",
    "promote_dtype",
]

# Three names that other projects import although they are private in Flax.
_PRIVATE = (_canonicalize_tuple, _conv_dimension_numbers, _normalize_axes)
