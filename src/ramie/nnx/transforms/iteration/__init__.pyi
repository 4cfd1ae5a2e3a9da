# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.transforms.flow.loops import fori_loop as fori_loop
from ramie.nnx.transforms.flow.loops import while_loop as while_loop
from ramie.nnx.transforms.iteration.axes import Carry as Carry
from ramie.nnx.transforms.iteration.axes import StateAxes as StateAxes
from ramie.nnx.transforms.iteration.mapping import vmap as vmap
from ramie.nnx.transforms.iteration.partitioning import transform_metadata as transform_metadata
from ramie.nnx.transforms.iteration.scanning import scan as scan
from ramie.nnx.transforms.iteration.sharded import pmap as pmap
