"""Functions of modules as programs: compiled, or looked at without running them."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.transforms.arguments.prefixes": "StateSharding",
        "ramie.nnx.transforms.compilation.compiled": "JitWrapped cached_partial jit jit_partial",
        "ramie.nnx.transforms.compilation.evaluation": "checkify eval_shape make_jaxpr",
        "ramie.nnx.transforms.compilation.stages": "Compiled Lowered Stage Traced",
        "ramie.nnx.transforms.iteration.sharded": "shard_map",
    },
)
