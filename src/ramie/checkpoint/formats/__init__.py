"""The formats in which a checkpoint is stored; each module knows one."""

from ramie.checkpoint.formats import msgpack as msgpack
from ramie.checkpoint.formats import msgpack_outline as msgpack_outline
from ramie.checkpoint.formats import safetensors as safetensors

__all__ = ["msgpack", "msgpack_outline", "safetensors"]
