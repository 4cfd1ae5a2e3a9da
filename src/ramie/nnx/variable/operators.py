"""Arithmetic on variables: every operator works on the value and returns a plain result."""

import operator
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["ValueOperators"]


def _value(x: Any) -> Any:
    return x.get_value() if isinstance(x, ValueOperators) else x


def _binary(op: Callable[[Any, Any], Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        return op(self.get_value(), _value(other))

    return method


def _reflected(op: Callable[[Any, Any], Any]) -> Any:
    def method(self: Any, other: Any) -> Any:
        return op(_value(other), self.get_value())

    return method


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


class ValueOperators:
    """Operators of a class with a method `get_value`, as they are for that value."""

    __slots__ = ()

    def get_value(self) -> Any:
        """Return what the operators work on."""
        raise NotImplementedError(f"{type(self).__name__} has no value")

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod), _reflected(operator.mod)
    __divmod__, __rdivmod__ = _binary(divmod), _reflected(divmod)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __lshift__, __rlshift__ = _binary(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _binary(operator.rshift), _reflected(operator.rshift)
    __and__, __rand__ = _binary(operator.and_), _reflected(operator.and_)
    __or__, __ror__ = _binary(operator.or_), _reflected(operator.or_)
    __xor__, __rxor__ = _binary(operator.xor), _reflected(operator.xor)

    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    __hash__ = None  # type: ignore[assignment]  # values compare elementwise

    __neg__, __pos__ = _unary(operator.neg), _unary(operator.pos)
    __invert__, __abs__ = _unary(operator.invert), _unary(abs)
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
