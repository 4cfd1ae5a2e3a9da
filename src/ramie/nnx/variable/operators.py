"""Operators of variables: each works on the value, and none is in place."""

import operator
from collections.abc import Callable
from typing import Any, NoReturn

from ramie.foundation.operators import ValueOperators

__all__ = ["VariableOperators"]


def _value(x: Any) -> Any:
    return x.get_value() if isinstance(x, VariableOperators) else x


def _unary(op: Callable[[Any], Any]) -> Any:
    def method(self: Any) -> Any:
        return op(self.get_value())

    return method


def _in_place(symbol: str) -> Any:
    def method(self: Any, other: Any) -> NoReturn:
        raise NotImplementedError(
            f"`variable {symbol} x` would replace the {type(self).__name__} by an array. In-place "
            f"operations are no longer supported for Variable: write `variable[...] {symbol} x`."
        )

    return method


class VariableOperators(ValueOperators):
    """Operators, conversions and iteration of variables, as they are for the value."""

    __slots__ = ()

    def get_value(self) -> Any:
        """Return what the operators work on."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # The method itself, so that an operator makes no call more than it needs.
        cls._operated = cls._operand = cls.get_value  # type: ignore[assignment, method-assign]

    __int__, __float__, __complex__ = _unary(int), _unary(float), _unary(complex)
    __index__, __round__ = _unary(operator.index), _unary(round)
    __trunc__ = _unary(lambda value: value.__trunc__())
    __floor__ = _unary(lambda value: value.__floor__())
    __ceil__ = _unary(lambda value: value.__ceil__())
    __len__, __iter__ = _unary(len), _unary(iter)

    def __contains__(self, item: Any) -> bool:
        return _value(item) in self.get_value()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the value, if it is a function."""
        value: Any = self.get_value()
        return value(*args, **kwargs)

    __iadd__, __isub__, __imul__ = _in_place("+="), _in_place("-="), _in_place("*=")
    __imatmul__, __itruediv__ = _in_place("@="), _in_place("/=")
    __ifloordiv__, __imod__, __ipow__ = _in_place("//="), _in_place("%="), _in_place("**=")
    __ilshift__, __irshift__ = _in_place("<<="), _in_place(">>=")
    __iand__, __ior__, __ixor__ = _in_place("&="), _in_place("|="), _in_place("^=")
