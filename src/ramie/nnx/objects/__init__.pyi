# Made by `make stubs` from the table in __init__.py.
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
