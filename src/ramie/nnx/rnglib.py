"""Random streams: objects of them, and the functions that fork those inside of models."""

from ramie.nnx.forks import SplitBackups as SplitBackups
from ramie.nnx.forks import StreamBackup as StreamBackup
from ramie.nnx.forks import backup_keys as backup_keys
from ramie.nnx.forks import fork_rngs as fork_rngs
from ramie.nnx.forks import reseed as reseed
from ramie.nnx.forks import restore_rngs as restore_rngs
from ramie.nnx.forks import split_rngs as split_rngs
from ramie.nnx.forks import with_rngs as with_rngs
from ramie.nnx.pytree import Pytree as Pytree
from ramie.nnx.rng import RngCount as RngCount
from ramie.nnx.rng import RngKey as RngKey
from ramie.nnx.rng import Rngs as Rngs
from ramie.nnx.rng import RngState as RngState
from ramie.nnx.rng import RngStream as RngStream
from ramie.nnx.variable.base import Variable as Variable

__all__ = [
    "Pytree",
    "RngCount",
    "RngKey",
    "RngState",
    "RngStream",
    "Rngs",
    "SplitBackups",
    "StreamBackup",
    "Variable",
    "backup_keys",
    "fork_rngs",
    "reseed",
    "restore_rngs",
    "split_rngs",
    "with_rngs",
]
