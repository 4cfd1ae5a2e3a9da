"""The formats in which a checkpoint is stored; each module knows one."""

from ramie.checkpoint.formats import msgpack as msgpack

__all__ = ["msgpack"]
