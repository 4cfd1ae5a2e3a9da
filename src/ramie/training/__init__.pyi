# Made by `make stubs` from the table in __init__.py.
from ramie.training import checkpoints as checkpoints
from ramie.training import common_utils as common_utils
from ramie.training import dynamic_scale as dynamic_scale
from ramie.training import early_stopping as early_stopping
from ramie.training import lr_schedule as lr_schedule
from ramie.training import orbax_utils as orbax_utils
from ramie.training import plan as plan
from ramie.training import prefetch_iterator as prefetch_iterator
from ramie.training import processes as processes
from ramie.training import stepping as stepping
from ramie.training import train_state as train_state
from ramie.training.stepping import Stepper as Stepper
from ramie.training.train_state import TrainState as TrainState
