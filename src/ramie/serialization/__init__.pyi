# Made by `make stubs` from the table in __init__.py.
from ramie.serialization.codec import MAX_CHUNK_SIZE as MAX_CHUNK_SIZE
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
from ramie.serialization.state_dict import register_serialization_state as register_serialization_state
from ramie.serialization.state_dict import restore_dict as _restore_dict
from ramie.serialization.state_dict import to_state_dict as to_state_dict
