"""The functions of NNX in graph mode, whatever the mode is."""

import functools

from ramie.nnx import forks, functional, spmd
from ramie.nnx.transforms import iteration

__all__ = [
    "backup_keys",
    "clone",
    "fork_rngs",
    "get_abstract_model",
    "graphdef",
    "reseed",
    "scan",
    "split",
    "split_rngs",
    "state",
    "variables",
    "vmap",
]

split = functools.partial(functional.split, graph=True)
state = functools.partial(functional.state, graph=True)
variables = functools.partial(functional.variables, graph=True)
graphdef = functools.partial(functional.graphdef, graph=True)
clone = functools.partial(functional.clone, graph=True)
get_abstract_model = functools.partial(spmd.get_abstract_model, graph=True)
backup_keys = functools.partial(forks.backup_keys, graph=True)
fork_rngs = functools.partial(forks.fork_rngs, graph=True, graph_updates=True)
reseed = functools.partial(forks.reseed, graph=True)
split_rngs = functools.partial(forks.split_rngs, graph=True, graph_updates=True)
scan = functools.partial(iteration.scan, graph=True, graph_updates=True)
vmap = functools.partial(iteration.vmap, graph=True, graph_updates=True)
