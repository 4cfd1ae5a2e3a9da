"""Normalisation layers, under the names of ``flax.linen.normalization``."""

from ramie.compat.paths.linen import dtypes as dtypes
from ramie.linen import module as module
from ramie.linen.layers.norm import BatchNorm as BatchNorm
from ramie.linen.layers.norm import GroupNorm as GroupNorm
from ramie.linen.layers.norm import InstanceNorm as InstanceNorm
from ramie.linen.layers.norm import LayerNorm as LayerNorm
from ramie.linen.layers.norm import RMSNorm as RMSNorm
from ramie.linen.layers.weight_norm import SpectralNorm as SpectralNorm
from ramie.linen.layers.weight_norm import WeightNorm as WeightNorm
from ramie.linen.module import Module as Module
from ramie.linen.module import compact as compact
from ramie.linen.module import merge_param as merge_param
from ramie.linen.transforms.views import map_variables as map_variables

__all__ = [
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
    "SpectralNorm",
    "WeightNorm",
]
