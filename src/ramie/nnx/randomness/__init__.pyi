# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.objects.pytree import Pytree as Pytree
from ramie.nnx.randomness.forks import SplitBackups as SplitBackups
from ramie.nnx.randomness.forks import StreamBackup as StreamBackup
from ramie.nnx.randomness.forks import backup_keys as backup_keys
from ramie.nnx.randomness.forks import fork_rngs as fork_rngs
from ramie.nnx.randomness.forks import reseed as reseed
from ramie.nnx.randomness.forks import restore_rngs as restore_rngs
from ramie.nnx.randomness.forks import split_rngs as split_rngs
from ramie.nnx.randomness.forks import with_rngs as with_rngs
from ramie.nnx.randomness.rng import RngCount as RngCount
from ramie.nnx.randomness.rng import RngKey as RngKey
from ramie.nnx.randomness.rng import RngState as RngState
from ramie.nnx.randomness.rng import RngStream as RngStream
from ramie.nnx.randomness.rng import Rngs as Rngs
from ramie.nnx.variable.base import Variable as Variable
