"""State dicts with a registry of container types, and their msgpack bytes."""

from ramie.serialization.state_dict import current_path as current_path
from ramie.serialization.state_dict import from_state_dict as from_state_dict
from ramie.serialization.state_dict import is_serializable as is_serializable
from ramie.serialization.state_dict import (
    register_serialization_state as register_serialization_state,
)
from ramie.serialization.state_dict import to_state_dict as to_state_dict

__all__ = [
    "current_path",
    "from_state_dict",
    "is_serializable",
    "register_serialization_state",
    "to_state_dict",
]
