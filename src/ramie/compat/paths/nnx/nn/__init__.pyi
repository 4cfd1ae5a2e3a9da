# Made by `make stubs` from the table in __init__.py.
from ramie.compat.paths.nnx.nn import activations as activations
from ramie.compat.paths.nnx.nn import attention as attention
from ramie.compat.paths.nnx.nn import dtypes as dtypes
from ramie.compat.paths.nnx.nn import initializers as initializers
from ramie.compat.paths.nnx.nn import linear as linear
from ramie.compat.paths.nnx.nn import lora as lora
from ramie.compat.paths.nnx.nn import normalization as normalization
from ramie.compat.paths.nnx.nn import recurrent as recurrent
from ramie.compat.paths.nnx.nn import stochastic as stochastic
