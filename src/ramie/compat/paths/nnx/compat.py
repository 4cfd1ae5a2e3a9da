"""The functions of NNX in graph mode, whatever the mode is."""

import functools

from ramie.nnx.graph import flat, functional, walk
from ramie.nnx.modules import module, views
from ramie.nnx.randomness import forks
from ramie.nnx.sharding import specs
from ramie.nnx.transforms.autodiff import custom_rules, gradients, rematerialization
from ramie.nnx.transforms.compilation import compiled, evaluation
from ramie.nnx.transforms.flow import control, loops
from ramie.nnx.transforms.iteration import mapping, scanning, sharded

__all__ = [
    "backup_keys",
    "cached_partial",
    "checkify",
    "clone",
    "cond",
    "custom_vjp",
    "eval_shape",
    "flatten",
    "fori_loop",
    "fork_rngs",
    "get_abstract_model",
    "grad",
    "graphdef",
    "iter_children",
    "iter_graph",
    "iter_modules",
    "jit",
    "jvp",
    "pmap",
    "recursive_map",
    "remat",
    "reseed",
    "scan",
    "shard_map",
    "split",
    "split_rngs",
    "state",
    "switch",
    "value_and_grad",
    "variables",
    "view",
    "view_info",
    "vjp",
    "vmap",
    "while_loop",
]

split = functools.partial(functional.split, graph=True)
state = functools.partial(functional.state, graph=True)
variables = functools.partial(functional.variables, graph=True)
graphdef = functools.partial(functional.graphdef, graph=True)
clone = functools.partial(functional.clone, graph=True)
flatten = functools.partial(flat.flatten, graph=True)
iter_children = functools.partial(functional.iter_children, graph=True)
iter_graph = functools.partial(walk.iter_graph, graph=True)
iter_modules = functools.partial(module.iter_modules, graph=True)
recursive_map = functools.partial(views.recursive_map, graph=True)
view = functools.partial(views.view, graph=True)
view_info = functools.partial(views.view_info, graph=True)
get_abstract_model = functools.partial(specs.get_abstract_model, graph=True)
backup_keys = functools.partial(forks.backup_keys, graph=True)
fork_rngs = functools.partial(forks.fork_rngs, graph=True, graph_updates=True)
reseed = functools.partial(forks.reseed, graph=True)
split_rngs = functools.partial(forks.split_rngs, graph=True, graph_updates=True)
scan = functools.partial(scanning.scan, graph=True, graph_updates=True)
cached_partial = functools.partial(compiled.cached_partial, graph=True, graph_updates=True)
jit = functools.partial(compiled.jit, graph=True, graph_updates=True)
pmap = functools.partial(sharded.pmap, graph=True, graph_updates=True)
shard_map = functools.partial(sharded.shard_map, graph=True, graph_updates=True)
vmap = functools.partial(mapping.vmap, graph=True, graph_updates=True)
grad = functools.partial(gradients.grad, graph=True, graph_updates=True)
jvp = functools.partial(gradients.jvp, graph=True, graph_updates=True)
value_and_grad = functools.partial(gradients.value_and_grad, graph=True, graph_updates=True)
vjp = functools.partial(gradients.vjp, graph=True, graph_updates=True)
cond = functools.partial(control.cond, graph=True, graph_updates=True)
switch = functools.partial(control.switch, graph=True, graph_updates=True)
checkify = functools.partial(evaluation.checkify, graph=True, graph_updates=True)
eval_shape = functools.partial(evaluation.eval_shape, graph=True, graph_updates=True)
fori_loop = functools.partial(loops.fori_loop, graph=True, graph_updates=True)
while_loop = functools.partial(loops.while_loop, graph=True, graph_updates=True)
custom_vjp = functools.partial(custom_rules.custom_vjp, graph=True, graph_updates=True)
remat = functools.partial(rematerialization.remat, graph=True, graph_updates=True)
