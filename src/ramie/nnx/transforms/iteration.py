"""Transformations that go along axes or run several times."""

from ramie.nnx.transforms.axes import Carry as Carry
from ramie.nnx.transforms.axes import StateAxes as StateAxes
from ramie.nnx.transforms.loops import fori_loop as fori_loop
from ramie.nnx.transforms.loops import while_loop as while_loop
from ramie.nnx.transforms.mapping import vmap as vmap
from ramie.nnx.transforms.partitioning import transform_metadata as transform_metadata
from ramie.nnx.transforms.scanning import scan as scan
from ramie.nnx.transforms.sharded import pmap as pmap

__all__ = [
    "Carry",
    "StateAxes",
    "fori_loop",
    "pmap",
    "scan",
    "transform_metadata",
    "vmap",
    "while_loop",
]
