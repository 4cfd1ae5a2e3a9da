# Made by `make stubs` from the table in __init__.py.
from ramie.core.meta import PARTITION_NAME as PARTITION_NAME
from ramie.core.sharding import logical_axis_rules as logical_axis_rules
from ramie.nnx.sharding.axes import add_axis as add_axis
from ramie.nnx.sharding.axes import remove_axis as remove_axis
from ramie.nnx.sharding.specs import abstract_with_sharding as abstract_with_sharding
from ramie.nnx.sharding.specs import as_abstract as as_abstract
from ramie.nnx.sharding.specs import get_abstract_model as get_abstract_model
from ramie.nnx.sharding.specs import get_named_sharding as get_named_sharding
from ramie.nnx.sharding.specs import get_partition_spec as get_partition_spec
from ramie.nnx.sharding.specs import get_var_pspec as get_var_pspec
from ramie.nnx.sharding.specs import with_partitioning as with_partitioning
