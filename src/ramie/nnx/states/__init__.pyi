# Made by `make stubs` from the table in __init__.py.
from ramie.nnx.states.functions import create_path_filters as create_path_filters
from ramie.nnx.states.functions import diff as diff
from ramie.nnx.states.functions import filter_state as filter_state
from ramie.nnx.states.functions import from_flat_state as from_flat_state
from ramie.nnx.states.functions import map_state as map_state
from ramie.nnx.states.functions import merge_state as merge_state
from ramie.nnx.states.functions import replace_by_pure_dict as replace_by_pure_dict
from ramie.nnx.states.functions import split_state as split_state
from ramie.nnx.states.functions import to_flat_state as to_flat_state
from ramie.nnx.states.functions import to_pure_dict as to_pure_dict
from ramie.nnx.states.nested import restore_int_paths as restore_int_paths
from ramie.nnx.states.state import FlatState as FlatState
from ramie.nnx.states.state import State as State
