"""Layers that normalise, under the names of ``flax.nnx.nn.normalization``."""

from ramie.nnx.layers.batch_norm import BatchNorm as BatchNorm
from ramie.nnx.layers.norm import GroupNorm as GroupNorm
from ramie.nnx.layers.norm import InstanceNorm as InstanceNorm
from ramie.nnx.layers.norm import LayerNorm as LayerNorm
from ramie.nnx.layers.norm import RMSNorm as RMSNorm
from ramie.nnx.layers.weight_norm import SpectralNorm as SpectralNorm
from ramie.nnx.layers.weight_norm import WeightNorm as WeightNorm
from ramie.nnx.modules.module import Module as Module

__all__ = [
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "Module",
    "RMSNorm",
    "SpectralNorm",
    "WeightNorm",
]
