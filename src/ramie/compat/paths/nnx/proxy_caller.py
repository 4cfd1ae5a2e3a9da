"""What `call` and `GraphDef.apply` return: a model whose calls return a new state, too."""

from ramie.nnx.graph.functional import Caller as CallableProxy

__all__ = ["CallableProxy"]
