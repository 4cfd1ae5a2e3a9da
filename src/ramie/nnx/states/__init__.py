"""States of models, and the functions on them."""

from ramie.foundation import doors
from ramie.nnx.states import saving as saving  # a State can be saved from the first one on

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.states.functions": (
            "create_path_filters diff filter_state from_flat_state map_state merge_state "
            "replace_by_pure_dict split_state to_flat_state to_pure_dict"
        ),
        "ramie.nnx.states.nested": "restore_int_paths",
        "ramie.nnx.states.state": "FlatState State",
    },
)
