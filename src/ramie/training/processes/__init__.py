"""Several JAX processes on this machine, for tests and for programs that start themselves."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__, {"ramie.training.processes.groups": "Group Process run start"}
)
