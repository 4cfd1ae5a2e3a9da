"""Random streams: objects of them, and the functions that fork those inside of models."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.objects.pytree": "Pytree",
        "ramie.nnx.randomness.forks": (
            "SplitBackups StreamBackup backup_keys fork_rngs reseed restore_rngs split_rngs "
            "with_rngs"
        ),
        "ramie.nnx.randomness.rng": "RngCount RngKey RngState RngStream Rngs",
        "ramie.nnx.variable.base": "Variable",
    },
)
