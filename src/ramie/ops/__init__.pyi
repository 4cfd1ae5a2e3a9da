# Made by `make stubs` from the table in __init__.py.
from ramie.ops import activations as activations
from ramie.ops import attention as attention
from ramie.ops import conv as conv
from ramie.ops import dtypes as dtypes
from ramie.ops import fp8 as fp8
from ramie.ops import initializers as initializers
from ramie.ops import linear as linear
from ramie.ops import moments as moments
from ramie.ops import norm as norm
from ramie.ops import pooling as pooling
from ramie.ops import recurrent as recurrent
from ramie.ops import stochastic as stochastic
from ramie.ops import weight_norm as weight_norm
