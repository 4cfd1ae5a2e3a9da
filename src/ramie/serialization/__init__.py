"""State dicts with a registry of container types, and their msgpack bytes."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.serialization.codec": (
            "MAX_CHUNK_SIZE from_bytes msgpack_restore msgpack_serialize state_pieces to_bytes"
        ),
        # With the private ones other projects register dictionaries, and take that back.
        "ramie.serialization.state_dict": (
            "_STATE_DICT_REGISTRY=HANDLERS _dict_state_dict=dict_to_state "
            "_restore_dict=restore_dict current_path from_state_dict is_serializable "
            "register_serialization_state to_state_dict"
        ),
    },
)
