"""Transformations of JAX for functions of modules and variables."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.transforms.iteration.axes": "Carry StateAxes",
        "ramie.nnx.transforms.autodiff.differentiable": "DiffState",
        "ramie.nnx.transforms.arguments.prefixes": "StateSharding",
        "ramie.nnx.transforms.autodiff.custom_rules": "custom_vjp",
        "ramie.nnx.transforms.autodiff.gradients": "grad jvp value_and_grad vjp",
        "ramie.nnx.transforms.autodiff.rematerialization": "remat",
        "ramie.nnx.transforms.compilation.compiled": "cached_partial jit jit_partial",
        "ramie.nnx.transforms.flow.control": "cond switch",
        "ramie.nnx.transforms.compilation.evaluation": "checkify eval_shape make_jaxpr",
        "ramie.nnx.transforms.flow.loops": "fori_loop while_loop",
        "ramie.nnx.transforms.iteration.mapping": "vmap",
        "ramie.nnx.transforms.iteration.partitioning": "transform_metadata",
        "ramie.nnx.transforms.iteration.scanning": "scan",
        "ramie.nnx.transforms.iteration.sharded": "pmap shard_map",
    },
    modules="autodiff compilation general iteration transforms",
)
