"""State dicts with a registry of container types, and their msgpack bytes."""

from ramie.serialization.codec import from_bytes as from_bytes
from ramie.serialization.codec import msgpack_restore as msgpack_restore
from ramie.serialization.codec import msgpack_serialize as msgpack_serialize
from ramie.serialization.codec import state_pieces as state_pieces
from ramie.serialization.codec import to_bytes as to_bytes
from ramie.serialization.state_dict import HANDLERS as _STATE_DICT_REGISTRY
from ramie.serialization.state_dict import current_path as current_path
from ramie.serialization.state_dict import dict_to_state as _dict_state_dict
from ramie.serialization.state_dict import from_state_dict as from_state_dict
from ramie.serialization.state_dict import is_serializable as is_serializable
from ramie.serialization.state_dict import (
    register_serialization_state as register_serialization_state,
)
from ramie.serialization.state_dict import restore_dict as _restore_dict
from ramie.serialization.state_dict import to_state_dict as to_state_dict

MAX_CHUNK_SIZE = 2**30
"""Arrays with more bytes than this are written in chunks; readers do not need to know it."""

# With these other projects register dictionaries of their own, and take back a registration.
_PRIVATE = (_STATE_DICT_REGISTRY, _dict_state_dict, _restore_dict)

__all__ = [
    "MAX_CHUNK_SIZE",
    "current_path",
    "from_bytes",
    "from_state_dict",
    "is_serializable",
    "msgpack_restore",
    "msgpack_serialize",
    "register_serialization_state",
    "state_pieces",
    "to_bytes",
    "to_state_dict",
]
