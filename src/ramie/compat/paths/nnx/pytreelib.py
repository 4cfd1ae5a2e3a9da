"""Objects that are pytrees, under the names of ``flax.nnx.pytreelib``."""

from ramie import errors as errors
from ramie.foundation.configurations import config as config
from ramie.nnx.objects.marks import Data as Data
from ramie.nnx.objects.marks import Static as Static
from ramie.nnx.objects.marks import data as data
from ramie.nnx.objects.marks import dataclass as dataclass
from ramie.nnx.objects.marks import has_data as has_data
from ramie.nnx.objects.marks import is_data as is_data
from ramie.nnx.objects.marks import register_data_type as register_data_type
from ramie.nnx.objects.marks import static as static
from ramie.nnx.objects.pytree import Object as Object
from ramie.nnx.objects.pytree import Pytree as Pytree
from ramie.nnx.objects.pytree import PytreeMeta as PytreeMeta
from ramie.nnx.objects.pytree import PytreeState as PytreeState
from ramie.nnx.objects.pytree import check_pytree as check_pytree
from ramie.nnx.variable.base import Variable as Variable

__all__ = [
    "Data",
    "Object",
    "Pytree",
    "PytreeMeta",
    "PytreeState",
    "Static",
    "Variable",
    "check_pytree",
    "config",
    "data",
    "dataclass",
    "errors",
    "has_data",
    "is_data",
    "register_data_type",
    "static",
]
