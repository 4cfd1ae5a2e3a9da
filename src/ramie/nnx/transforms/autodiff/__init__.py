"""Derivatives of functions of modules."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.transforms.autodiff.differentiable": "ArgNums DiffState",
        "ramie.nnx.transforms.autodiff.custom_rules": "CustomVjp custom_vjp",
        "ramie.nnx.transforms.autodiff.gradients": "grad jvp value_and_grad vjp",
        "ramie.nnx.transforms.autodiff.rematerialization": "remat",
    },
)
