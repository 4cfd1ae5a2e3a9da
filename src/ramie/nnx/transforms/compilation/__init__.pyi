# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.transforms.arguments.prefixes import StateSharding as StateSharding
from ramie.nnx.transforms.compilation.compiled import JitWrapped as JitWrapped
from ramie.nnx.transforms.compilation.compiled import cached_partial as cached_partial
from ramie.nnx.transforms.compilation.compiled import jit as jit
from ramie.nnx.transforms.compilation.compiled import jit_partial as jit_partial
from ramie.nnx.transforms.compilation.evaluation import checkify as checkify
from ramie.nnx.transforms.compilation.evaluation import eval_shape as eval_shape
from ramie.nnx.transforms.compilation.evaluation import make_jaxpr as make_jaxpr
from ramie.nnx.transforms.compilation.stages import Compiled as Compiled
from ramie.nnx.transforms.compilation.stages import Lowered as Lowered
from ramie.nnx.transforms.compilation.stages import Stage as Stage
from ramie.nnx.transforms.compilation.stages import Traced as Traced
from ramie.nnx.transforms.iteration.sharded import shard_map as shard_map
