"""The stages of compiling: traced, lowered and compiled functions of modules."""

from typing import Any

__all__ = ["Compiled", "Lowered", "Stage", "Traced"]


class Stage:
    """A stage of JAX, and the function it belongs to. It has all attributes of JAX's stage.

    Args:
      stage: of JAX.
      wrapped: the function that `nnx.jit` returned.
      donating: what knows how to call it, if it donates without being told.
    """

    def __init__(self, stage: Any, wrapped: Any, donating: Any = None) -> None:
        self._inner_obj = stage
        self.jit_wrapped = wrapped
        self._donating = donating

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_inner_obj":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._inner_obj, name)


class Compiled(Stage):
    """A compiled program. Call it with arguments of the structure and shapes it was made for.

    Args:
      compiled: of JAX.
      wrapped: the function that `nnx.jit` returned.
      donating: see `Stage`.

    Attributes:
      compiled: that of JAX.
    """

    def __init__(self, compiled: Any, wrapped: Any, donating: Any = None) -> None:
        super().__init__(compiled, wrapped, donating)
        self.compiled = compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program, with its effects on modules and variables.

        Raises:
          TypeError: if structure or shapes are others.
        """
        _, operands = self.jit_wrapped._taken_apart(args, kwargs)
        if self._donating is not None:
            return operands.write_back(self._donating.run(operands, self.compiled))
        return operands.write_back(self.compiled(operands.outline, *operands.groups))

    call = __call__


class Lowered(Stage):
    """A program that was lowered for a platform.

    Args:
      lowered: of JAX.
      wrapped: the function that `nnx.jit` returned.
      donating: see `Stage`.

    Attributes:
      lowered: that of JAX.
    """

    def __init__(self, lowered: Any, wrapped: Any, donating: Any = None) -> None:
        super().__init__(lowered, wrapped, donating)
        self.lowered = lowered

    def compile(self, compiler_options: Any = None) -> Compiled:
        """Compile it.

        Args:
          compiler_options: as for JAX.
        """
        compiled = self.lowered.compile(compiler_options=compiler_options)
        return Compiled(compiled, self.jit_wrapped, self._donating)


class Traced(Stage):
    """A traced function.

    Args:
      traced: of JAX.
      wrapped: the function that `nnx.jit` returned.
      donating: see `Stage`.

    Attributes:
      traced: that of JAX.
    """

    def __init__(self, traced: Any, wrapped: Any, donating: Any = None) -> None:
        super().__init__(traced, wrapped, donating)
        self.traced = traced

    def lower(self, **options: Any) -> Lowered:
        """Lower it for a platform.

        Args:
          **options: as for JAX.
        """
        return Lowered(self.traced.lower(**options), self.jit_wrapped, self._donating)
