"""Mistakes with transforms of modules and of functions over modules."""

from __future__ import annotations

from typing import Any

from ramie.errors.base import RamieError, in_module

__all__ = [
    "JaxTransformError",
    "TraceContextError",
    "TransformTargetError",
    "TransformedMethodReturnValueError",
]


class JaxTransformError(RamieError, RuntimeError):
    """A raw JAX transform is put around a bound module.

    ``jax.jit`` and its kin expect functions without hidden state, and a bound module reads and
    writes variables. Use the transforms of ``linen`` inside modules, or transform a function
    that calls ``apply``.

    Args:
        module: Class of the module, when known.
    """

    def __init__(self, *, module: str | None = None) -> None:
        super().__init__(
            "Jax transforms and Flax models cannot be mixed: a transform of JAX was put around a "
            f"bound module{in_module(module)}. Inside a Module use the lifted transforms (nn.jit, "
            "nn.vmap, nn.scan, nn.remat, ...); outside, transform a function that calls "
            "model.apply(variables, ...)."
        )


class TraceContextError(RamieError, RuntimeError):
    """State is touched from another trace level than the one it was made at.

    Args:
        message: The whole message: what was touched, and which transform lies between.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class TransformTargetError(RamieError, TypeError):
    """A linen transform is applied to something that is not a module class nor a function of one.

    ``nn.vmap(nn.Dense(3))(x)`` transforms an instance; ``nn.vmap(nn.Dense)(3)(x)`` is meant, or a
    function whose first argument is the instance: ``nn.vmap(lambda mdl, x: mdl(x))(dense, x)``.

    Args:
        target: The value that was given.
    """

    def __init__(self, target: Any) -> None:
        super().__init__(
            "Linen transformations must be applied to Modules classes or functions taking a Module "
            f"instance as the first argument, not to a {type(target).__name__}: {target}. "
            "Transform the class, nn.vmap(nn.Dense)(3)(x), or a function, nn.vmap(lambda mdl, x: "
            "mdl(x))(dense, x)."
        )


class TransformedMethodReturnValueError(RamieError, TypeError):
    """A transformed method returns a module or a variable.

    Only pytrees of arrays can leave a transform.

    Args:
        name: Name of the method.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Transformed module method {name} cannot return Modules or Variables: they are bound "
            "to the inside of the transform. Return arrays (variable.value), or create the module "
            "outside."
        )
