"""What a step will need on devices one does not have: `plan`, and the `Plan` that it returns.

`plan` compiles a step for a topology by its name, such as ``v5p:8x8x4``, and reads memory, work
and collectives from the compiled program. Nothing is allocated.
"""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.training.plan.chips": "CHIPS Chip",
        "ramie.training.plan.planning": "plan",
        "ramie.training.plan.report": (
            "Bound Buffer Collection Collective Memory Plan Replicated Work"
        ),
        "ramie.training.plan.topology": "device_count make_mesh topologies",
    },
)
