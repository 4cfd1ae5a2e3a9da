"""Derivatives of functions of modules."""

from ramie.foundation.doors import door

__all__, __getattr__, __dir__ = door(
    __name__,
    {
        "ramie.nnx.transforms.autodiff.differentiable": "ArgNums DiffState",
        "ramie.nnx.transforms.autodiff.custom_rules": "CustomVjp custom_vjp",
        "ramie.nnx.transforms.autodiff.gradients": "grad jvp value_and_grad vjp",
        "ramie.nnx.transforms.autodiff.rematerialization": "remat",
    },
)
