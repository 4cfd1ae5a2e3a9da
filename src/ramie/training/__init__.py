"""Tools around a training loop: state, schedules, stopping rules, loss scaling, checkpoints.

Each module stands alone and is imported on its own, so that reading a checkpoint does not bring in
what a training step needs. The submodules, `TrainState` and `Stepper` are also attributes of this
package, loaded when they are first asked for.
"""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.training.stepping": "Stepper",
        "ramie.training.train_state": "TrainState",
    },
    modules=(
        "checkpoints common_utils dynamic_scale early_stopping lr_schedule orbax_utils plan "
        "prefetch_iterator processes stepping train_state"
    ),
)
