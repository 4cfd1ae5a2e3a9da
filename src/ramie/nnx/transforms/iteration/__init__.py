"""Transformations that go along axes or run several times."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.transforms.iteration.axes": "Carry StateAxes",
        "ramie.nnx.transforms.flow.loops": "fori_loop while_loop",
        "ramie.nnx.transforms.iteration.mapping": "vmap",
        "ramie.nnx.transforms.iteration.partitioning": "transform_metadata",
        "ramie.nnx.transforms.iteration.scanning": "scan",
        "ramie.nnx.transforms.iteration.sharded": "pmap",
    },
)
