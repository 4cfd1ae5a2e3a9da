# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.training import ema as ema
from ramie.nnx.training import metrics as metrics
from ramie.nnx.training import optimizer as optimizer
