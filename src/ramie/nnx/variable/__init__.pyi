# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.modes import use_eager_sharding as use_eager_sharding
from ramie.nnx.modes import using_eager_sharding as using_eager_sharding
from ramie.nnx.variable.base import Variable as Variable
from ramie.nnx.variable.defaults import VarDefaults as VarDefaults
from ramie.nnx.variable.defaults import VarDefaultsContext as VarDefaultsContext
from ramie.nnx.variable.defaults import var_defaults as var_defaults
from ramie.nnx.variable.hijax import HijaxVariable as HijaxVariable
from ramie.nnx.variable.kinds import BatchStat as BatchStat
from ramie.nnx.variable.kinds import Cache as Cache
from ramie.nnx.variable.kinds import Intermediate as Intermediate
from ramie.nnx.variable.kinds import Param as Param
from ramie.nnx.variable.kinds import Perturbation as Perturbation
from ramie.nnx.variable.kinds import register_variable_name as register_variable_name
from ramie.nnx.variable.kinds import variable_name_from_type as variable_name_from_type
from ramie.nnx.variable.kinds import variable_type_from_name as variable_type_from_name
from ramie.nnx.variable.kinds import with_metadata as with_metadata
from ramie.nnx.variable.metadata import VariableMetadata as VariableMetadata
