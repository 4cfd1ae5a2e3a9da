"""The functions of NNX in graph mode, whatever the mode is."""

import functools

from ramie.nnx import functional

__all__ = ["clone", "graphdef", "split", "state", "variables"]

split = functools.partial(functional.split, graph=True)
state = functools.partial(functional.state, graph=True)
variables = functools.partial(functional.variables, graph=True)
graphdef = functools.partial(functional.graphdef, graph=True)
clone = functools.partial(functional.clone, graph=True)
